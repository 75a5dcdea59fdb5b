"""What training takes at a step, and documents as evaluation reads them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Batch(NamedTuple):
    tokens: np.ndarray  # [batch, seq] int64
    targets: np.ndarray  # [batch, seq] int64: the token that comes after each; IGNORE_INDEX where it does not count


class PackedBatch(NamedTuple):
    tokens: np.ndarray  # as those of `Batch`
    targets: np.ndarray
    segments: np.ndarray  # [batch, seq] int64: the document of each token, which attends to no other; -1: of none


@dataclass(frozen=True, eq=False)
class Document:
    tokens: np.ndarray  # [n] ids, without end marks; in a corpus uint16 or uint32, read from disk where they are used
    num_bytes: int  # of an example, those of its answers
    num_words: int  # by str.split; of an example, those of its answers
    ends: bool  # whether an end mark follows; not after a piece of a text that was cut by position
    answers: np.ndarray | None = None  # [n] bool, whether each token is of an answer; None: it is no example

    @property
    def scored(self) -> np.ndarray | None:
        """`[n + ends]` bool, whether each target counts, the end mark too; None where all do."""
        if self.answers is None:
            return None
        return np.append(self.answers, self.answers[-1:]) if self.ends else self.answers


class Documents(Sequence):
    """The documents of one split, read from disk when they are asked for."""

    def __init__(self, stream: np.ndarray, index: np.ndarray, answers: tuple[np.ndarray, np.ndarray] | None = None):
        self.stream, self.index, self.answers = stream, index, answers

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, number):
        if isinstance(number, slice):
            return [self[i] for i in range(*number.indices(len(self)))]
        start, stop, num_bytes, num_words, ends = self.index[number].tolist()
        tokens = np.asarray(self.stream[start:stop])
        if self.answers is None:
            return Document(tokens, num_bytes, num_words, bool(ends))
        flags, own = self.answers
        return Document(tokens, *own[number].tolist(), bool(ends), flags[start:stop] == 1)
