"""Focal loss with a weight that is not differentiated."""

import torch


def focal_detached(prediction, *, gamma=2.0):
    r"""Cross-entropy with focal weights that are not differentiated and are 1 on average.

    With $p = \operatorname{softmax}(z)$, target $y$ and $w = (1 - p_y)^\gamma$,
    divided by its mean over the valid tokens $i$ of one call,

    $$\ell(z, y) = -\frac{w}{\overline{w}} \log p_y, \qquad
      \nabla_z \ell = \frac{w}{\overline{w}}\,(p - e_y), \qquad
      \overline{w} = \frac1n \sum_i w_i.$$

    The gradient is that of cross-entropy, rescaled; it is not the derivative of the
    value. The loss is not token-wise independent: a call is one micro-batch, and each has
    its own mean. $\gamma = 0$ is cross-entropy.

    Args:
        prediction: what the model said about `[...]` tokens; uses `nll` and `valid`.
        gamma: how fast a good prediction loses weight, not negative.

    Returns:
        `[...]`, weighted nats per token.

    Raises:
        ValueError: for a gamma below 0.

    Example:
        >>> import torch
        >>> from losslab.prediction import Prediction
        >>> logits = torch.tensor([[1.0, 1.0], [3.0, 1.0]]).log()  # the targets have 1/2 and 3/4
        >>> focal_detached(Prediction.dense(logits, torch.tensor([0, 0])), gamma=1.0)  # 4/3 log 2, 2/3 log 4/3
        tensor([0.9242, 0.1918])

    Reference:
        Lin et al., Focal Loss for Dense Object Detection, 2017, arXiv:1708.02002; in this
        form a baseline of Su et al., MiLe Loss, 2023. arXiv:2310.19531
    """
    if not gamma >= 0:
        raise ValueError(f"focal_detached takes a gamma of at least 0, got {gamma}")
    valid = prediction.valid
    # rounding may leave a nll just below 0
    miss = -torch.expm1(-prediction.nll.detach().clamp_min(0))
    weight = torch.where(valid, miss**gamma, 0.0)
    mean = weight.sum() / valid.sum().clamp_min(1)
    return weight / mean.clamp_min(torch.finfo(mean.dtype).tiny) * prediction.nll
