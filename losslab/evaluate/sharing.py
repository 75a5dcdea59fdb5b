"""Measuring that the ranks of `torchrun` share: each takes every so many-th batch, and all get the sums."""

from dataclasses import dataclass

import numpy as np
import torch

from losslab import parallel


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
        """The sum over all ranks, on every rank; `device` is where they exchange tensors."""
        if self.world == 1:
            return values
        return parallel.sum(torch.from_numpy(values), device).numpy()
