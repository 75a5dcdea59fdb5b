"""Which document is in which split: decided by the text alone, so that it is the same everywhere and always."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import NamedTuple

import numpy as np

SPLITS = ("train", "val", "tune")
RULE = 1  # raised when the same text would be split differently
EVERY = 50  # of the training documents of a folder, those that become `tune`


class Piece(NamedTuple):
    """A document on its way into a corpus."""

    content: str | np.ndarray  # text, or the token ids of a shard
    role: str = ""  # the split that the source decides; empty leaves it to the digest of the content
    ends: bool = True  # whether the document ends here, so that an end mark follows


def single_by_position(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The documents as they come; a text of one document is cut as nanoGPT does: `val` is its last tenth."""
    for alone, piece in _alone(pieces):
        text = piece.content
        if alone:  # len and slices count characters of a text and tokens of a shard
            tune, val = int(len(text) * 0.02), int(len(text) * 0.9)
            yield Piece(text[:tune], "tune", ends=False)
            yield Piece(text[tune:val], "train", ends=False)
            yield Piece(text[val:], "val", ends=False)
        else:
            yield piece


def folder_train(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """The training files of a folder; of a text of one document the first 2 % become `tune`."""
    for alone, piece in _alone(pieces):
        text = piece.content
        if alone:
            tune = int(len(text) * 0.02)
            yield Piece(text[:tune], "tune", ends=False)
            yield Piece(text[tune:], "train", ends=False)
        else:
            yield piece._replace(role="train")


def folder_val(pieces: Iterable[Piece], val_bytes: int, token_bytes: np.ndarray | None = None) -> Iterator[Piece]:
    """The validation files of a folder; a text of one document is cut after `val_bytes`."""
    for alone, piece in _alone(pieces):
        text = piece.content
        if alone:
            if isinstance(text, str):
                kept = text.encode()[:val_bytes].decode(errors="ignore")
            else:
                kept = text[: np.searchsorted(np.cumsum(token_bytes[text]), val_bytes, side="right")]
            yield Piece(kept, "val", ends=piece.ends and len(kept) == len(text))
        else:
            yield piece._replace(role="val")


def _alone(pieces: Iterable[Piece]) -> Iterator[tuple[bool, Piece]]:
    """Each piece, and whether it is the only one."""
    pieces = iter(pieces)
    first = list(islice(pieces, 2))
    for piece in chain(first, pieces):
        yield len(first) == 1, piece


def assign(
    roles: Sequence[str], keys: Sequence[bytes], sizes: Sequence[int], *, val_bytes: int, tune_bytes: int
) -> list[str]:
    """The split of each document; an empty string drops it, because its text is already in `val` or `tune`.

    Without roles, documents are ordered by digest: the first that fit into `val_bytes` and a tenth of the text are
    `val`, the next that fit into `tune_bytes` and a tenth are `tune`. With a validation file, every 50th training
    document is `tune`, up to `tune_bytes`. Equal documents share a digest, so no text is in two splits.

    Args:
        roles: what the source decided of each document, or nothing.
        keys: the digest of each document.
        sizes: bytes of each document.
        val_bytes: size of `val` where the rule decides it.
        tune_bytes: size of `tune` where the rule decides it.
    """
    numbers = range(len(roles))
    if not any(roles):
        tenth = sum(sizes) // 10
        val = _fill(numbers, keys, sizes, min(val_bytes, tenth))
        tune = _fill((i for i in numbers if keys[i] not in val), keys, sizes, min(tune_bytes, tenth))
        return ["val" if key in val else "tune" if key in tune else "train" for key in keys]
    given = [i for i in numbers if roles[i] == "val"]
    val = {keys[i] for i in given}
    if "tune" in roles:  # the source decided everything
        tune = {keys[i] for i in numbers if roles[i] == "tune"} - val
        copy_of_tune = ""
    else:
        if sum(sizes[i] for i in given) > val_bytes:
            val = _fill(given, keys, sizes, val_bytes)
        train = [i for i in numbers if roles[i] == "train" and keys[i] not in val]
        tune = _every(EVERY, train, keys, sizes, tune_bytes)
        copy_of_tune = "tune"
    kept = {(split, split): split for split in SPLITS} | {("train", "tune"): copy_of_tune}
    found = ("val" if key in val else "tune" if key in tune else "train" for key in keys)
    return [kept.get(pair, "") for pair in zip(roles, found, strict=True)]


def _fill(numbers: Iterable[int], keys: Sequence[bytes], sizes: Sequence[int], limit: int) -> set[bytes]:
    """Digests of the documents that fit into `limit` bytes, in the order of the digests.

    One that does not fit is passed over until half of `limit` is used, and ends the search after that: to go on would
    fill the rest with ever shorter documents.
    """
    groups: dict[bytes, int] = {}  # equal documents go together
    for i in numbers:
        groups[keys[i]] = groups.get(keys[i], 0) + sizes[i]
    taken, used = set(), 0
    for key in sorted(groups):
        if used + groups[key] <= limit:
            taken.add(key)
            used += groups[key]
        elif 2 * used >= limit:
            break
    return taken


def _every(step: int, numbers: Sequence[int], keys: Sequence[bytes], sizes: Sequence[int], limit: int) -> set[bytes]:
    """Digests of every `step`-th document until `limit` bytes are reached; one at least."""
    taken, used = set(), 0
    for i in numbers[::step]:
        if taken and used + sizes[i] > limit:
            break
        taken.add(keys[i])
        used += sizes[i]
    return taken
