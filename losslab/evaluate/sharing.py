"""Measuring that the ranks of `torchrun` share: each takes every so many-th batch, and all get the sums.

No rank waits for one that cannot go on: before each sum they tell each other whether all of them are there.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from losslab import parallel
from losslab.untrusted import one_line

Found = TypeVar("Found")
MOST_BYTES = 400  # of the sentence of a rank that cannot go on


class LeftOut(ValueError):
    """What all ranks give up, because one of them could not go on."""


@dataclass(frozen=True)
class Ranks:
    """One of `world` processes that measure together; by default one that measures by itself."""

    rank: int = 0
    world: int = 1

    @classmethod
    def here(cls) -> "Ranks":
        """This process among those that `torchrun` started."""
        return cls(parallel.rank(), parallel.world_size())

    def takes(self, number: int) -> bool:
        """Whether the batch `number` is this process's."""
        return number % self.world == self.rank

    def summed(self, values: np.ndarray, device: torch.device | str) -> np.ndarray:
        """The sum over all ranks, on every rank; `device` is where they exchange tensors.

        Raises:
            LeftOut: on all ranks, where another one is inside `together` and failed, or sums something else.
        """
        if self.world == 1:
            return values
        _agree(device, size=values.size)
        return parallel.sum(torch.from_numpy(values), device).numpy()


def together(work: Callable[[], Found], device: torch.device | str) -> Found:
    """What `work()` gives on this rank; where it fails on one rank, it fails on all of them, and none waits.

    Args:
        work: the same on all ranks, which speak to each other in it through `Ranks.summed` alone.
        device: where they exchange tensors.

    Raises:
        LeftOut: with the sentence of the rank that failed, on the others.
    """
    if parallel.world_size() == 1:
        return work()
    try:
        found = work()
    except LeftOut:  # all ranks know
        raise
    except Exception as error:
        with contextlib.suppress(LeftOut):
            _agree(device, failed=one_line(" ".join(str(error).split())) or type(error).__name__)
        raise
    _agree(device)
    return found


def _agree(device: torch.device | str, *, failed: str = "", size: int = -1) -> None:
    """Go on where no rank has failed and all are about to sum as many numbers (-1: they are done)."""
    told = parallel.everyone(torch.tensor([bool(failed), size], dtype=torch.float64), device)
    if told[:, 0].any():
        text = torch.zeros(MOST_BYTES, dtype=torch.float64)
        own = failed.encode()[:MOST_BYTES]
        text[: len(own)] = torch.tensor(list(own), dtype=torch.float64)
        rank = int(told[:, 0].argmax())  # the first one that failed
        letters = parallel.everyone(text, device)[rank].to(torch.uint8).tolist()
        sentence = bytes(letters).rstrip(b"\0").decode(errors="ignore")
        raise LeftOut(f"{sentence} (on rank {rank})")
    if (told[:, 1] != told[0, 1]).any():
        raise LeftOut("the ranks do not measure the same items; give all of them the same files")
