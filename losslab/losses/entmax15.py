"""The entmax-1.5 loss: a sparse rival of cross-entropy that needs all the logits."""

import torch


def entmax15(prediction):
    r"""The loss whose probabilities, unlike softmax's, can be exactly 0.

    With $p_j = [z_j / 2 - \tau]_+^2$, where the threshold $\tau$ makes them sum to 1, and target $y$,

    $$\ell(z, y) = \sum_j p_j z_j - z_y + \frac43 \Bigl(1 - \sum_j p_j^{3/2}\Bigr), \qquad
      \nabla_z \ell = p - e_y.$$

    It is to the Tsallis entropy of order 3/2 what cross-entropy is to Shannon's, the
    Fenchel-Young loss of order 1. It is exactly 0, with no gradient, once the target leads
    every rival by 2. What it learns are the probabilities $p$; the softmax with which models
    are evaluated is too flat for it, and `nll_calibrated` says how much. An example of a
    loss that uses `logits`, and so takes the dense route.

    Args:
        prediction: what the model said about `[...]` tokens; uses `logits` and `target_logit`.

    Returns:
        `[...]`, without unit, not negative; 4/3 (1 - 1/sqrt(V)) for an untrained (uniform) model.

    Raises:
        ValueError: on the streamed route, which holds no logits.

    Example:
        >>> import torch
        >>> from losslab.prediction import Prediction
        >>> entmax15(Prediction.dense(torch.zeros(1, 4), torch.tensor([2])))  # 4/3 * (1 - 1/2)
        tensor([0.6667])

    Reference:
        Peters, Niculae and Martins, Sparse Sequence-to-Sequence Models, 2019. arXiv:1905.05702
    """
    logits = prediction.logits
    with torch.no_grad():
        root = _root(logits)  # of the probabilities
        p = root.square()
    # p is held fixed: it maximizes the rest, so its own change adds nothing to the gradient
    lead = (p * (logits - prediction.target_logit.unsqueeze(-1))).sum(-1)
    return lead + 4 / 3 * (1 - (p * root).sum(-1))


def _root(logits):
    """`[..., vocab]`: the square roots of the probabilities, by the exact threshold."""
    x = (logits - logits.amax(-1, keepdim=True)) / 2
    ordered = x.sort(-1, descending=True).values
    k = torch.arange(1, x.shape[-1] + 1, device=x.device, dtype=x.dtype)
    mean = ordered.cumsum(-1) / k
    spread = (ordered.square().cumsum(-1) / k - mean.square()).clamp_min(0)
    thresholds = mean - (1 / k - spread).clamp_min(0).sqrt()  # if the k largest were the support
    support = (thresholds <= ordered).sum(-1, keepdim=True).clamp_min(1)  # a row of nan has none, and stays nan
    return (x - thresholds.gather(-1, support - 1)).clamp_min(0)
