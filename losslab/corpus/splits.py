"""Which document is in which split: decided by the text alone, so that it is the same everywhere and always."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

SPLITS = ("train", "val", "tune")
RULE = 1  # raised when the same text would be split differently
EVERY = 50  # of the training documents of a folder, those that become `tune`


# why a document is in no split
COPY_OF_VAL, COPY_OF_TUNE = "copies of validation documents", "copies of tune documents"
BEYOND = "beyond data.val_bytes"


class Piece(NamedTuple):
    """A document on its way into a corpus, or a part of a long one."""

    content: str | np.ndarray  # text, or the token ids of a shard
    role: str = ""  # the split that the source decides; empty leaves it to the digest of the content
    ends: bool = True  # whether the document ends here, so that an end mark follows
    more: bool = False  # whether the document continues in the next piece
    is_answer: bool | None = None  # whether it is an answer of an example; None in documents that are no examples
    group: bytes = b""  # documents that share it go to one split; empty: those with the same text do


def cut_by_position(spool, val_bytes: int) -> str:
    """Cut a text that is one document; returns the rule in a sentence, or nothing where there was nothing to cut.

    A file is cut as nanoGPT does: `val` is its last tenth, and its first 2 % are `tune`. In a folder the validation
    text is cut after `val_bytes`, and the first 2 % of the training text are `tune`. Counted are the characters of a
    text and the tokens of a shard.

    Args:
        spool: documents with `roles`, `units` and `ends`, and with `cut` and `units_within`.
        val_bytes: size of `val` where a folder has it.
    """
    numbers = {role: [i for i, found in enumerate(spool.roles) if found == role] for role in ("", "val", "train")}
    if len(numbers[""]) == 1:
        units = spool.units[0]
        edges = [0, int(units * 0.02), int(units * 0.9), units]
        spool.cut(0, edges, ["tune", "train", "val"], [False] * 3)
        return ("by position: the text has no document marks, so tune (its first 2 %), train and val (its last tenth) "
                "are pieces of one document")  # fmt: skip
    val, tune, is_cut = "val is the validation documents", "tune is every 50th training document", False
    if len(numbers["train"]) == 1:  # the last document first: a cut moves the numbers of those behind it
        [number] = numbers["train"]
        units = spool.units[number]
        spool.cut(number, [0, int(units * 0.02), units], ["tune", "train"], [False, False])
        is_cut, tune = True, "the training text is one document, and tune its first 2 %"
    if len(numbers["val"]) == 1 and (kept := spool.units_within(0, val_bytes)) < spool.units[0]:
        spool.cut(0, [0, kept], ["val"], [False])
        is_cut, val = True, "the validation text is one document, and val its beginning, up to data.val_bytes"
    return f"by position: {val}; {tune}, and train is the rest" if is_cut else ""


def rule_of(roles: Sequence[str], cut: str) -> str:
    """How the documents came into their splits, in a sentence for people."""
    if cut:
        return cut
    if not any(roles):
        return "by document digest: val and tune are the first whole documents, in the order of their digests, that fit"
    if "tune" in roles:
        return "by the source: it has a text for each split"
    return ("by the source's own files: val is its validation text, tune every 50th training document up to "
            "data.tune_bytes, train the rest")  # fmt: skip


def assign(
    roles: Sequence[str], keys: Sequence[bytes], sizes: Sequence[int], *, val_bytes: int, tune_bytes: int
) -> list[str]:
    """The split of each document, or the reason why it is in none: its text is in `val` or `tune`, or `val` is full.

    Without roles, documents are ordered by digest: the first that fit into `val_bytes` and a tenth of the text are
    `val`, the next that fit into `tune_bytes` and a tenth are `tune`. With a validation file, every 50th training
    document is `tune`, up to `tune_bytes`. Equal documents share a digest, as do examples with one prompt, so no
    text and no prompt is in two splits.

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
        copy_of_tune = COPY_OF_TUNE
    else:
        if sum(sizes[i] for i in given) > val_bytes:
            val = _fill(given, keys, sizes, val_bytes)
        train = [i for i in numbers if roles[i] == "train" and keys[i] not in val]
        tune = _every(EVERY, train, keys, sizes, tune_bytes)
        copy_of_tune = "tune"

    def of(role: str, key: bytes) -> str:
        if key in val:
            return "val" if role == "val" else COPY_OF_VAL
        if role == "val":
            return BEYOND
        if key in tune:
            return "tune" if role == "tune" else copy_of_tune
        return role

    return [of(role, key) for role, key in zip(roles, keys, strict=True)]


def _fill(numbers: Iterable[int], keys: Sequence[bytes], sizes: Sequence[int], most: int) -> set[bytes]:
    """Digests of the documents that fit into `most` bytes, in the order of the digests.

    One that does not fit is passed over until half of `most` is used, and ends the search after that: to continue would
    fill the rest with ever shorter documents.
    """
    groups: dict[bytes, int] = {}  # equal documents go together
    for i in numbers:
        groups[keys[i]] = groups.get(keys[i], 0) + sizes[i]
    taken, used = set(), 0
    for key in sorted(groups):
        if used + groups[key] <= most:
            taken.add(key)
            used += groups[key]
        elif 2 * used >= most:
            break
    return taken


def _every(step: int, numbers: Sequence[int], keys: Sequence[bytes], sizes: Sequence[int], most: int) -> set[bytes]:
    """Digests of every `step`-th document until `most` bytes are reached; one at least."""
    taken, used = set(), 0
    for i in numbers[::step]:
        if taken and used + sizes[i] > most:
            break
        taken.add(keys[i])
        used += sizes[i]
    return taken
