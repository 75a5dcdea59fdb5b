"""The spherical score."""


def spherical(prediction):
    r"""Minus the cosine of the angle between the predicted probabilities and what came.

    With $p = \operatorname{softmax}(z)$, target $y$ and $C = \sum_j p_j^2$,

    $$\ell(z, y) = -\frac{p_y}{\sqrt{C}}, \qquad
      (\nabla_z \ell)_j = \frac{p_y\,p_j^2}{C^{3/2}} - \frac{p_y}{\sqrt{C}}\,[j = y].$$

    A strictly proper scoring rule like cross-entropy and `brier`, and bounded like the
    latter. A sure and right prediction has -1, an untrained (uniform) model
    $-1/\sqrt{V}$.

    Args:
        prediction: what the model said about `[...]` tokens; uses `nll` and `power_sum(2)`.

    Returns:
        `[...]`, without unit, from -1 to 0.

    Example:
        >>> import torch
        >>> from losslab.prediction import Prediction
        >>> spherical(Prediction.dense(torch.zeros(1, 4), torch.tensor([2])))  # -(1/4) / sqrt(4/16)
        tensor([-0.5000])

    Reference:
        Shao et al., Language Generation with Strictly Proper Scoring Rules, ICML 2024.
        arXiv:2405.18906
    """
    return -(-prediction.nll).exp() * prediction.power_sum(2).rsqrt()
