"""What losses cost from hidden states to their gradients, timed in turn in one process."""

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from losslab import machine
from losslab.fused import linear_loss
from losslab.objective import Objective


class Batch(NamedTuple):
    """What `linear_loss` is given besides the loss."""

    hidden: Tensor  # [..., width]
    lm_head: Tensor  # [vocab, width]
    targets: Tensor  # [...]
    vocabulary: Mapping[str, Tensor] | None = None
    dtype: str = "float32"


def forward_and_backward(objective: Objective, batch: Batch, route: str | None = None) -> None:
    """One call of `linear_loss` and its gradients by the hidden states and the head; waits for the device.

    Args:
        objective: the loss to be timed.
        batch: what it is given.
        route: as for `linear_loss`.

    Raises:
        ValueError: for a route that the objective cannot take.
    """
    inputs = batch.hidden.detach().requires_grad_(), batch.lm_head.detach().requires_grad_()
    kind = batch.hidden.device.type
    with machine.autocast(kind, batch.dtype):
        total = linear_loss(*inputs, batch.targets, objective, vocabulary=batch.vocabulary, route=route).total
    torch.autograd.grad(total, inputs)
    if kind == "cuda":
        torch.cuda.synchronize()


def in_turn(objectives: Sequence[Objective], batch: Batch, repeats: int, routes: Sequence[str | None] = ()) -> list:
    """Seconds of each objective, `[objectives][repeats]`, the order reversed from round to round.

    In turn, so that what other processes take from this one is taken from all of them. One round before warms up.

    Args:
        objectives: to compare.
        batch: one for all.
        repeats: rounds that count.
        routes: of each objective; by default the one that `linear_loss` chooses.
    """
    calls = list(zip(objectives, routes or [None] * len(objectives), strict=True))
    seconds: list[list[float]] = [[] for _ in calls]
    for turn in range(repeats + 1):
        for (objective, route), taken in list(zip(calls, seconds, strict=True))[:: 1 if turn % 2 else -1]:
            started = time.perf_counter()
            forward_and_backward(objective, batch, route)
            taken.append(time.perf_counter() - started)
    return [taken[1:] for taken in seconds]
