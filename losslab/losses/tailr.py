"""TaiLr: cross-entropy weighted toward total variation distance."""


def tailr(prediction, *, gamma=0.1, min_weight=0.3):
    r"""Cross-entropy that counts less what the model gives little chance.

    On the way from cross-entropy to the total variation distance. With
    $p = \operatorname{softmax}(z)$, target $y$ and a weight that is not differentiated,

    $$w = \max\Bigl(\frac{p_y}{\gamma + (1 - \gamma)\,p_y},\ w_{\min}\Bigr), \qquad
      \ell(z, y) = -w \log p_y, \qquad \nabla_z \ell = w\,(p - e_y).$$

    For $\gamma \to 0$ or $w_{\min} = 1$ it is cross-entropy; with $\gamma = 1$ and
    $w_{\min} = 0$ the weight is $p_y$, as in `token_scaled`. The gradient is not the
    derivative of the value.

    Args:
        prediction: what the model said about `[...]` tokens; uses `nll` alone.
        gamma: how much an unlikely target loses, in (0, 1]; the authors' script uses 0.1.
        min_weight: what a token weighs at least, in [0, 1]; the authors' script uses 0.3.

    Returns:
        `[...]`, weighted nats per token.

    Raises:
        ValueError: for a gamma outside (0, 1] or a min_weight outside [0, 1].

    Example:
        >>> import torch
        >>> from losslab.prediction import Prediction
        >>> even = Prediction.dense(torch.zeros(1, 2), torch.tensor([1]))
        >>> tailr(even, gamma=0.5, min_weight=0.0)  # (1/2) / (1/2 + 1/4) * log 2
        tensor([0.4621])

    Reference:
        Ji et al., Tailoring Language Generation Models under Total Variation Distance,
        ICLR 2023. arXiv:2302.13344
    """
    if not 0 < gamma <= 1:
        raise ValueError(f"tailr takes a gamma in (0, 1], got {gamma}; cross_entropy is its limit at 0")
    if not 0 <= min_weight <= 1:
        raise ValueError(f"tailr takes a min_weight in [0, 1], got {min_weight}")
    p = (-prediction.nll.detach()).exp()
    return (p / (gamma + (1 - gamma) * p)).clamp(min_weight, 1.0) * prediction.nll
