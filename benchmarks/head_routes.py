"""The routes of `linear_loss`, and how far each is from the truth on one problem."""

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from losslab import fused
from losslab.config import IGNORE_INDEX
from losslab.fused import linear_loss
from losslab.kernels import cpu
from losslab.objective import Objective

TINY = torch.finfo(torch.float32).tiny  # a truth that float32 cannot hold counts as this
PARTS = ("value", "grad_hidden", "grad_lm_head")
DTYPES = ("float64", "float32", "bfloat16")


class Problem(NamedTuple):
    hidden: Tensor  # [rows, seq, width], float32 as all of these
    lm_head: Tensor  # [vocab, width]
    targets: Tensor
    weights: Tensor  # of the tokens
    vocabulary: dict[str, Tensor]
    tile_rows: int  # at most; divides neither the tokens nor a row of them


def problem(scale: float, rows: int = 3, seq: int = 169, width: int = 16, vocab: int = 123, *, tile_rows: int = 37,
            seed: int = 7, exact: bool = True) -> Problem:  # fmt: skip
    """Logits of about `scale`; `exact` ones are sums of small multiples of a power of two, which no order rounds."""
    rng = torch.Generator().manual_seed(seed)
    hidden, lm_head = torch.randn(rows, seq, width, generator=rng), torch.randn(vocab, width, generator=rng)
    if exact:
        hidden, lm_head = (40 * hidden).round().clamp(-128, 128), (40 * lm_head).round().clamp(-128, 128)
    top = float((hidden @ lm_head.T).abs().max())
    hidden *= 2.0 ** round(math.log2(scale / top)) if exact else scale / top
    targets = torch.randint(vocab, (rows, seq), generator=rng)
    targets[:, ::5] = IGNORE_INDEX
    targets[0, 11:15] = 4  # one column for many tokens, and for a token as its target and the ones to come
    ids, often = torch.arange(vocab), 1 / torch.arange(1.0, vocab + 1, dtype=torch.float64)
    # half of id 0 is 0 itself: the prefix coincides with the target
    vectors = {"unigram": often / often.sum(), "prefix_of": torch.where(ids % 3 == 1, -1, ids // 2)}
    return Problem(hidden, lm_head, targets, torch.rand(rows, seq, generator=rng), vectors, tile_rows)


@contextmanager
def small_pieces(given: Problem) -> Iterator[None]:
    """Tiles and pieces of few tokens, so that a small problem has many."""
    before = cpu.MAX_ROWS, fused.CHUNK_BYTES
    cpu.MAX_ROWS = given.tile_rows
    fused.CHUNK_BYTES = given.tile_rows * len(given.lm_head) * 4
    try:
        yield
    finally:
        cpu.MAX_ROWS, fused.CHUNK_BYTES = before


Route = Callable[[Objective, Tensor, Tensor, Problem], tuple[Tensor, Tensor]]  # to total and losses


def by_total(route: str) -> Route:
    def run(objective, hidden, lm_head, given):
        found = linear_loss(hidden, lm_head, given.targets, objective, weights=given.weights.to(hidden.dtype),
                            vocabulary=given.vocabulary, route=route)  # fmt: skip
        return found.total, found.statistics.losses

    return run


def by_losses(route: str) -> Route:
    def run(objective, hidden, lm_head, given):
        losses = linear_loss(hidden, lm_head, given.targets, objective, vocabulary=given.vocabulary,
                             route=route).statistics.losses  # fmt: skip
        return (losses * given.weights).sum(), losses

    return run


ROUTES = {
    "dense": by_total("dense"), "chunked": by_total("chunked"), "streamed": by_total("streamed"),
    "streamed in two sweeps": by_losses("streamed"),
}
STREAMED = [name for name in ROUTES if name.startswith("streamed")]


def evaluate(run: Route, objective: Objective, given: Problem, dtype: str) -> tuple[Tensor, Tensor, Tensor]:
    """Losses and both gradients; bfloat16 is autocast over float32 weights, as in training."""
    wide = torch.float64 if dtype == "float64" else torch.float32
    hidden, lm_head = (x.to(wide).requires_grad_() for x in (given.hidden, given.lm_head))
    autocast = torch.autocast("cpu", dtype=torch.bfloat16) if dtype == "bfloat16" else nullcontext()
    with autocast, small_pieces(given):
        total, losses = run(objective, hidden, lm_head, given)
        return losses.detach(), *torch.autograd.grad(total, (hidden, lm_head))


def truth(objective: Objective, given: Problem) -> tuple[Tensor, Tensor, Tensor]:
    """By nothing but autograd over whole logits in float64."""
    hidden, lm_head = (x.double().requires_grad_() for x in (given.hidden, given.lm_head))
    losses = objective(F.linear(hidden, lm_head), given.targets, given.vocabulary)
    return losses.detach(), *torch.autograd.grad((losses * given.weights).sum(), (hidden, lm_head))


def measure(text: str, given: Problem, dtypes=DTYPES) -> dict[tuple[str, str], tuple]:
    """(dtype, route) -> the errors of value, grad_hidden and grad_lm_head, for each route that the formula can take.

    Raises:
        AssertionError: for an ignored token whose value or gradient is not exactly zero.
    """
    objective = Objective.parse(text)
    true, masked, found = truth(objective, given), given.targets == IGNORE_INDEX, {}
    for dtype, (name, run) in itertools.product(dtypes, ROUTES.items()):
        try:
            got = evaluate(run, objective, given, dtype)
        except ValueError:  # not a route for it
            continue
        assert not got[0][masked].any() and not got[1][masked].any(), f"{text} by {name} in {dtype}: ignored, not zero"
        found[dtype, name] = tuple(
            float((a.double() - b).abs().max() / b.abs().max().clamp_min(TINY)) for a, b in zip(got, true, strict=True)
        )
    return found
