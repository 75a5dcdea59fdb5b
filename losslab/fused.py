"""From hidden states to the objective, without holding the logits of a whole batch."""

from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from losslab.objective import Objective
from losslab.prediction import Prediction

CHUNK_BYTES = 64 * 2**20  # of float32 logits held at once; below this a batch is not cut at all


class LinearLoss(NamedTuple):
    total: Tensor  # [], the sum over valid tokens, weighted where weights are given
    count: Tensor  # [], the number of valid tokens
    statistics: "Statistics"


class Statistics:
    """What else is known of each token: `losses` is differentiable, the rest is worked out only when asked for."""

    def __init__(self, losses: Tensor, hidden: Tensor, lm_head: Tensor, targets: Tensor, objective: Objective):
        self.losses = losses
        self._inputs = hidden.detach(), lm_head.detach(), targets, objective

    @cached_property
    def _observed(self) -> dict[str, Tensor]:
        hidden, lm_head, targets, objective = self._inputs
        names = ("nll", "log_z", "entropy", "max_logit")
        rows: dict[str, list[Tensor]] = {name: [] for name in (*names, "is_correct")}
        with torch.no_grad():
            for x, y in _pieces(hidden.reshape(-1, hidden.shape[-1]), targets.reshape(-1), lm_head.shape[0]):
                prediction = Prediction.dense(objective.transform(F.linear(x, lm_head)), y)
                for name in names:
                    rows[name].append(getattr(prediction, name).where(prediction.valid, 0.0))
                rows["is_correct"].append((prediction.argmax == prediction.targets) & prediction.valid)
        return {name: torch.cat(row).view(targets.shape) for name, row in rows.items()}

    def __getattr__(self, name: str) -> Tensor:
        """`nll`, `log_z`, `entropy`, `max_logit`, `is_correct`: `[...]`, detached, 0 where masked."""
        if name.startswith("_") or name not in (observed := self._observed):
            raise AttributeError(name)
        return observed[name]


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

    Batches whose logits are large are cut into pieces that are recomputed in the backward pass, so memory does
    not grow with tokens x vocabulary. Losses that look at a whole batch at once are given it whole.

    Args:
        hidden: `[..., n_embd]`, after the final norm.
        lm_head: `[vocab, n_embd]`.
        targets: `[...]`, ids of the tokens that came; `IGNORE_INDEX` does not count.
        objective: the formula; its transform is applied here.
        weights: `[...]`, an optional factor for each token; it does not change the count.
        vocabulary: named `[vocab]` vectors that some losses want.

    Raises:
        ValueError: for a target outside the vocabulary, or shapes that do not fit.
    """
    if hidden.shape[:-1] != targets.shape or hidden.shape[-1] != lm_head.shape[-1]:
        raise ValueError(
            f"hidden {list(hidden.shape)}, lm_head {list(lm_head.shape)} and targets {list(targets.shape)} do not fit; "
            "they are [..., n_embd], [vocab, n_embd] and [...]"
        )
    if targets.numel() * lm_head.shape[0] * 4 <= CHUNK_BYTES or not _may_be_cut(objective, lm_head, vocabulary):
        losses = objective(F.linear(hidden, lm_head), targets, vocabulary)
    else:
        def piece(x: Tensor, y: Tensor) -> Tensor:
            return objective(F.linear(x, lm_head), y, vocabulary)

        flat = hidden.reshape(-1, hidden.shape[-1]), targets.reshape(-1)
        parts = [checkpoint(piece, x, y, use_reentrant=False) for x, y in _pieces(*flat, lm_head.shape[0])]
        losses = torch.cat(parts).view(targets.shape)
    weighted = losses if weights is None else losses * weights
    return LinearLoss(
        weighted.sum(), (targets >= 0).sum(), Statistics(losses, hidden, lm_head, targets, objective)
    )


def _pieces(hidden: Tensor, targets: Tensor, vocab_size: int):
    rows = max(1, CHUNK_BYTES // (4 * vocab_size))
    return zip(hidden.split(rows), targets.split(rows), strict=True)


def _may_be_cut(objective: Objective, lm_head: Tensor, vocabulary) -> bool:
    if objective.scored_alone is None:
        objective.check(lm_head.shape[0], vocabulary, lm_head.device)
    return bool(objective.scored_alone)
