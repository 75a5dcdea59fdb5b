"""The vectors over a vocabulary that a loss may ask for."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch


class VocabularyVectors(Mapping):
    """The `[vocab_size]` vectors of a corpus on one device by name, each built when a loss first asks for it."""

    def __init__(self, build: Mapping[str, Callable[[], np.ndarray]], device: str = "cpu"):
        self._build, self._device = build, device
        self._built: dict[str, torch.Tensor] = {}

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self._built:
            vector = torch.as_tensor(self._build[name]())
            vector = vector.float() if vector.is_floating_point() else vector
            self._built[name] = vector.to(self._device)
        return self._built[name]

    def __contains__(self, name) -> bool:
        return name in self._build

    def __iter__(self):
        return iter(self._build)

    def __len__(self) -> int:
        return len(self._build)

    def padded(self, rows: int) -> "VocabularyVectors":
        """With entries for ids that have no token: none of them came (0), and none is a beginning of another (-1)."""
        def longer(name: str) -> np.ndarray:
            vector = self._build[name]()
            own = np.asarray(vector)
            return np.pad(own, (0, rows - len(own)), constant_values=0 if own.dtype.kind == "f" else -1)

        return VocabularyVectors({name: partial(longer, name) for name in self}, self._device)

    def to(self, device: str) -> "VocabularyVectors":
        return VocabularyVectors({name: partial(self.__getitem__, name) for name in self}, device)
