"""First-order PolyLoss."""

import torch


def poly1(prediction, *, epsilon=1.0):
    r"""Cross-entropy plus a multiple of the probability that the target did not get.

    With $p = \operatorname{softmax}(z)$ and target $y$,

    $$\ell(z, y) = -\log p_y + \epsilon\,(1 - p_y), \qquad
      \nabla_z \ell = (1 + \epsilon\,p_y)\,(p - e_y).$$

    The gradient of cross-entropy, longer or shorter but never turned: $\epsilon > 0$
    leans toward tokens that the model already predicts well, $\epsilon < 0$ away from
    them. $\epsilon = 0$ is cross-entropy. Symmetric cross-entropy, which adds $\beta$
    times a reverse cross-entropy with $\log 0$ read as $-A$, is this loss
    with $\epsilon = \beta A$.

    Args:
        prediction: what the model said about `[...]` tokens; uses `nll` alone.
        epsilon: weight of the miss, at least -1; below that the gradient would change sign.

    Returns:
        `[...]`; nats per token only at `epsilon=0`.

    Raises:
        ValueError: for an epsilon below -1.

    Example:
        >>> import torch
        >>> from losslab.prediction import Prediction
        >>> poly1(Prediction.dense(torch.zeros(1, 4), torch.tensor([2])), epsilon=2.0)  # log 4 + 2*3/4
        tensor([2.8863])

    Reference:
        Leng et al., PolyLoss: A Polynomial Expansion Perspective of Classification Loss
        Functions, ICLR 2022. arXiv:2204.12511. Wang et al., Symmetric Cross Entropy for
        Robust Learning with Noisy Labels, 2019. arXiv:1908.06112
    """
    if not epsilon >= -1:
        raise ValueError(f"poly1 takes an epsilon of at least -1, got {epsilon}")
    # -expm1(-nll) is 1 - p_y, without cancellation where p_y is near 1
    return prediction.nll - epsilon * torch.expm1(-prediction.nll)
