"""Batches of windows over a stream of ids, in an order that is a pure function of a key and the step."""

import hashlib

import numpy as np

from losslab.config import IGNORE_INDEX, Growth
from losslab.corpus.batch import Batch


class Batches:
    """`batches(step)`: windows of a stream, each once in an epoch, in an order that only the key decides."""

    def __init__(
        self, stream: np.ndarray, key: str, growth: Growth, *, seq_len: int, rank: int = 0, world: int = 1,
        flags: np.ndarray | None = None,
    ):
        self.stream, self.key, self.growth, self.flags = stream, key, growth, flags
        self.seq_len, self.rank, self.world = seq_len, rank, world
        # an epoch starts at a random place below `offsets`; what it may leave over differs from epoch to epoch
        self.offsets = min(seq_len, len(stream) - seq_len)
        self.num_windows = (len(stream) - self.offsets) // seq_len
        assert self.num_windows >= 1
        self._epoch, self._starts = -1, np.zeros(0, dtype=np.int64)

    def __call__(self, step: int) -> Batch:
        return self.read(self.growth.rows(step))

    def read(self, rows: range) -> Batch:
        """This rank's share of the rows, which are counted from the beginning of the first epoch."""
        own = rows[self.rank :: self.world]
        places = [divmod(row, self.num_windows) for row in own]
        windows = np.stack([self._window(self.stream, *place) for place in places]).astype(np.int64)
        targets = np.ascontiguousarray(windows[:, 1:])
        if self.flags is not None:
            targets[np.stack([self._window(self.flags, *place) for place in places])[:, 1:] == 0] = IGNORE_INDEX
        return Batch(np.ascontiguousarray(windows[:, :-1]), targets)

    @property
    def num_rows(self) -> int:
        """Rows of an epoch."""
        return self.num_windows

    def num_targets(self, num_steps: int) -> int:
        """Targets that count in the first so many updates, over all ranks."""
        epochs, rest = divmod(rows := self.growth.before(num_steps), self.num_windows)
        if self.flags is None:
            return rows * self.seq_len
        before = np.concatenate([[0], np.cumsum(self.flags, dtype=np.int64)])

        def of(epoch: int, count: int) -> int:
            first = self.starts(epoch)[:count] + 1
            return int((before[first + self.seq_len] - before[first]).sum())

        return sum(of(epoch, self.num_windows) for epoch in range(epochs)) + of(epochs, rest)

    def starts(self, epoch: int) -> np.ndarray:
        """`[num_windows]` where the windows of an epoch begin, in the order of their visit."""
        if epoch != self._epoch:
            key = int.from_bytes(hashlib.sha256(f"{self.key}/{epoch}".encode()).digest()[:16], "little")
            # raw bits, since numpy keeps those the same in every version, and its shuffles not
            bits = np.random.Philox(key=key).random_raw(self.num_windows + 1)
            order = np.argsort(bits[1:], kind="stable")
            self._epoch, self._starts = epoch, order * self.seq_len + int(bits[0] % self.offsets)
        return self._starts

    def _window(self, stream: np.ndarray, epoch: int, i: int) -> np.ndarray:
        start = self.starts(epoch)[i]
        return stream[start : start + self.seq_len + 1]
