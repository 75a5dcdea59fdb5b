"""The streamed route: an objective from row statistics, exact in value and in both gradients."""

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from losslab.fused.job import Job, by_products, score
from losslab.kernels import Tile
from losslab.objective import Objective, check_targets
from losslab.prediction import Needs, Quantity, StreamedPrediction, uninformed

ROUNDS = 3  # a loss whose questions depend on the answers is asked again this often


def statistics(hidden: Tensor, lm_head: Tensor, job: Job) -> dict[Quantity, Tensor]:
    """Each quantity that the job needs, or that costs nothing: differentiable, of the batch's shape."""
    gathered: dict[Quantity, list[Tensor]] = {}
    with torch.no_grad(), torch.autocast(job.kind, enabled=False):
        for tile in job.head(hidden, lm_head).tiles():
            for name, value in tile.observe(job.also).items():
                gathered.setdefault(name, []).append(value)
    values = {name: job.whole(torch.cat(parts), uninformed(name, job.vocab_size)) for name, parts in gathered.items()}
    names = [name for name, value in values.items() if value.is_floating_point() and name != "log_s0"]
    pairs = iter(_ordered(name for name in names if isinstance(name, tuple)))  # the others come in one order
    names = [next(pairs) if isinstance(name, tuple) else name for name in names]
    leaves = _Statistics.apply(hidden, lm_head, job, names, values)
    return {**values, **dict(zip(names, leaves, strict=True))}


def _ordered(quantities: Iterable[Quantity]) -> list[Quantity]:
    """Quantities in one order: the parts of a gradient are added in it, and that of a set changes from process to
    process, and with it the last digit of the gradient."""
    return sorted(quantities, key=str)


class _Statistics(torch.autograd.Function):
    """Statistics forward, recompute backward: their derivatives are the coefficients of the gradient."""

    @staticmethod
    def forward(ctx, hidden, lm_head, job, names, values):
        ctx.save_for_backward(hidden, lm_head)
        ctx.job, ctx.names, ctx.known = job, names, {name: job.rows(value) for name, value in values.items()}
        ctx.set_materialize_grads(False)
        return tuple(values[name] for name in names)

    @staticmethod
    @once_differentiable
    def backward(ctx, *partials):
        (hidden, lm_head), job = ctx.saved_tensors, ctx.job
        given = {name: job.rows(d) for name, d in zip(ctx.names, partials, strict=True) if d is not None}
        with torch.autocast(job.kind, enabled=False):
            head = job.head(hidden, lm_head)
            for tile in head.tiles():
                tile.recall(ctx.known, given)
                tile.descend({name: d[tile.at] for name, d in given.items()})
            return *job.grads(head, hidden, lm_head), None, None, None


def general(hidden: Tensor, lm_head: Tensor, job: Job) -> tuple[Tensor, dict[Quantity, Tensor]] | None:
    """Losses of the batch, differentiable with any upstream gradient, and the statistics they came from.

    None where they cannot be computed from statistics: `job.why_not` says why.
    """
    for _ in range(ROUNDS):
        known = statistics(hidden, lm_head, job)
        losses = job.losses(known)
        if losses is None or job.is_complete or not job.num_valid:
            return None if losses is None else (losses, known)
    return None


@torch.no_grad()
def _in_one_sweep(
    hidden: Tensor, lm_head: Tensor, weights: Tensor | None, job: Job
) -> tuple[Tensor, tuple[Tensor, Tensor], dict[str, Tensor]] | None:
    """The common case, a scalar of a token-wise independent loss: each tile scores its own rows and forms their
    gradient at once. Losses, the gradients of their weighted sum by `hidden` and `lm_head`, and what was seen; None
    where a tile asks for more than was gathered: the answers of others change the questions."""
    gathered: dict[str, list[Tensor]] = {}
    wanted = _ordered(job.needs.quantities)
    weight = None if weights is None else job.rows(weights.expand(job.targets.shape)).to(job.wide)
    with torch.autocast(job.kind, enabled=False):
        head = job.head(hidden, lm_head)
        for tile in head.tiles():
            found = tile.observe(job.also)
            scored = _score(tile, found, job, wanted, None if weight is None else weight[tile.at])
            if scored is None:
                return None
            losses, partials = scored
            for name, value in {"losses": losses, **by_products(found, tile.targets)}.items():
                gathered.setdefault(name, []).append(value)
            tile.descend(partials)
        grads = job.grads(head, hidden, lm_head)
    seen = {name: job.whole(torch.cat(parts)) for name, parts in gathered.items()}
    losses = seen.pop("losses", torch.zeros(job.targets.shape, dtype=job.wide, device=hidden.device))
    return losses, grads, seen


class _GradientInForward(torch.autograd.Function):
    """What one sweep has found, for upstream 1. Any other upstream gradient recomputes."""

    @staticmethod
    def forward(ctx, hidden, lm_head, weights, job, losses_and_grads):
        (losses, ctx.grads), ctx.job = losses_and_grads, job  # one argument: as tensors they would be inputs
        ctx.save_for_backward(hidden, lm_head, weights, losses)
        ctx.set_materialize_grads(False)
        return (losses if weights is None else losses * weights).sum(), losses

    @staticmethod
    @once_differentiable
    def backward(ctx, upstream, upstream_losses):
        hidden, lm_head, weights, losses = ctx.saved_tensors
        grad_weights = None
        if ctx.needs_input_grad[2] and upstream is not None:
            grad_weights = (upstream * losses).to(weights.dtype).expand(ctx.job.targets.shape)
            grad_weights = grad_weights.sum_to_size(weights.shape)
        if upstream_losses is None and upstream is not None and ctx.grads is not None:
            # handed over, not kept: what nobody else holds may be scaled in place and become the parameter's own
            (grad_hidden, grad_lm_head), ctx.grads = ctx.grads, None
            return grad_hidden.mul_(upstream), grad_lm_head.mul_(upstream), grad_weights, None, None
        each = torch.zeros_like(losses) if upstream_losses is None else upstream_losses
        if upstream is not None:
            each = each + (upstream if weights is None else upstream * weights)
        with torch.enable_grad():
            again = hidden.detach().requires_grad_(), lm_head.detach().requires_grad_()
            found = general(*again, ctx.job)
        if found is None:
            raise ValueError(ctx.job.why_not)
        grads = torch.autograd.grad(found[0], again, each, allow_unused=True, materialize_grads=True)
        return *grads, grad_weights, None, None


def _score(
    tile: Tile, found: Mapping[Quantity, Tensor], job: Job, wanted: list[Quantity], weight: Tensor | None
) -> tuple[Tensor, dict[Quantity, Tensor]] | None:
    """The losses of a tile and their derivatives by its quantities; None where it asks for others."""
    leaves = {name: found[name] for name in wanted}
    floating = [name for name, value in leaves.items() if value.is_floating_point()]
    with torch.enable_grad():
        for name in floating:
            leaves[name] = leaves[name].detach().requires_grad_()
        here = Needs(job.needs.quantities, tile.ids)
        prediction = StreamedPrediction(leaves, here, tile.targets, job.vocab_size, job.wide, job.vocabulary)
        losses = score(job.objective, prediction)
        if losses is None or prediction.missing:
            return None
        partials = torch.autograd.grad(losses, [leaves[n] for n in floating], torch.ones_like(losses)
                                       if weight is None else weight, allow_unused=True)  # fmt: skip
    return losses.detach(), {n: d for n, d in zip(floating, partials, strict=True) if d is not None}


class Streamed(NamedTuple):
    total: Tensor  # []
    losses: Tensor  # [...]
    seen: dict[str, Tensor]  # what else the sweep saw of each token, detached


def streamed(
    hidden: Tensor, lm_head: Tensor, targets: Tensor, objective: Objective, *, weights: Tensor | None = None,
    vocabulary: Mapping[str, Tensor] | None = None, observe: Collection[str] = (), num_valid: int | None = None,
) -> Streamed | str:  # fmt: skip
    """The objective by the streamed route, or a sentence that says why it cannot be streamed.

    Arguments as those of `linear_loss`, which chooses this route by itself.

    Returns:
        the sum over valid tokens, each token's loss, and the by-products that were seen; or a sentence where the
        objective needs the logits themselves, or asks for other statistics each time that it is run.

    Raises:
        ValueError: for a target outside the vocabulary, or an objective that fails on an untrained model.
    """
    num_valid = check_targets(targets, lm_head.shape[0]) if num_valid is None else num_valid
    if objective.scored_alone is None:
        objective.check(lm_head.shape[0], vocabulary, lm_head.device)
    job = Job(hidden, lm_head, targets, objective, num_valid, vocabulary, observe)
    if job.reads_logits:
        return job.why_not
    in_forward = (objective.scored_alone and job.kernels.GRADIENT_IN_FORWARD) or not num_valid
    if in_forward and torch.is_grad_enabled() and (hidden.requires_grad or lm_head.requires_grad):
        if (swept := _in_one_sweep(hidden, lm_head, weights, job)) is not None:
            return Streamed(*_GradientInForward.apply(hidden, lm_head, weights, job, swept[:2]), swept[2])
    found = general(hidden, lm_head, job)  # asks until nothing is missing
    if found is None:
        return job.why_not
    losses, known = found
    total = (losses if weights is None else losses * weights).sum()
    return Streamed(total, losses, {name: value.where(targets >= 0, 0) for name, value in
                                    by_products(known, targets).items()})  # fmt: skip
