"""Racing: arms stop where a look has settled them, and the seeds that they would have taken are saved."""

from collections.abc import Sequence

from losslab.stats.comparison import PairedComparison

LOOKS = (4, 8, 16)  # seeds at which a race looks, unless others are declared
OPEN = ("open", "one seed", "no spread")  # outcomes that more seeds may change


def open_arms(comparison: PairedComparison) -> list[str]:
    """The candidates that a race continues with; none where the baseline itself is lost."""
    return [arm.name for arm in comparison.arms if arm.outcome in OPEN]


def declared(looks: Sequence[int]) -> tuple[int, ...]:
    """The numbers of seeds at which a race looks, checked.

    Raises:
        ValueError: unless they are two or more and grow, from 2 seeds on.
    """
    looks = tuple(looks)
    if not looks or any(type(seeds) is not int for seeds in looks) or looks[0] < 2 or \
            any(after <= before for before, after in zip(looks, looks[1:], strict=False)):
        raise ValueError(f"a race looks at growing numbers of seeds, from 2 on, got {list(looks)}; "
                         f"{', '.join(map(str, LOOKS))} are usual")
    return looks
