"""What training takes at a step, and a document as evaluation reads it."""

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
