"""Dropout that several ranks draw as one process would: what a sequence loses does not depend on where it is computed.

In one process PyTorch draws the masks of a micro-batch from its one stream of random numbers, place by place. A rank
that has some of the sequences draws the same masks, of all sequences of those micro-batches, and takes its rows. So
each rank draws the masks of the whole batch, which is the cost: as many random numbers as one process, whatever the
number of ranks. A second micro-batch in one process continues the stream of the first, so the numbers between are
drawn and dropped.

For CPUs alone: on a GPU the fused kernels of attention draw inside, and no rank can tell what another one drew.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from torch import Tensor, nn

_masks: ContextVar["Masks | None"] = ContextVar("masks", default=None)


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

    def factors(self, place: int, dtype: torch.dtype) -> Tensor:
        """`[own rows, *shape]`: 0 where a number is dropped, otherwise 1 / (1 - p)."""
        pieces, wanted = [], list(self.own)
        while wanted:
            number = wanted[0] // self.micro_batch
            first = number * self.micro_batch
            here = [row - first for row in wanted if row < first + self.micro_batch]
            pieces.append(self._drawn(number * len(self.places) + place)[here])
            wanted = wanted[len(here) :]
        return torch.cat(pieces).to(dtype).div_(1 - self.p)

    def _drawn(self, index: int) -> Tensor:
        """`[micro-batch, *shape]` of bool: the draw with this number, after those before it."""
        for earlier in range(len(self._states) - 1, index):
            self._draw(earlier)
        return self._draw(index)

    def _draw(self, index: int) -> Tensor:
        number, place = divmod(index, len(self.places))
        count = min(self.micro_batch, self.rows - number * self.micro_batch)
        self._generator.set_state(self._states[index])
        mask = torch.empty(count, *self.places[place], dtype=torch.bool)
        mask.bernoulli_(1 - self.p, generator=self._generator)
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
        masks = _masks.get()
        if masks is None or not self.training or self.p == 0:
            return super().forward(x)
        return x * masks.factors(self.place, x.dtype)
