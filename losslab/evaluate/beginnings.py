"""Token sequences that begin alike, laid side by side so that a model reads their beginning once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

EVEN = 3 / 4  # a batch of some size takes no row that is shorter than this share of its longest
WORTHWHILE = 1 / 4  # a sequence joins others where this share of it need not be read again


@dataclass(frozen=True)
class Row:
    """Sequences with a common beginning: the beginning, then the continuation of each.

    Of the beginning `abc`, `abcde` and `abcf`, the row reads `abc de f`; `f` must attend to `abc` alone.
    """

    tokens: np.ndarray  # int64 [length]
    num_shared: int  # tokens of the beginning
    members: list[tuple[int, int]]  # (index of the sequence, where its own tokens begin in `tokens`)
    branches: np.ndarray  # int64 [length], 0 in the beginning, then 1, 2, ... for whose token it is
    positions: np.ndarray  # int64 [length], place of the token in its sequence

    def __len__(self) -> int:
        return len(self.tokens)

    def slots(self, start: int, places: np.ndarray) -> np.ndarray:
        """Where in the row the tokens at `places` of a member are, given where its own tokens begin."""
        return np.where(places < self.num_shared, places, places - self.num_shared + start)


def rows(sequences: Sequence[np.ndarray], *, max_tokens: int, shares: bool = True) -> list[Row]:
    """Every sequence in exactly one row; equal sequences are always read once.

    Args:
        sequences: of at least one token id each.
        max_tokens: a row is no longer than this, unless one sequence is.
        shares: False gives one row to each different sequence.

    Example:
        >>> abcde, abcf = np.array([1, 2, 3, 4, 5]), np.array([1, 2, 3, 6])
        >>> (row,) = rows([abcde, abcf], max_tokens=100)
        >>> row.tokens.tolist()
        [1, 2, 3, 4, 5, 6]
    """
    in_order = sorted(range(len(sequences)), key=lambda index: sequences[index].astype(">u4").tobytes())
    found: list[Row] = []
    group: list[list[int]] = []  # of equal sequences each; those that begin alike are neighbors in this order
    shared = size = 0
    for index in in_order:
        new = sequences[index]
        if group:
            common = common_length(sequences[group[-1][0]], new)
            if common == len(new):  # equal: a proper prefix would have come before
                group[-1].append(index)
                continue
            common = min(common, shared)
            spared = len(group) * common - (len(group) - 1) * shared  # a shorter beginning is read again by the others
            larger = size + len(new) - spared
            if shares and spared >= WORTHWHILE * len(new) and larger <= max_tokens:
                group.append([index])
                shared, size = common, larger
                continue
            found.append(_row(sequences, group, shared))
        group, shared, size = [[index]], len(new), len(new)
    return found + ([_row(sequences, group, shared)] if group else [])


def batches(found: Sequence[Row], *, max_tokens: int) -> Iterator[list[Row]]:
    """Rows of about the same length together, at most `max_tokens` with padding, unless one row is longer."""
    batch: list[Row] = []
    for row in sorted(found, key=lambda row: (len(row), row.num_shared), reverse=True):
        padded = len(batch) * len(batch[0]) if batch else 0
        uneven = padded > max_tokens / 4 and len(row) < EVEN * len(batch[0])
        if batch and (uneven or padded + len(batch[0]) > max_tokens):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _row(sequences, group: list[list[int]], shared: int) -> Row:
    parts, members, branches = [sequences[group[0][0]][:shared]], [], [np.zeros(shared, dtype=np.int64)]
    positions, start = [np.arange(shared)], shared
    for branch, equal in enumerate(group, start=1):
        own = sequences[equal[0]][shared:]
        members += [(index, start) for index in equal]
        parts.append(own)
        branches.append(np.full(len(own), branch))
        positions.append(np.arange(shared, shared + len(own)))
        start += len(own)
    return Row(np.concatenate(parts), shared, members, np.concatenate(branches), np.concatenate(positions))


def common_length(a: np.ndarray, b: np.ndarray) -> int:
    """The number of tokens at the beginning that two sequences have in common.

    Example:
        >>> common_length(np.array([1, 2, 3]), np.array([1, 2, 4, 5]))
        2
    """
    length = min(len(a), len(b))
    differ = a[:length] != b[:length]
    return int(differ.argmax()) if differ.any() else length
