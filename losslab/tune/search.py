"""Which settings are tried next: the same rule for every arm, from what that arm has tried."""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from losslab.tune.space import Choice, Range, Tuning

STEP = 4.0  # between the first rates of a ladder, and of a step outward
Settings = dict[str, object]
Tried = Sequence[tuple[float, float]]  # (value, nll); a trial that diverged has an infinite one


def method(tuning: Tuning, own: Mapping[str, Choice]) -> str:
    """The method of one arm with its own parameters, checked against what it searches.

    Raises:
        ValueError: for a space that is empty, or one that the method cannot search.
    """
    space = {**tuning.space, **own}
    if not space:
        raise ValueError("there is nothing to tune: the space is empty; name a setting, such as learning_rate")
    lists = [name for name, each in space.items() if isinstance(each, tuple)]
    open_ends = [name for name, each in space.items() if isinstance(each, Range) and each.low is None]
    usual = "ladder" if len(space) == 1 and not lists else "grid" if len(lists) == len(space) else "random"
    chosen = tuning.method or usual
    if chosen == "ladder" and (len(space) > 1 or lists):
        raise ValueError(f"a ladder searches one number and no list of values, got {', '.join(space)}; choose random, "
                         "tpe or grid")
    if chosen == "ladder" and tuning.trials < 3:
        raise ValueError(f"a ladder begins with 3 trials, got {tuning.trials}; give 3 or more")
    if chosen == "grid" and len(lists) < len(space):
        name = next(name for name in space if name not in lists)
        raise ValueError(f"a grid takes lists of values, and {name} is a range; give a list, or choose random")
    if chosen == "grid" and (points := math.prod(len(each) for each in space.values())) < tuning.trials:
        raise ValueError(f"a grid of {points} points has no {tuning.trials} trials; give {points} trials, or more "
                         "values")
    if chosen != "ladder" and open_ends:
        raise ValueError(f"{chosen} needs low and high for {', '.join(open_ends)}; only a ladder can do without")
    return chosen


def ladder(choice: Range, start: float, tried: Tried, trials: int) -> list[float]:
    """The values of a ladder that are to be tried next; none where it is done.

    Three values a factor 4 apart around the start come first, the same for every arm. Then, as long as there are
    trials: where the best value is the lowest or the highest that was tried, one a factor 4 beyond it; else the two in
    the middle (on a logarithmic scale) between it and its neighbors, the one next to the better neighbor first. A
    ladder with bounds begins with both and their middle, and never leaves them. Of equal values the smaller is best.

    Args:
        choice: its bounds, if it has any.
        start: the recipe's value.
        tried: what this arm has tried.
        trials: how many it has in all.

    Example:
        >>> ladder(Range(), 0.004, [], 5)
        [0.001, 0.004, 0.016]
        >>> ladder(Range(), 0.004, [(0.001, 2.0), (0.004, 1.0), (0.016, 1.5)], 5)
        [0.008, 0.002]
        >>> ladder(Range(), 0.004, [(0.001, 3.0), (0.004, 2.0), (0.016, 1.0)], 5)
        [0.064]
    """
    bounded = choice.low is not None
    if not tried:
        first = map(choice.at, (0.0, 0.5, 1.0)) if bounded else (start / STEP, start, start * STEP)
        return [_round(value) for value in first]
    left = trials - len(tried)
    if left <= 0:
        return []
    known = sorted(tried)
    at = min(range(len(known)), key=lambda i: (known[i][1], i))
    best = known[at][0]
    if at in (0, len(known) - 1) and not bounded:
        return [_round(best / STEP if at == 0 else best * STEP)]
    neighbors = sorted((known[i][1], known[i][0]) for i in (at - 1, at + 1) if 0 <= i < len(known))
    middles = [_middle(choice, best, neighbor) for _, neighbor in neighbors]
    return middles[:left]


def _middle(choice: Range, a: float, b: float) -> float:
    return _round(math.sqrt(a * b) if choice.log else (a + b) / 2)


def _round(value: float) -> float:
    """Twelve digits: the same number however it was reached."""
    return float(f"{value:.12g}")


def points(
    shared: Mapping[str, Choice], own: Mapping[str, Choice], trials: int, how: str, seed: int = 0,
) -> list[Settings]:
    """All trials of a grid or of a random search; trial i has the same shared settings in every arm.

    Example:
        >>> points({"train.learning_rate": (0.001, 0.002)}, {"loss.epsilon": (0.0, 0.1)}, 3, "grid")[2]
        {'train.learning_rate': 0.002, 'loss.epsilon': 0.0}
    """
    if how == "grid":
        space = {**shared, **own}
        every = [dict(zip(space, values, strict=True)) for values in itertools.product(*space.values())]
        return every[:trials] if len(every) <= trials else [every[i * len(every) // trials] for i in range(trials)]
    rng, extra = np.random.default_rng(seed), np.random.default_rng(seed + 1)
    found = []
    for _ in range(trials):
        found.append({name: _drawn(each, rng) for name, each in shared.items()}
                     | {name: _drawn(each, extra) for name, each in own.items()})
    return found


def _drawn(choice: Choice, rng: np.random.Generator):
    share = float(rng.random())
    if isinstance(choice, tuple):
        return choice[int(share * len(choice))]
    return choice.at(share) if choice.whole else _round(choice.at(share))


def rungs(trials: int) -> list[tuple[int, int]]:
    """Successive halving: how many settings run on each rung, and the whole horizon divided by its own.

    Each rung is a whole run with its own schedule, of half, a quarter, ... of the tokens; the last one has all of them.

    Example:
        >>> rungs(8)
        [(8, 8), (4, 4), (2, 2), (1, 1)]
        >>> rungs(5)
        [(5, 4), (2, 2), (1, 1)]
    """
    counts = [trials]
    while counts[-1] > 1 and len(counts) < 4:
        counts.append(counts[-1] // 2)
    return [(count, 2 ** (len(counts) - 1 - number)) for number, count in enumerate(counts)]
