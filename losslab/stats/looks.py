r"""Looks: the error rate of a study, spent over the verdicts that are given while its seeds grow.

A *look* is a set of new results that is judged; printing the same results again is no look. Look $k$ spends
$\alpha_k$, and $\sum_k \alpha_k \le \alpha$. Inside a look Holm's correction holds over every arm that was ever
judged. By the union bound the probability of any false "better" or "worse", in all looks together, is at most alpha,
however the looks depend on each other; and an interval of level $1 - \alpha_k$, intersected over the looks, covers
with $1 - \alpha$.

Reference:
    Jennison and Turnbull, Group Sequential Methods, 2000, chapter 9 (repeated confidence intervals); Holm 1979.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from losslab.stats.inference import equivalence_p, holm, paired_p, t_interval

FIRST_SHARE = 0.8  # of what is left: a study of one look loses little power, and something is always left


@dataclass(frozen=True)
class Judged:
    """What one look found of one arm."""

    seeds: tuple[int, ...]
    """Those paired with the baseline."""
    results: str
    """The digest of its differences, see `fingerprint`; empty where it is not known."""
    p_holm: float
    """Of this look, or of the one that showed a difference, which stands."""
    low: float
    """Lower end of the interval of this look alone, at 1 - level."""
    high: float
    shown: bool
    """Whether this look or one before showed a difference."""
    within: float | None
    """The margin within which this look showed the arms to be equivalent; None where it did not."""


@dataclass(frozen=True)
class Look:
    """One look and the arms whose results were new in it."""

    level: float
    """The share of the error rate that it spent."""
    arms: Mapping[str, Judged]


@dataclass(frozen=True)
class Standing:
    """What all looks together say of the present results of an arm."""

    number: int
    """Of the look that judged them, from 1."""
    level: float
    """What that look spent."""
    tests: int
    """The arms over which Holm's correction was taken in it."""
    p_value: float
    p_holm: float
    low: float
    """Of the intervals of all looks up to this one, intersected."""
    high: float
    shown_at: int | None
    """The look that showed a difference; None where none did."""
    equivalent: bool


def next_level(spent: Sequence[float], alpha: float = 0.05, planned: int = 0) -> float:
    """The error rate that the next look may spend.

    Args:
        spent: the levels of the looks before.
        alpha: the error rate of all looks together.
        planned: how many looks are declared to come, this one included, which share what is left equally; 0 where
            nothing is declared: then a look takes four fifths of what is left.

    Example:
        >>> [round(next_level(spent), 6) for spent in ([], [0.04], [0.04, 0.008])]
        [0.04, 0.008, 0.0016]
        >>> round(next_level([], planned=5), 6), round(next_level([0.04], planned=1), 6)  # a race; a last look
        (0.01, 0.01)
    """
    left = alpha - math.fsum(spent)
    left = left if left > 1e-9 * alpha else 0.0  # what rounding leaves
    return round(left / planned if planned else FIRST_SHARE * left, 15)


def judge(
    pairs: Mapping[str, tuple[Sequence[int], np.ndarray]], looks: Sequence[Look], level: float, margin: float,
) -> tuple[dict[str, Standing], Look | None]:
    """Judge the results of arms, those that are new in a new look.

    Args:
        pairs: arm -> the seeds paired with the baseline and the differences, which vary.
        looks: those before, oldest first.
        level: what a new look spends.
        margin: the largest difference that does not matter.

    Returns:
        what is to be said of each arm, and the new look; None where every result was judged before.
    """
    digests = {name: fingerprint(*pair) for name, pair in pairs.items()}
    looks = _completed(looks, pairs, digests, margin)
    seen = {name: _seen(looks, name, digests[name]) for name in pairs}
    new = [name for name in pairs if seen[name] is None]
    look = Look(level, _new(pairs, new, digests, looks, level, margin)) if new else None
    every = [*looks, look] if look else list(looks)
    found = {}
    for name, (_, d) in pairs.items():
        number = len(every) - 1 if seen[name] is None else seen[name]
        own = [past.arms[name] for past in every[: number + 1] if name in past.arms]
        low, high = intersected([(judged.low, judged.high) for judged in own])
        showing = (at for at, past in enumerate(every[: number + 1], 1) if name in past.arms and past.arms[name].shown)
        equivalent = any(judged.within is not None and judged.within <= margin for judged in own)
        tests = len(family(every[: number + 1])) - sum(family(every[:number]).values())  # what is decided is not tested
        found[name] = Standing(number + 1, every[number].level, tests, paired_p(d), own[-1].p_holm, low, high,
                               next(showing, None), equivalent)
    return found, look


def _completed(looks: Sequence[Look], pairs, digests, margin: float) -> list[Look]:
    """The looks, with what those of an earlier losslab found of the present results: it kept their seeds alone."""
    found: list[Look] = []
    for look in looks:
        names = [name for name, judged in look.arms.items()
                 if not judged.results and name in pairs and judged.seeds == tuple(pairs[name][0])]
        found.append(replace(look, arms={**look.arms, **_new(pairs, names, digests, found, look.level, margin)}))
    return found


def _new(pairs, new: Sequence[str], digests, looks: Sequence[Look], level: float, margin: float) -> dict[str, Judged]:
    """The arms of a new look. Holm's correction counts every arm that was ever judged and is not decided."""
    before = family(looks)
    undecided = [name for name in new if not before.get(name)]
    others = sum(not shown for name, shown in before.items() if name not in new)
    p_holm = _holm(undecided, [paired_p(pairs[name][1]) for name in undecided], others)
    same = _holm(new, [equivalence_p(pairs[name][1], margin) for name in new], len(before.keys() - set(new)))
    for name in set(new) - set(undecided):
        p_holm[name] = next(look.arms[name].p_holm for look in looks if name in look.arms and look.arms[name].shown)
    found = {}
    for name in new:
        seeds, d = pairs[name]
        low, high = t_interval(d, level) if level else (-math.inf, math.inf)
        shown = bool(before.get(name)) or p_holm[name] < level
        within = margin if same[name] < level else None
        found[name] = Judged(tuple(seeds), digests[name], p_holm[name], low, high, shown, within)
    return found


def _holm(names: Sequence[str], p_values: Sequence[float], others: int) -> dict[str, float]:
    """Holm's p of the named arms, in a family with as many `others`, which are not shown here."""
    return dict(zip(names, holm([*p_values, *[1.0] * others]), strict=False))


def fingerprint(seeds: Sequence[int], differences: Sequence[float]) -> str:
    """Names results: equal only where the same seeds have the same differences, to the last bit."""
    told = json.dumps([[seed, float(d).hex()] for seed, d in zip(seeds, differences, strict=True)])
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _seen(looks: Sequence[Look], name: str, results: str) -> int | None:
    """The look that judged these results of an arm; None where they are new."""
    for number, look in enumerate(looks):
        found = look.arms.get(name)
        if found and found.results == results:
            return number
    return None


def family(looks: Sequence[Look]) -> dict[str, bool]:
    """Every arm that was ever judged, and whether a look showed a difference; that stands."""
    found: dict[str, bool] = {}
    for look in looks:
        for name, judged in look.arms.items():
            found[name] = found.get(name, False) or judged.shown
    return found


def intersected(intervals: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """What all intervals have in common; the last of them where they have nothing, which coverage allows for."""
    low, high = max(low for low, _ in intervals), min(high for _, high in intervals)
    return (low, high) if low <= high else intervals[-1]
