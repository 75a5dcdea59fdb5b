"""From hidden states to the objective, without holding the logits of a whole batch."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from losslab import kernels
from losslab.fused.job import NotStreamable, dtype_of
from losslab.fused.sweep import streamed
from losslab.objective import Objective, check_targets
from losslab.prediction import Prediction

DENSE_BYTES = 8 * 2**20  # of float32 logits: a smaller batch is computed whole, which costs about the same
CHUNK_BYTES = 64 * 2**20  # held at once where the logits themselves are wanted


class LinearLoss(NamedTuple):
    total: Tensor  # [], the sum over valid tokens, weighted where weights are given
    count: Tensor  # [], the number of valid tokens
    statistics: "Statistics"


class Statistics:
    """What else is known of each token: `losses` is differentiable; the rest is free where the sweep saw it, and worked
    out when asked for where it did not."""

    def __init__(self, losses: Tensor, seen: Mapping[str, Tensor], *inputs):
        self.losses = losses
        self._seen, self._inputs = dict(seen), inputs

    def _observe(self) -> None:
        hidden, lm_head, targets, objective, dtype = self._inputs
        names = ("nll", "log_z", "entropy", "max_logit")
        rows: dict[str, list[Tensor]] = {name: [] for name in (*names, "is_correct")}
        with torch.no_grad(), torch.autocast(hidden.device.type, enabled=False):
            head, flat = lm_head.to(dtype), hidden.reshape(-1, hidden.shape[-1]).to(dtype)
            for x, y in _pieces(flat, targets.reshape(-1), lm_head.shape[0], CHUNK_BYTES):
                prediction = Prediction.dense(objective.transform(F.linear(x, head)), y)
                for name in names:
                    rows[name].append(getattr(prediction, name).where(prediction.valid, 0.0))
                rows["is_correct"].append((prediction.argmax == prediction.targets) & prediction.valid)
        self._seen |= {name: torch.cat(row).view(targets.shape) for name, row in rows.items()}

    def __getattr__(self, name: str) -> Tensor:
        """`nll`, `p_target`, `log_z`, `entropy`, `max_logit`, `is_correct`: `[...]`, detached, 0 where masked."""
        if name == "p_target":
            return torch.exp(-self.nll).where(self._inputs[2] >= 0, 0.0)
        if name not in ("nll", "log_z", "entropy", "max_logit", "is_correct"):
            raise AttributeError(name)
        if name not in self._seen:
            self._observe()
        return self._seen[name]


def linear_loss(
    hidden: Tensor,
    lm_head: Tensor,
    targets: Tensor,
    objective: Objective,
    *,
    weights: Tensor | None = None,
    vocabulary: Mapping[str, Tensor] | None = None,
) -> LinearLoss:
    """The objective of a batch from its hidden states: the number and gradients of the dense way.

    Small batches are computed whole. Large ones go through row statistics, tile by tile, or, where the loss looks at
    the logits themselves, in pieces that are recomputed in the backward pass; either way memory does not grow with
    tokens x vocabulary. A loss that wants the logits of a whole batch at once is given them whole.

    Args:
        hidden: `[..., n_embd]`, after the final norm.
        lm_head: `[vocab, n_embd]`.
        targets: `[...]`, ids of the tokens that came; `IGNORE_INDEX` does not count.
        objective: the formula; its transform is applied here.
        weights: `[...]`, an optional factor for each token; it does not change the count.
        vocabulary: named `[vocab]` vectors that some losses want.

    Raises:
        ValueError: for a target outside the vocabulary, no tokens at all, or shapes that do not fit.
    """
    if hidden.shape[:-1] != targets.shape or hidden.shape[-1] != lm_head.shape[-1]:
        raise ValueError(
            f"hidden {list(hidden.shape)}, lm_head {list(lm_head.shape)} and targets {list(targets.shape)} do not fit; "
            "they are [..., n_embd], [vocab, n_embd] and [...]"
        )
    if targets.numel() == 0:
        raise ValueError(f"targets {list(targets.shape)} holds no tokens; leave empty batches out")
    if weights is not None and torch.broadcast_shapes(weights.shape, targets.shape) != targets.shape:
        raise ValueError(f"weights {list(weights.shape)} do not fit targets {list(targets.shape)}; give one a token")
    check_targets(targets, lm_head.shape[0])
    seen: dict[str, Tensor] = {}
    way = route(hidden, lm_head, targets, objective, vocabulary)
    if way == "streamed":
        try:
            total, losses, seen = streamed(
                hidden, lm_head, targets, objective, weights=weights, vocabulary=vocabulary
            )
        except NotStreamable:
            way = "chunked" if objective.scored_alone else "dense"
    if way == "chunked":
        def piece(x: Tensor, y: Tensor) -> Tensor:
            return objective(F.linear(x, lm_head), y, vocabulary)

        flat = hidden.reshape(-1, hidden.shape[-1]), targets.reshape(-1)
        pieces = _pieces(*flat, lm_head.shape[0], CHUNK_BYTES)
        losses = torch.cat([checkpoint(piece, x, y, use_reentrant=False) for x, y in pieces]).view(targets.shape)
    elif way == "dense":
        losses = objective(F.linear(hidden, lm_head), targets, vocabulary)
    if way != "streamed":
        total = (losses if weights is None else losses * weights).sum()
    observed = Statistics(losses, seen, hidden.detach(), lm_head.detach(), targets, objective, dtype_of(hidden))
    return LinearLoss(total, (targets >= 0).sum(), observed)


def route(hidden: Tensor, lm_head: Tensor, targets: Tensor, objective: Objective, vocabulary=None) -> str:
    """`dense`, `chunked` or `streamed`: what `linear_loss` tries first."""
    logits_bytes = targets.numel() * lm_head.shape[0] * 4
    if objective.takes_logits or logits_bytes <= DENSE_BYTES:
        return "dense"
    if kernels.for_device(hidden.device).takes(hidden.device, dtype_of(hidden), objective.transforms):
        return "streamed"
    if logits_bytes <= CHUNK_BYTES:
        return "dense"
    if objective.scored_alone is None:
        objective.check(lm_head.shape[0], vocabulary, lm_head.device)
    return "chunked" if objective.scored_alone else "dense"


def _pieces(hidden: Tensor, targets: Tensor, vocab_size: int, size: int):
    rows = max(1, size // (4 * vocab_size))
    return zip(hidden.split(rows), targets.split(rows), strict=True)
