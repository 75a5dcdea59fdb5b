"""Focal loss."""

import torch


def focal(prediction, *, gamma=2.0):
    r"""Cross-entropy that counts less the better the target is already predicted.

    With $p = \operatorname{softmax}(z)$ and target $y$,

    $$\ell(z, y) = -(1 - p_y)^\gamma \log p_y, \qquad
      \nabla_z \ell = \bigl((1 - p_y)^\gamma - \gamma\,p_y\,(1 - p_y)^{\gamma - 1} \log p_y\bigr)\,(p - e_y).$$

    $\gamma = 0$ is cross-entropy; with a large $\gamma$ only hard tokens count. For
    $\gamma > 0$ the minimizer is flatter than the truth. `focal_detached` uses
    the same weight without differentiating it.

    Args:
        prediction: what the model said about `[...]` tokens; uses `nll` alone.
        gamma: how fast a good prediction loses weight, not negative.

    Returns:
        `[...]`; nats per token only at `gamma=0`.

    Raises:
        ValueError: for a gamma below 0.

    Example:
        >>> import torch
        >>> from losslab.prediction import Prediction
        >>> focal(Prediction.dense(torch.zeros(1, 2), torch.tensor([1])), gamma=2.0)  # (1/2)^2 * log 2
        tensor([0.1733])

    Reference:
        Lin et al., Focal Loss for Dense Object Detection, 2017. arXiv:1708.02002
    """
    if not gamma >= 0:
        raise ValueError(f"focal takes a gamma of at least 0, got {gamma}")
    miss = -torch.expm1(-prediction.nll)
    # a miss of exactly 0 has a power whose derivative may be infinite; the loss there is flat
    return miss.clamp_min(torch.finfo(miss.dtype).tiny) ** gamma * prediction.nll
