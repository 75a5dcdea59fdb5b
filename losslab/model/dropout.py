"""Dropout: how its masks are drawn, and that several ranks draw the same ones as one process would.

With the numerics `fast`, on a CPU, 16 random bits decide over each number, so the probability is the nearest multiple
of 2**-16. One step of the generator gives four such draws, where PyTorch takes one or more steps for each.

In one process the masks of a micro-batch are drawn from one stream of random numbers, place by place. A rank
that has some of the sequences draws the same masks, of all sequences of those micro-batches, and takes its rows. So
each rank draws the masks of the whole batch, which is the cost: as many random numbers as one process, whatever the
number of ranks. A second micro-batch in one process continues the stream of the first, so the numbers between are
drawn and dropped.

For CPUs alone: on a GPU the fused kernels of attention draw inside, and no rank can tell what another one drew.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

from losslab.kernels import products

STEPS_OF_P = 2**16  # with the numerics fast
_masks: ContextVar["Masks | None"] = ContextVar("masks", default=None)


def drawn(shape: Sequence[int], p: float, generator: torch.Generator | None = None) -> Tensor:
    """Bool, True where a number is kept, from the CPU's generator or from this one, as the numerics have it."""
    if not products.is_fast():
        return torch.empty(shape, dtype=torch.bool).bernoulli_(1 - p, generator=generator)
    count = math.prod(shape)
    bits = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None, generator=generator)
    return (bits.view(torch.int16)[:count] >= _steps(p) - STEPS_OF_P // 2).view(shape)


def _steps(p: float) -> int:
    return min(round(p * STEPS_OF_P), STEPS_OF_P - 1)


def scale(p: float) -> float:
    """By which what is kept is multiplied, so that the mean stays."""
    return STEPS_OF_P / (STEPS_OF_P - _steps(p)) if products.is_fast() else 1 / (1 - p)


class Masks:
    """What the sequences of one update lose.

    Args:
        seed: of the update, from which one process would draw.
        rows: sequences in the whole batch.
        micro_batch: sequences in a forward pass of one process.
        places: of each place that drops something, in the order of the forward pass, the shape for one sequence.
        p: probability of dropping a number.
    """

    def __init__(self, seed: int, rows: int, micro_batch: int, places: Sequence[tuple[int, ...]], p: float):
        self._generator = torch.Generator().manual_seed(seed)
        self._states = [self._generator.get_state()]  # before each draw so far
        self.rows, self.micro_batch, self.places, self.p = rows, micro_batch, places, p
        self.own: Sequence[int] = range(rows)  # those that are computed now, in order

    def kept(self, place: int) -> Tensor:
        """Bool `[own rows, *shape]`: True where a number is kept."""
        pieces, wanted = [], list(self.own)
        while wanted:
            number = wanted[0] // self.micro_batch
            first = number * self.micro_batch
            here = [row - first for row in wanted if row < first + self.micro_batch]
            pieces.append(self._drawn(number * len(self.places) + place)[here])
            wanted = wanted[len(here) :]
        return torch.cat(pieces)

    def _drawn(self, index: int) -> Tensor:
        """`[micro-batch, *shape]` of bool: the draw with this number, after those before it."""
        for earlier in range(len(self._states) - 1, index):
            self._draw(earlier)
        return self._draw(index)

    def _draw(self, index: int) -> Tensor:
        number, place = divmod(index, len(self.places))
        count = min(self.micro_batch, self.rows - number * self.micro_batch)
        self._generator.set_state(self._states[index])
        mask = drawn((count, *self.places[place]), self.p, self._generator)
        if index == len(self._states) - 1:
            self._states.append(self._generator.get_state())
        return mask


@contextmanager
def drawn_from(masks: Masks | None) -> Iterator[None]:
    """Every dropout inside takes these masks; None: it draws its own, as PyTorch does."""
    token = _masks.set(masks)
    try:
        yield
    finally:
        _masks.reset(token)


def current() -> Masks | None:
    """The masks in use, if any."""
    return _masks.get()


def kept(shape: Sequence[int], p: float, place: int, device: torch.device) -> Tensor | None:
    """What is kept at a place of a model in training; None where PyTorch draws, and drops, by itself."""
    masks = _masks.get()
    if masks is not None:
        return masks.kept(place)
    return drawn(shape, p) if products.is_fast() and device.type == "cpu" else None


class Dropout(nn.Dropout):
    """`nn.Dropout` at one place of a model, numbered in the order of the forward pass.

    Args:
        p: probability of dropping a number.
        place: its number.
    """

    def __init__(self, p: float, place: int):
        super().__init__(p)
        self.place = place

    def forward(self, x: Tensor) -> Tensor:
        keep = kept(x.shape, self.p, self.place, x.device) if self.training and self.p > 0 else None
        if keep is None:
            return super().forward(x)
        return x * keep.to(x.dtype).mul_(scale(self.p))
