"""From hidden states to the objective, without holding the logits of a whole batch."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from losslab import kernels
from losslab.fused.job import BY_PRODUCTS, dtype_of
from losslab.fused.sweep import Streamed, streamed
from losslab.objective import Objective, check_targets
from losslab.prediction import Prediction
from losslab.words import nearest

DENSE_BYTES = 8 * 2**20  # of float32 logits: a smaller batch is computed whole, which costs about the same
CHUNK_BYTES = 64 * 2**20  # held at once where the logits themselves are wanted
ROUTES = ("dense", "chunked", "streamed")


class LinearLoss(NamedTuple):
    total: Tensor  # [], the sum over valid tokens, weighted where weights are given
    count: Tensor  # [], the number of valid tokens
    statistics: "Statistics"


class Statistics:
    """What else is known of each token. `losses` is differentiable. The rest is read off the sweep where it saw it: on
    the streamed route `nll`, `log_z`, `max_logit` and what `observe` named. Anything else is computed when it is
    first asked for, all at once and by another product of hidden and head."""

    def __init__(self, losses: Tensor, seen: Mapping[str, Tensor], *inputs):
        self.losses = losses
        self._seen, self._inputs = dict(seen), inputs

    def _observe(self) -> None:
        hidden, lm_head, targets, objective, dtype = self._inputs
        rows: dict[str, list[Tensor]] = {name: [] for name in BY_PRODUCTS}
        with torch.no_grad(), torch.autocast(hidden.device.type, enabled=False):
            head, flat = lm_head.to(dtype), hidden.reshape(-1, hidden.shape[-1]).to(dtype)
            for x, y in _pieces(flat, targets.reshape(-1), lm_head.shape[0], CHUNK_BYTES):
                prediction = Prediction.dense(objective.transform(F.linear(x, head)), y)
                for name in ("nll", "log_z", "entropy", "max_logit"):
                    rows[name].append(getattr(prediction, name).where(prediction.valid, 0.0))
                rows["is_correct"].append((prediction.argmax == prediction.targets) & prediction.valid)
        self._seen = {name: torch.cat(row).view(targets.shape) for name, row in rows.items()} | self._seen

    def __getattr__(self, name: str) -> Tensor:
        """`nll`, `p_target`, `log_z`, `entropy`, `max_logit`, `is_correct`: `[...]`, detached, 0 where masked."""
        if name == "p_target":
            return torch.exp(-self.nll).where(self._inputs[2] >= 0, 0.0)
        if name not in BY_PRODUCTS:
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
    route: str | None = None,
    observe: Collection[str] = (),
    num_valid: int | None = None,
) -> LinearLoss:
    """The objective of a batch from its hidden states: the number and gradients of the dense way.

    Small batches are computed whole. Large ones go through row statistics, tile by tile, or, where the loss reads
    the logits themselves, in pieces that are recomputed in the backward pass; either way memory does not grow with
    tokens x vocabulary. A loss that wants the logits of a whole batch at once is given them whole.

    Where every target is masked the total and both gradients are exactly 0 and the count is 0: one micro-batch of a
    step may well hold prompts alone. That a whole step learns nothing is an error of `train`, which sees the step.
    Hidden states that are not finite give a total or a gradient that is not.

    Args:
        hidden: `[..., n_embd]`, after the final norm.
        lm_head: `[vocab, n_embd]`.
        targets: `[...]`, int64 ids of the tokens that came; `IGNORE_INDEX` does not count.
        objective: the formula; its transform is applied here.
        weights: `[...]`, an optional factor for each token; it does not change the count.
        vocabulary: named `[vocab]` vectors that some losses want.
        route: `dense`, `chunked` or `streamed`, to ask for one by hand.
        observe: statistics that will be asked for, such as `entropy`: the streamed sweep gathers them as it goes.
        num_valid: how many targets count, as `check_targets` says, where they were checked before: on a GPU nothing
            then waits for it, unless targets are masked. Otherwise they are checked here, which waits for it once.

    Returns:
        the sum over valid tokens, their number, and the `Statistics` of each.

    Raises:
        ValueError: for a target outside the vocabulary, no tokens at all, shapes that do not fit, or a route that the
            objective cannot take.

    Example:
        >>> hidden, lm_head, targets = torch.ones(1, 2, 3), torch.zeros(4, 3), torch.tensor([[1, -100]])
        >>> total, count, statistics = linear_loss(hidden, lm_head, targets, Objective.parse("cross_entropy"))
        >>> total, count, statistics.entropy  # log 4 of the one token that counts
        (tensor(1.3863), tensor(1), tensor([[1.3863, 0.0000]]))
    """
    _check(hidden, lm_head, targets, weights, observe)
    num_valid = check_targets(targets, lm_head.shape[0]) if num_valid is None else num_valid
    if route is not None:
        _check_route(route, lm_head, objective, vocabulary)
    way = route or first_route(hidden, lm_head, targets, objective, vocabulary)
    if way == "streamed":
        found = streamed(hidden, lm_head, targets, objective, weights=weights, vocabulary=vocabulary, observe=observe,
                         num_valid=num_valid)  # fmt: skip
        if isinstance(found, str):
            if route is not None:
                raise ValueError(found)
            way = "chunked" if objective.scored_alone else "dense"
    if way != "streamed":
        how = _chunked if way == "chunked" else _dense
        losses = how(hidden, lm_head, targets, objective, vocabulary, num_valid)
        found = Streamed((losses if weights is None else losses * weights).sum(), losses, {})
    observed = Statistics(found.losses, found.seen, hidden.detach(), lm_head.detach(), targets, objective,
                          dtype_of(hidden))  # fmt: skip
    return LinearLoss(found.total, (targets >= 0).sum(), observed)


def _dense(hidden, lm_head, targets, objective, vocabulary, num_valid: int) -> Tensor:
    return objective.dense(F.linear(hidden, lm_head), targets, vocabulary, num_valid)


def _chunked(hidden, lm_head, targets, objective, vocabulary, num_valid: int) -> Tensor:
    def piece(x: Tensor, y: Tensor) -> Tensor:
        return _dense(x, lm_head, y, objective, vocabulary, len(y) if num_valid == targets.numel() else 0)

    pieces = _pieces(hidden.reshape(-1, hidden.shape[-1]), targets.reshape(-1), lm_head.shape[0], CHUNK_BYTES)
    return torch.cat([checkpoint(piece, x, y, use_reentrant=False) for x, y in pieces]).view(targets.shape)


def first_route(hidden: Tensor, lm_head: Tensor, targets: Tensor, objective: Objective, vocabulary=None) -> str:
    """`dense`, `chunked` or `streamed`: what `linear_loss` tries first.

    Args:
        hidden: `[..., n_embd]`.
        lm_head: `[vocab, n_embd]`.
        targets: `[...]`.
        objective: where it matters and is not known, whether it is token-wise independent is found out here.
        vocabulary: named `[vocab]` vectors that some losses want.

    Returns:
        `dense` where the logits are few or the objective takes them all, `streamed` where the device has kernels for
        this dtype and transform, else `chunked` for a token-wise independent loss.

    Raises:
        ValueError: for an objective that fails on the logits of an untrained model.
    """
    logits_bytes = targets.numel() * lm_head.shape[0] * 4
    if objective.takes_logits or logits_bytes <= DENSE_BYTES:
        return "dense"
    if kernels.swept_by(hidden.device, dtype_of(hidden), objective.transforms).HOME == hidden.device.type:
        return "streamed"
    if logits_bytes <= CHUNK_BYTES:
        return "dense"
    if objective.scored_alone is None:
        objective.check(lm_head.shape[0], vocabulary, lm_head.device)
    return "chunked" if objective.scored_alone else "dense"


def _check(hidden: Tensor, lm_head: Tensor, targets: Tensor, weights: Tensor | None, observe: Collection[str]) -> None:
    if hidden.shape[:-1] != targets.shape or hidden.shape[-1] != lm_head.shape[-1]:
        raise ValueError(
            f"hidden {list(hidden.shape)}, lm_head {list(lm_head.shape)} and targets {list(targets.shape)} do not fit; "
            "they are [..., n_embd], [vocab, n_embd] and [...]"
        )
    if weights is not None and torch.broadcast_shapes(weights.shape, targets.shape) != targets.shape:
        raise ValueError(f"weights {list(weights.shape)} do not fit targets {list(targets.shape)}; give one a token")
    if unknown := [name for name in observe if name not in (*BY_PRODUCTS, "p_target")]:
        raise ValueError(f"observe names {unknown[0]!r}, which is none of {', '.join(BY_PRODUCTS)} and p_target")


def _check_route(route: str, lm_head: Tensor, objective: Objective, vocabulary) -> None:
    if route not in ROUTES:
        raise ValueError(f"unknown route {route!r}{nearest(route, ROUTES)}; it is one of {', '.join(ROUTES)}")
    if objective.scored_alone is None:
        objective.check(lm_head.shape[0], vocabulary, lm_head.device)
    if route == "chunked" and not objective.scored_alone:
        raise ValueError(f"{objective} cannot be cut into pieces: a token's loss depends on the others of its batch; "
                         "ask for no route, or for dense")  # fmt: skip


def _pieces(hidden: Tensor, targets: Tensor, vocab_size: int, size: int):
    rows = max(1, size // (4 * vocab_size))
    return zip(hidden.split(rows), targets.split(rows), strict=True)
