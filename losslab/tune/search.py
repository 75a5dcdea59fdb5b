"""Which settings are tried next: the same rule for every arm, from what that arm has tried."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from losslab.tune.space import Choice, Range, Tuning

STEP = 4.0  # between the first rates of a ladder, and of a step outward
SHORTER = 2**0.5  # a step to what is not taken is made shorter by this factor
Settings = dict[str, object]
Tried = Sequence[tuple[float, float]]  # (value, nll); a trial that diverged has an infinite one


def method(tuning: Tuning, own: Mapping[str, Choice]) -> str:
    """The method of one arm with its own parameters, checked against what it searches.

    Raises:
        ValueError: for a space that is empty, or one that the method cannot search.
    """
    space = {**tuning.space, **own}
    if not space:
        raise ValueError("there is nothing to tune: the space is empty, and the arm has none either; name settings "
                         "in [tune.space], such as learning_rate = {}, or parameters of the loss in the arm's space")
    lists = [name for name, each in space.items() if isinstance(each, tuple)]
    whole = len(space) > 1 and any(isinstance(each, Range) and each.whole for each in space.values())
    usual = "grid" if len(lists) == len(space) else "random" if lists or whole else "ladder"
    chosen = tuning.method or usual
    if chosen == "ladder" and lists:
        raise ValueError(f"a ladder searches numbers, and {lists[0]} is a list of values; choose random, tpe or grid")
    if chosen == "ladder" and tuning.trials < 3:
        raise ValueError(f"a ladder begins with 3 trials, got {tuning.trials}; give 3 or more")
    if chosen == "grid" and len(lists) < len(space):
        name = next(name for name in space if name not in lists)
        raise ValueError(f"a grid takes lists of values, and {name} is a range; give a list, or choose random")
    if chosen == "grid" and (points := math.prod(len(each) for each in space.values())) < tuning.trials:
        raise ValueError(f"a grid of {points} points has no {tuning.trials} trials; give {points} trials, or more "
                         "values")
    return chosen


def turns(
    space: Mapping[str, Choice], start: Settings, tried: Sequence[tuple[Settings, float]], trials: int,
    takes: Callable[[Settings], bool] = lambda settings: True,
) -> list[Settings]:
    """What a ladder over one number or several tries next; nothing where it is done.

    The numbers take turns, in the order of the space. On its turn a number climbs its own ladder, and all others stay
    as they are in the best trial so far. What is known of a value is the best trial with it, whatever the others were.

    Args:
        space: its ranges; the first trials begin with the first of them.
        start: where each number begins; of a range with bounds, its middle.
        tried: settings and nll of all trials of this arm, in order.
        trials: how many it has in all.
        takes: whether the arm takes settings.
    """
    names, done = list(space), 0
    start = {name: start[name] if each.low is None else _round(each.at(0.5)) for name, each in space.items()}
    for name in itertools.cycle(names):
        known = tried[:done]
        best = dict(min(known, key=lambda each: each[1])[0]) if known else start
        profile: dict[float, float] = {}
        for settings, value in known:
            profile[settings[name]] = min(value, profile.get(settings[name], math.inf))
        values = ladder(space[name], best[name], list(profile.items()), trials - done + len(profile),
                        lambda value, best=best, name=name: takes({**best, name: value}))
        if done + len(values) > len(tried) or not values:
            return [{**best, name: value} for value in values[len(tried) - done :]]
        done += len(values)
    return []


def ladder(
    choice: Range, start: float, tried: Tried, trials: int, takes: Callable[[float], bool] = lambda value: True,
) -> list[float]:
    """The values of one number that are to be tried next; none where it is done.

    Three values a factor 4 apart around the start come first, the same for every arm. Then, as long as there are
    trials: where the best value is the lowest or the highest that was tried, one a factor 4 beyond it; else the two in
    the middle (on a logarithmic scale) between it and its neighbors, the one next to the better neighbor first. A
    ladder with bounds begins with both and their middle, and never leaves them. A step to a value that the arm does not
    take is made shorter, by the square root of 2 at a time. Of equal values the smaller is best.

    Args:
        choice: its bounds, if it has any.
        start: the arm's own value.
        tried: what this arm has tried.
        trials: how many it has in all.
        takes: whether the arm takes a value.

    Example:
        >>> ladder(Range(), 0.004, [], 5)
        [0.001, 0.004, 0.016]
        >>> ladder(Range(), 0.004, [(0.001, 2.0), (0.004, 1.0), (0.016, 1.5)], 5)
        [0.008, 0.002]
        >>> ladder(Range(), 0.004, [(0.001, 3.0), (0.004, 2.0), (0.016, 1.0)], 5)
        [0.064]
        >>> ladder(Range(), 0.5, [], 5, takes=lambda value: value <= 1)
        [0.125, 0.5, 1.0]
    """
    bounded, left = choice.low is not None, trials - len(tried)
    if left <= 0:
        return []
    if len(tried) < 2:
        first = map(choice.at, (0.0, 0.5, 1.0)) if bounded else (reach(start, 1 / STEP, takes), start,
                                                                 reach(start, STEP, takes))
        values = [value for value in dict.fromkeys(map(_round, first)) if value not in dict(tried)]
        if values:
            return values[:left]
    known = sorted(tried)
    at = min(range(len(known)), key=lambda i: (known[i][1], i))
    best = known[at][0]
    if at in (0, len(known) - 1) and not bounded:
        beyond = reach(best, 1 / STEP if at == 0 else STEP, takes)
        if beyond != best:
            return [_round(beyond)]
    neighbors = sorted((known[i][1], known[i][0]) for i in (at - 1, at + 1) if 0 <= i < len(known))
    middles = [_middle(choice, best, neighbor) for _, neighbor in neighbors]
    return middles[:left]


def reach(start: float | int, factor: float, takes: Callable[[float | int], bool]) -> float | int:
    """`start` times a factor, or as near to that as `takes` goes; `start` itself where it takes nothing beyond.

    Example:
        >>> reach(0.25, 16.0, lambda value: value <= 1), reach(4, 16.0, lambda value: value < 50)
        (1.0, 45)
    """
    sign = 1 if factor > 1 else -1
    for number in range(round(abs(math.log(factor, SHORTER))), 0, -1):
        value = start * SHORTER ** (sign * number)
        value = round(value) if isinstance(start, int) else _round(value)
        if value != start and takes(value):
            return value
    return start


def _middle(choice: Range, a: float, b: float) -> float:
    return _round(math.sqrt(a * b) if choice.log else (a + b) / 2)


def _round(value: float) -> float:
    """Twelve digits: the same number however it was reached."""
    return float(f"{value:.12g}")


def points(
    shared: Mapping[str, Choice], own: Mapping[str, Choice], trials: int, how: str, seed: int = 0,
    start: Mapping[str, object] | None = None,
) -> list[Settings]:
    """All trials of a grid or of a random search; more trials begin with the same ones.

    Trial i of a random search has the same shared settings in every arm, up to where an open range of them begins. Its
    first trial is the arm as it stands.

    Args:
        start: the arm's own values, where they lie in the space; they take the place of the first that were drawn.

    Example:
        >>> points({"train.learning_rate": (0.001, 0.002)}, {"loss.epsilon": (0.0, 0.1)}, 3, "grid")[0]
        {'train.learning_rate': 0.002, 'loss.epsilon': 0.1}
    """
    if how == "grid":
        return _grid({**shared, **own}, trials)
    rng, extra = np.random.default_rng(seed), np.random.default_rng(seed + 1)
    found = []
    for _ in range(trials):
        found.append({name: _drawn(each, rng) for name, each in shared.items()}
                     | {name: _drawn(each, extra) for name, each in own.items()})
    return [found[0] | dict(start or {}), *found[1:]]


def _grid(space: Mapping[str, Choice], trials: int) -> list[Settings]:
    """The first points of a grid in one order that spreads over it, and holds each point once.

    The walk goes along each list in steps of its own irrational length, beginning in the middle of all: the golden
    section for one list, and what takes its place for several.
    """
    ratio = 2.0
    for _ in range(60):  # the root of x^(lists + 1) = x + 1
        ratio = (1 + ratio) ** (1 / (len(space) + 1))
    size, found = math.prod(len(each) for each in space.values()), {}
    for number in itertools.count():
        shares = ((0.5 + number / ratio**place) % 1.0 for place in range(1, len(space) + 1))
        point = {name: each[int(share * len(each))] for (name, each), share in zip(space.items(), shares, strict=True)}
        found.setdefault(tuple(map(str, point.values())), point)
        if len(found) == min(trials, size):
            return list(found.values())


def _drawn(choice: Choice, rng: np.random.Generator):
    share = float(rng.random())
    if isinstance(choice, tuple):
        return choice[int(share * len(choice))]
    return choice.at(share) if choice.whole else _round(choice.at(share))
