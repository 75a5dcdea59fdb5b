"""What runs that are compared have in common: the name of the score, and the arm that the others are compared with."""

from collections.abc import Iterable

from losslab.records.record import Record
from losslab.words import nearest, printable


def score_name(records: Iterable[Record], score: str = "nll") -> str:
    """`nll`, or `nll_stride_64` where evaluation windows overlap: the stride is part of a score's name."""
    found = {name for record in records for name in record.scores}
    strided = f"{score}_stride_"
    return min((name for name in sorted(found) if name == score or name.startswith(strided)), key=len, default=score)


def baseline(arms: Iterable[str], name: str | None = None) -> str:
    """The arm that the others are compared with: the one named, else `cross_entropy`, else the first.

    Args:
        arms: their names, in order.
        name: the one that was asked for.

    Raises:
        ValueError: without any arm, or for a name that is none of them.
    """
    arms = list(arms)
    if not arms:
        raise ValueError("there is no arm to compare with; give runs of at least one loss")
    if name is None:
        return "cross_entropy" if "cross_entropy" in arms else arms[0]
    if name not in arms:
        hint = nearest(name, arms)
        raise ValueError(printable(f"the baseline {name!r} is not an arm{hint}; the arms are {', '.join(arms)}"))
    return name
