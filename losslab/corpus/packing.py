"""Batches of whole documents: several in a row, or one, and what fills a row up does not count.

A document is read behind an end mark, as in evaluation, and has its own positions: its row is `<eot> a b c` and its
targets are `a b c <eot>`. In a row, documents attend to themselves alone (`PackedBatch.segments` says which token is
of which document), so that each has the losses that it has by itself.

Which documents share a row is decided by the corpus and the length of a row, and is the same for every seed and in
every epoch; the order of the rows is not. Documents come in a shuffled order, and each goes into the first of the
`OPEN` rows that has room for it.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from losslab.config import IGNORE_INDEX, Growth
from losslab.corpus.batch import Batch, PackedBatch

OPEN = 64  # rows that are filled at once: more leave less room empty, and take longer to search
EMPTY = -1  # the segment of what fills a row up


class Layout:
    """Which documents of a split stand in which row, and what did not fit.

    Args:
        index: `[documents, 5]`, as `corpus.build.COLUMNS` has it.
        flags: `[stream]`, 1 where an id of the stream counts as a target; None where all do.
        key: of the shuffled order in which rows are filled.
        seq_len: tokens of a row.
        packing: `packed` or `padded`.
        too_long: what becomes of longer documents: `truncate` or `leave_out`.

    Raises:
        ValueError: where no document is left.
    """

    def __init__(self, index: np.ndarray, flags: np.ndarray | None, key: str, *, seq_len: int, packing: str,
                 too_long: str, name: str = "this corpus"):
        self.seq_len, self.packing = seq_len, packing
        starts, stops, ends = (np.asarray(index[:, column], dtype=np.int64) for column in (0, 1, 4))
        whole = stops - starts + ends  # targets, the end mark among them
        self.starts, self.lengths = starts, np.minimum(whole, seq_len)
        over = whole > seq_len
        if flags is None:
            counted = self.lengths.copy()
        else:
            before = np.concatenate([[0], np.cumsum(flags, dtype=np.int64)])
            counted = before[starts + self.lengths] - before[starts]
        self.counted = counted  # [documents] targets of each that count
        kept = (counted > 0) & ~(over & (too_long == "leave_out"))
        self.truncated = int((over & kept).sum())
        self.left_out = int((~kept & over).sum())  # too long, or so long that no answer was left
        if not kept.any():
            raise ValueError(f"no document of {name} fits a row of {seq_len} tokens with something to learn in it; "
                             "take a larger train.seq_len")
        self.rows = self._packed(np.flatnonzero(kept), key) if packing == "packed" else [
            [int(document)] for document in np.flatnonzero(kept)]
        self.row_counted = np.array([int(counted[row].sum()) for row in self.rows], dtype=np.int64)

    def _packed(self, documents: np.ndarray, key: str) -> list[list[int]]:
        bits = _random(f"{key}/packing", len(documents))
        rows: list[list[int]] = []
        opened, room = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)  # rows that are filled, oldest first
        for document in documents[np.argsort(bits, kind="stable")].tolist():
            length = int(self.lengths[document])
            fitting = np.flatnonzero(room >= length)
            if not len(fitting):
                rows.append([])
                opened, room = np.append(opened, len(rows) - 1)[-OPEN:], np.append(room, self.seq_len)[-OPEN:]
                fitting = [len(opened) - 1]
            rows[opened[fitting[0]]].append(document)
            room[fitting[0]] -= length
        return rows

    @property
    def filled(self) -> float:
        """The share of the rows that documents fill."""
        return float(sum(self.lengths[row].sum() for row in self.rows)) / (len(self.rows) * self.seq_len)

    def about(self) -> dict:
        return {"rows": len(self.rows), "documents": sum(map(len, self.rows)), "filled": self.filled,
                "truncated": self.truncated, "left_out": self.left_out, "targets": int(self.row_counted.sum())}


class WholeDocuments:
    """`batches(step)` of whole documents; as `Batches`, a pure function of the key and the step.

    Args:
        stream: of the split.
        flags: as those of `Layout`.
        layout: what stands in which row.
        key: names corpus, split and seed.
        growth: how many rows an update has.
        eot: id of the end mark.
    """

    def __init__(self, stream: np.ndarray, flags: np.ndarray | None, layout: Layout, key: str, growth: Growth, *,
                 eot: int, rank: int = 0, world: int = 1):
        self.stream, self.flags, self.layout, self.key, self.growth = stream, flags, layout, key, growth
        self.eot, self.rank, self.world = eot, rank, world
        self._epoch, self._order = -1, np.zeros(0, dtype=np.int64)

    def __call__(self, step: int) -> Batch | PackedBatch:
        own = self.growth.rows(step)[self.rank :: self.world]
        return self.read([self._number(row) for row in own])

    def read(self, numbers: Sequence[int]) -> Batch | PackedBatch:
        """The rows of these numbers."""
        shape = len(numbers), self.layout.seq_len
        tokens = np.full(shape, self.eot, dtype=np.int64)
        targets, segments = np.full(shape, IGNORE_INDEX, dtype=np.int64), np.full(shape, EMPTY, dtype=np.int64)
        for row, number in enumerate(numbers):
            at = 0
            for segment, document in enumerate(self.layout.rows[number]):
                start, length = int(self.layout.starts[document]), int(self.layout.lengths[document])
                place, following = slice(at, at + length), slice(start, start + length)
                tokens[row, at + 1 : at + length] = self.stream[start : start + length - 1]
                targets[row, place] = self.stream[following]
                if self.flags is not None:
                    targets[row, place][self.flags[following] == 0] = IGNORE_INDEX
                segments[row, place] = segment
                at += length
        # one document a row needs no mask: what fills the row up comes behind it
        if self.layout.packing == "padded":
            return Batch(tokens, targets)
        return PackedBatch(tokens, targets, segments)

    @property
    def num_rows(self) -> int:
        """Rows of an epoch."""
        return len(self.layout.rows)

    def num_targets(self, num_steps: int) -> int:
        """Targets that count in the first so many updates, over all ranks."""
        epochs, rest = divmod(self.growth.before(num_steps), len(self.layout.rows))
        counted = self.layout.row_counted
        return epochs * int(counted.sum()) + int(counted[self.order(epochs)[:rest]].sum())

    def order(self, epoch: int) -> np.ndarray:
        """`[rows]` their numbers in the order of their visit."""
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = np.argsort(_random(f"{self.key}/rows/{epoch}", len(self.layout.rows)), kind="stable")
        return self._order

    def _number(self, row: int) -> int:
        epoch, place = divmod(row, len(self.layout.rows))
        return int(self.order(epoch)[place])


def _random(key: str, count: int) -> np.ndarray:
    """`[count]` random uint64."""
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "little")
    return np.random.Philox(key=seed).random_raw(count)
