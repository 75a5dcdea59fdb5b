"""Unlikelihood: a penalty on repeating what came before."""

import torch

ROLE = "term"  # says nothing for the target, only against other tokens
WITH = "cross_entropy"  # the published objective is the sum of the two
SUREST = 1 - 1e-5  # what a negative's probability counts as at most: there the penalty is 11.5 nats


def unlikelihood(prediction, *, window=0):
    r"""The code length of not repeating an earlier token of the same row.

    With $p = \operatorname{softmax}(z)$ and $N$ the distinct earlier targets of the same
    row without the present one,

    $$\ell(z) = -\sum_{c \in N} \log(1 - p_c), \qquad
      \nabla_z \ell = \sum_{c \in N} \frac{p_c}{1 - p_c}\,(e_c - p).$$

    A term, as in `cross_entropy + unlikelihood`; with weight 0 it is cross-entropy. It
    depends on the tokens before each one, so a row must be whole. Documents that share a row
    share their negatives, and a masked target is none. A $p_c$ above 1 - 1e-5 counts as
    that and has no gradient.

    Args:
        prediction: what the model said about `[..., batch, seq]` tokens; uses `nll`,
            `target_logit`, `targets`, `valid` and `logit_at` at the negatives.
        window: how many of the targets just before count; 0 is all of them. Apart from the
            logits it takes memory for some numbers per token and each of these.

    Returns:
        `[..., batch, seq]`, nats.

    Raises:
        ValueError: for a window that is no whole number of at least 0; for targets without a dimension
            of rows, `[batch, seq]`.

    Example:
        >>> import torch
        >>> from losslab.prediction import Prediction
        >>> row = Prediction.dense(torch.zeros(1, 3, 4), torch.tensor([[2, 2, 0]]))
        >>> unlikelihood(row)  # token 2 is a repetition only where 0 came: -log(1 - 1/4)
        tensor([[0.0000, 0.0000, 0.2877]])

    Reference:
        Welleck et al., Neural Text Generation with Unlikelihood Training, 2019.
        arXiv:1908.04319
    """
    if type(window) is not int or window < 0:
        raise ValueError(f"unlikelihood takes a window that is a whole number of at least 0, got {window!r}")
    targets, valid = prediction.targets, prediction.valid
    if targets.dim() < 2:
        raise ValueError(
            f"unlikelihood uses earlier tokens of the same row, so it takes targets [batch, seq], got "
            f"{list(targets.shape)}"
        )
    negatives, counts = _negatives(targets, valid, window or targets.shape[-1] - 1)
    log_p = prediction.logit_at(negatives) - (prediction.nll + prediction.target_logit).unsqueeze(-1)
    penalty = -torch.log1p(-log_p.exp().clamp_max(SUREST))
    return torch.where(counts, penalty, 0.0).sum(-1)


def _negatives(targets, valid, window):
    """`[..., seq, k]`: the ids of the `k` targets before each, and which of them count."""
    seq = targets.shape[-1]
    k = max(1, min(window, seq - 1))
    here = torch.arange(seq, device=targets.device)
    earlier = here.unsqueeze(-1) - 1 - torch.arange(k, device=targets.device)  # [seq, k]
    exists, earlier = earlier >= 0, earlier.clamp_min(0)
    ids = targets[..., earlier]
    # of equal targets only the last before here counts: one whose next occurrence is not before here
    ordered, order = targets.where(valid, -1).sort(dim=-1, stable=True)
    following = torch.cat([order[..., 1:], torch.full_like(order[..., :1], seq)], -1)
    is_last = ordered != torch.cat([ordered[..., 1:], torch.full_like(ordered[..., :1], -2)], -1)
    upcoming = torch.empty_like(order).scatter_(-1, order, following.masked_fill(is_last, seq))
    is_newest = upcoming[..., earlier] >= here.unsqueeze(-1)
    return ids, exists & valid[..., earlier] & is_newest & (ids != targets.unsqueeze(-1))
