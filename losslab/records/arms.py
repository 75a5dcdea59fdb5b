"""Runs as the arms of a comparison: how they are called, and what became of their seeds."""

from collections.abc import Iterable

from losslab.records.labels import labels
from losslab.records.record import Record
from losslab.words import nearest, printable

LOST = ("diverged", "failed")  # a loss that gave no number on a seed has not won there


def score_name(records: Iterable[Record], score: str = "nll") -> str:
    """`nll`, or `nll_stride_64` where evaluation windows overlap: the stride is part of a score's name."""
    found = {name for record in records for name in record.scores}
    strided = f"{score}_stride_"
    return min((name for name in found if name == score or name.startswith(strided)), key=len, default=score)


def outcomes(records: Iterable[Record], score: str = "nll") -> dict[str, dict[int, float | None]]:
    """Arm -> seed -> value, `None` where the run diverged or failed: what `stats.compare` takes.

    A run that is not done says nothing of its loss, and is left out; `failed` tells failed from diverged.

    Raises:
        ValueError: if a finished run was measured by other rules and lacks the score.
    """
    records = list(records)
    names, score = labels(records), score_name(records, score)
    arms: dict[str, dict[int, float | None]] = {}
    for record in records:
        if record.status in LOST:
            arms.setdefault(names[record.condition], {})[record.seed] = None
        elif record.status == "finished":
            if score not in record.scores:
                raise ValueError(printable(f"{record.path} has no {score}, which other runs have: it was measured by "
                                           "other rules; compare runs of one evaluate.stride"))
            arms.setdefault(names[record.condition], {})[record.seed] = record.scores[score]["value"]
    return arms


def failed(records: Iterable[Record]) -> dict[str, tuple[int, ...]]:
    """Arm -> its seeds that failed, for arms that have some; the other `None`s of `outcomes` diverged."""
    records = list(records)
    names = labels(records)
    found: dict[str, list[int]] = {}
    for record in records:
        if record.status == "failed":
            found.setdefault(names[record.condition], []).append(record.seed)
    return {name: tuple(sorted(seeds)) for name, seeds in found.items()}


def baseline(arms: Iterable[str], name: str | None = None) -> str:
    """The arm that the others are compared with: the one named, else `cross_entropy`, else the first."""
    arms = list(arms)
    if not arms:
        raise ValueError("there is no arm to compare with; give runs of at least one loss")
    if name is None:
        return "cross_entropy" if "cross_entropy" in arms else arms[0]
    if name not in arms:
        hint = nearest(name, arms)
        raise ValueError(printable(f"the baseline {name!r} is not an arm{hint}; the arms are {', '.join(arms)}"))
    return name
