"""The batches of a curriculum: windows over whole documents of the share that is admitted, and no others.

A stage is a number of updates during which as many documents are admitted. Its documents come one behind the other,
each with its end mark, and the windows over them are visited in a shuffled order, so that the pieces of one document do
not stand in one batch. Documents come in sweeps: each admitted one once in a sweep, in an order that only the key and
the number of the sweep decide; a stage continues the sweep of the one before, and documents that are new take their
places among those that are still to come. Once all are admitted, batches are those of a run without a curriculum.
"""

import hashlib
from typing import NamedTuple

import numpy as np

from losslab.config import Growth
from losslab.corpus.batch import Batch, Documents
from losslab.corpus.pacing import Curriculum
from losslab.corpus.windows import Batches

MOST_WINDOWS = 2**20  # shuffled at once, which bounds memory; a longer stage is shuffled in parts
PIECE_WINDOWS = 16  # a document of more windows takes several places in a sweep, or it would fill whole batches


class Stage(NamedTuple):
    first: int  # update
    last: int  # not included
    num_pieces: int  # that are admitted, of all in the order of their admission
    num_tokens: int  # of these


class Place(NamedTuple):
    """Where a stage begins: in which sweep, at which piece of it (by its key), and how many of its tokens are used."""

    sweep: int
    key: int
    used: int


class Stream(NamedTuple):
    """The documents of a stage one behind the other, and the order in which its windows are visited."""

    pieces: np.ndarray  # [visits] numbers of pieces
    begins: np.ndarray  # [visits] where each begins in the stream; the first one before 0, if a part of it is used
    windows: np.ndarray  # [windows] numbers of windows


class Paced:
    """`batches(step)` of a curriculum; as `Batches`, a pure function of the key and the step.

    A step needs the places at which the stages before it end. They are found once, in order, from nothing but the key.
    """

    def __init__(
        self, documents: Documents, curriculum: Curriculum, key: str, growth: Growth, *, seq_len: int, rank: int = 0,
        world: int = 1,
    ):
        self.stream, self.key, self.growth = documents.stream, key, growth
        self.seq_len, self.rank, self.world = seq_len, rank, world
        self.pacing = curriculum.pacing
        self.after = Batches(self.stream, key, growth, seq_len=seq_len, rank=rank, world=world)
        index = documents.index
        starts = np.asarray(index[:, 0])[curriculum.ranking]
        lengths = np.asarray(index[:, 1] + index[:, 4] - index[:, 0])[curriculum.ranking]  # with the end mark
        self.starts, self.lengths, pieces = cut(starts, lengths, PIECE_WINDOWS * seq_len)
        self._after_documents = np.cumsum(pieces)  # pieces of the first so many documents
        self._after_tokens = np.cumsum(lengths)
        self.stages = self._stages()
        self._lasts = np.array([stage.last for stage in self.stages])
        self._places = [Place(0, 0, 0)]  # at which the stages begin, as far as they are known
        self._number, self._stream = -1, None

    def __call__(self, step: int) -> Batch:
        if step >= self.pacing.ramp:
            return self.after.read(self._rows(step, self.pacing.ramp))
        number = int(np.searchsorted(self._lasts, step, side="right"))
        stream = self._of(number)
        own = self._rows(step, self.stages[number].first)[self.rank :: self.world]
        windows = np.stack([self._window(stream, int(stream.windows[row])) for row in own]).astype(np.int64)
        return Batch(np.ascontiguousarray(windows[:, :-1]), np.ascontiguousarray(windows[:, 1:]))

    def _rows(self, step: int, since: int) -> range:
        """The rows of an update, counted from the first row of the update `since`."""
        rows, before = self.growth.rows(step), self.growth.before(since)
        return range(rows.start - before, rows.stop - before)

    def num_documents(self, step: int) -> int:
        """How many documents are admitted: the nearest number to the share, and enough to fill one update."""
        total = len(self._after_documents)
        fewest = int(np.searchsorted(self._after_tokens, self.growth.full * self.seq_len + 1)) + 1
        return min(total, max(round(self.pacing.share(step) * total), fewest))

    def _stages(self) -> list[Stage]:
        found, most = [], max(1, MOST_WINDOWS // self.growth.full)
        for begin, end in self.pacing.stages():
            last = self.num_documents(begin) - 1
            sizes = int(self._after_documents[last]), int(self._after_tokens[last])
            found += [Stage(first, min(first + most, end), *sizes) for first in range(begin, end, most)]
        return found

    def _of(self, number: int) -> Stream:
        """The documents of a stage; those of the newest one are kept."""
        if number != self._number:
            while len(self._places) <= number:
                self._places.append(self._visits(len(self._places) - 1)[2])
            pieces, begins, following = self._visits(number)
            if len(self._places) == number + 1:
                self._places.append(following)
            order = np.argsort(self._bits(f"stage/{number}", self._num_windows(number)), kind="stable")
            self._number, self._stream = number, Stream(pieces, begins, order)
        return self._stream

    def _num_windows(self, number: int) -> int:
        return self._rows(self.stages[number].last, self.stages[number].first).start

    def _visits(self, number: int) -> tuple[np.ndarray, np.ndarray, Place]:
        """The pieces of a stage in their order, where each begins in its stream, and where the next stage begins."""
        place, needed = self._places[number], self._num_windows(number) * self.seq_len
        _, _, num_pieces, num_tokens = self.stages[number]
        found: list[np.ndarray] = []
        sweep, key, total, sweeps = place.sweep, place.key, -place.used, []
        while total <= needed:  # one token more than the windows take: the last target
            keys = self._bits(f"sweep/{sweep}", num_pieces)
            coming = np.flatnonzero(keys >= np.uint64(key))
            about = 64 + int(1.2 * (needed - total) * num_pieces / num_tokens)  # of a long sweep, not all are sorted
            part = about < len(coming)
            if part:
                coming = coming[np.argpartition(keys[coming], about)[:about]]
            order = coming[np.argsort(keys[coming], kind="stable")]
            ends = total + np.cumsum(self.lengths[order])
            order = order[: int(np.searchsorted(ends, needed, side="right")) + 1]
            found.append(order)
            sweeps.append(sweep)
            total += int(self.lengths[order].sum())
            sweep, key = (sweep, int(keys[order[-1]]) + 1) if part else (sweep + 1, 0)
        pieces = np.concatenate(found)
        begins = np.concatenate([[0], np.cumsum(self.lengths[pieces])[:-1]]) - place.used
        at = int(np.searchsorted(begins, needed, side="right")) - 1  # the piece that holds the next stage's first token
        of_sweep = int(np.searchsorted(np.cumsum([len(order) for order in found]), at, side="right"))
        key = int(self._bits(f"sweep/{sweeps[of_sweep]}", num_pieces)[pieces[at]])
        return pieces, begins, Place(sweeps[of_sweep], key, needed - int(begins[at]))

    def _bits(self, what: str, count: int) -> np.ndarray:
        """`[count]` random uint64: of a longer array the first ones, so that a piece keeps its key as others join."""
        key = int.from_bytes(hashlib.sha256(f"{self.key}/curriculum/{what}".encode()).digest()[:16], "little")
        return np.random.Philox(key=key).random_raw(count)

    def _window(self, stream: Stream, window: int) -> np.ndarray:
        start, needed = window * self.seq_len, self.seq_len + 1
        at = int(np.searchsorted(stream.begins, start, side="right")) - 1
        parts, used = [], start - int(stream.begins[at])
        while needed:
            piece = stream.pieces[at]
            begin, end = int(self.starts[piece]) + used, int(self.starts[piece] + self.lengths[piece])
            parts.append(self.stream[begin : min(end, begin + needed)])
            needed -= len(parts[-1])
            at, used = at + 1, 0
        return np.concatenate(parts)


def cut(starts: np.ndarray, lengths: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spans cut into pieces of at most `most` tokens: where each piece starts, how long it is, and pieces of each span.

    Example:
        >>> [part.tolist() for part in cut(np.array([7, 0]), np.array([5, 2]), most=2)]
        [[7, 9, 11, 0], [2, 2, 1, 2], [3, 1]]
    """
    counts = -(-lengths // most)
    behind = most * (np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts))
    return np.repeat(starts, counts) + behind, np.minimum(np.repeat(lengths, counts) - behind, most), counts
