r"""The compute multiplier: how much compute the baseline needs for the nll that another arm has.

At a rung (N, D) the difference d of the two arms is taken seed by seed. The baseline's law says what compute is worth
there: its loss with m times the compute, spent at the same ratio of tokens to parameters, is
$L(N\sqrt m, D\sqrt m)$, and the multiplier solves $L(N\sqrt m, D\sqrt m) - L(N, D) = d$. So a law that is a little off
in its level does no harm: only its slope counts.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from losslab.progress import Progress, silent
from losslab.scaling.exchange import LEAST_RUNGS, NO_FALL, exchange, flat, solve, some
from losslab.scaling.intervals import LEVEL
from losslab.scaling.law import FLOPS_PER_PARAMETER, Law
from losslab.scaling.runs import Runs
from losslab.scaling.trend import DRAWS, trend, unsure, without_smallest
from losslab.scaling.worth import DECADE, Worth, times
from losslab.stats import holm

GRID = 25  # computes of the band
NO_SPREAD = 4 * np.finfo(float).eps  # of an nll: differences that vary less are the same, up to rounding


@dataclass(frozen=True)
class Multiplier:
    """An arm against the baseline, over all rungs.

    Args:
        rungs: one for each size and number of tokens that both have, by compute; none where nothing can be compared.
        trend: the trend at the computes that were asked for.
        without_smallest: the trend without the smallest size, at the same computes; none where too little is left.
        band: the trend from the smallest rung to the farthest compute that was asked for, for a chart.
        reason: why there is no trend; empty where there is one.
        paired: whether differences are of the same seeds.
        warnings: sentences on what makes it doubtful.
    """

    arm: str
    baseline: str
    rungs: tuple[Worth, ...]
    trend: tuple[Worth, ...] = ()
    without_smallest: tuple[Worth, ...] = ()
    band: tuple[Worth, ...] = ()
    reason: str = ""
    paired: bool = True
    warnings: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """One sentence: the largest rung, and the forecast farthest out."""
        if not self.rungs:
            return f"{self.arm}: cannot tell: {self.reason}"
        parts = [one.sentence for one in (*self.rungs[-1:], *self.trend[-1:])]
        if self.reason and self.reason != self.rungs[-1].reason:
            parts.append(f"no forecast: {self.reason}")
        return f"{self.arm}: {'; '.join(parts)}"


def compare(runs: Runs, baseline: str, *, at: Sequence[float] | None = None, laws: Law | None = None,
            reason: str = "", shown: Mapping[tuple[str, float, float], bool] | None = None,
            progress: Progress = silent) -> list[Multiplier]:  # fmt: skip
    """The compute multiplier of each arm of a table; without rungs, and with a reason, for one that cannot be compared.

    Args:
        runs: with arms; with seeds, rungs are compared seed by seed.
        baseline: the arm that others are compared with.
        at: computes to forecast at; a decade beyond the largest rung unless given.
        laws, reason: what `exchange.exchange` gives for the baseline, or why it gives nothing; found here unless given.
        shown: (arm, parameters, tokens) -> whether the verdict of that rung shows a difference, where it has one.
        progress: is told how many refits are done.

    Raises:
        ValueError: for an unknown baseline, or a seed twice at one rung.
    """
    arms = runs.by_arm()
    if baseline not in arms or len(arms) < 2:
        raise ValueError(f"the baseline {baseline} and an arm to compare are needed, and {runs.source} has the arms "
                         f"{', '.join(arms)}")
    base = arms[baseline]
    if laws is None and not reason:
        laws, reason = exchange(base, progress=progress)
    found = [_arm(name, own, baseline, base, laws, reason, at) for name, own in arms.items() if name != baseline]
    rungs = _adjusted([one.rungs for one in found], lambda place, each: (each.num_params, each.num_tokens))
    trends = _adjusted([one.trend for one in found], lambda place, each: place)  # the farthest of each, however far
    judged = shown or {}
    return [replace(one, trend=trend, rungs=tuple(
        replace(each, shown=judged.get((one.arm, each.num_params, each.num_tokens))) for each in own))
        for one, own, trend in zip(found, rungs, trends, strict=True)]


def _adjusted(arms: Sequence[Sequence[Worth]], place_of: Callable[[int, Worth], object]) -> list[tuple[Worth, ...]]:
    """With p-values adjusted by Holm for the arms that are compared at one place."""
    places: dict[object, list[tuple[int, int]]] = {}
    for arm, own in enumerate(arms):
        for number, each in enumerate(own):
            if each.p is not None:
                places.setdefault(place_of(number, each), []).append((arm, number))
    found = [list(own) for own in arms]
    for where in places.values():
        for (arm, number), p in zip(where, holm([arms[a][i].p for a, i in where]), strict=True):
            found[arm][number] = replace(found[arm][number], p_holm=p)
    return list(map(tuple, found))


def _arm(name: str, own: Runs, baseline: str, base: Runs, laws: Law | None, reason: str, at) -> Multiplier:
    pairs = _pairs(name, own, base)
    paired = bool(own.seeds and base.seeds)
    if not pairs:
        return Multiplier(name, baseline, (), reason=_apart(own, base, baseline), paired=paired)
    rng = np.random.default_rng(0)
    rungs = [_rung(*pair, laws, reason, rng) for pair in pairs]
    found = Multiplier(name, baseline, tuple(rungs), paired=paired)
    top = max(rung.flops for rung in rungs)
    computes = _unlike(pairs)
    if laws is None:
        return replace(found, reason=reason)
    if computes < LEAST_RUNGS:
        return replace(found, reason=f"a trend takes at least {LEAST_RUNGS} rungs of unlike compute, and there "
                                     f"{'is' if computes == 1 else 'are'} {computes}")
    asked = [DECADE * top] if at is None else list(at)
    ends = [*asked, *(rung.flops for rung in rungs)]
    grid = list(np.geomspace(min(ends), max(ends), GRID))
    line = trend(pairs, laws, asked + grid, rng)
    if not line:
        return replace(found, reason=NO_FALL)
    again, why = without_smallest(pairs, laws, asked, rng)
    told = [unsure(one, other) for one, other in zip(line, again, strict=False)] or line[: len(asked)]
    return replace(found, trend=tuple(told), band=tuple(line[len(asked) :]), without_smallest=tuple(again),
                   warnings=(why,) if why else ())


def reach(name: str, own: Runs, base: Runs) -> tuple[float, float] | None:
    """Lowest and highest compute of the rungs that carry a trend of an arm; None where too few do."""
    pairs = _pairs(name, own, base)
    if _unlike(pairs) < LEAST_RUNGS:
        return None
    flops = [FLOPS_PER_PARAMETER * pair[0] * pair[1] for pair in pairs]
    return float(min(flops)), float(max(flops))


def _unlike(pairs: list[tuple]) -> int:
    """How many computes the rungs have that are not nearly the same."""
    return len({round(math.log(FLOPS_PER_PARAMETER * pair[0] * pair[1]), 3) for pair in pairs})


def _apart(own: Runs, base: Runs, baseline: str) -> str:
    """Why no run of an arm has one of the baseline to be compared with."""
    mine, theirs = (set(zip(runs.num_params, runs.num_tokens, strict=True)) for runs in (own, base))
    if mine & theirs:
        return (f"it shares rungs with the baseline {baseline}, but at none of them a seed; give both the same seeds, "
                "or rename the column seed, so that means are compared")
    return f"it shares no size with the same number of tokens with the baseline {baseline}; give both the same rungs"


# --- one rung ------------------------------------------------------------------------------------

def _pairs(name: str, own: Runs, base: Runs) -> list[tuple]:
    """Size, tokens, differences (of pairs, or one of the two means) and the variance of their mean, by compute."""
    cells: dict[tuple, tuple] = {}
    for which, runs in enumerate((own, base)):
        seeds = runs.seeds or tuple(f"row {i}" for i in range(len(runs)))
        for size, tokens, seed, nll in zip(runs.num_params, runs.num_tokens, seeds, runs.nll, strict=True):
            cell = cells.setdefault((size, tokens), ({}, {}))[which]
            if seed in cell:
                whose = "the baseline" if which else name
                raise ValueError(f"{runs.source} has two runs of seed {seed} for {whose} at {size:g} parameters and "
                                 f"{tokens:g} tokens; leave one out")
            cell[seed] = nll
    found = []
    for (size, tokens), (mine, theirs) in sorted(cells.items(), key=lambda item: (item[0][0] * item[0][1], item[0][0])):
        if own.seeds and base.seeds:
            d = np.array([mine[seed] - theirs[seed] for seed in mine if seed in theirs])
            if d.size:
                spread = len(d) > 1 and d.std(ddof=1) > NO_SPREAD * max(map(abs, (*mine.values(), *theirs.values())))
                found.append((size, tokens, d.mean(), d.var(ddof=1) / len(d) if spread else None, len(d) - 1, len(d)))
        elif mine and theirs:
            a, b = np.array(list(mine.values())), np.array(list(theirs.values()))
            va, vb = (x.var(ddof=1) / len(x) if len(x) > 1 else None for x in (a, b))
            if va is None or vb is None or va + vb == 0:
                variance, free = None, 0
            else:  # Welch
                variance = va + vb
                free = variance**2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
            found.append((size, tokens, a.mean() - b.mean(), variance, free, min(len(a), len(b))))
    return found


def _rung(size, tokens, mean, variance, free, seeds, laws: Law | None, reason: str, rng) -> Worth:
    flops = 6 * size * tokens
    about = {"num_params": float(size), "num_tokens": float(tokens), "seeds": int(seeds), "difference": float(mean)}
    if laws is None or flat(laws.at(0), size, tokens):
        return Worth(flops, None, None, None, reason or NO_FALL, **about)
    value = float(solve(laws.at(slice(0, 1)), size, tokens, np.array([mean]))[0])
    if variance is None:
        return Worth(flops, value, None, None, f"one seed shows no spread ({times(value)} without an interval)"
                     if seeds < 2 else "these runs show no spread", **about)
    from scipy.special import stdtr, stdtrit

    # student's t for the seeds, and for each draw another law of the baseline
    evenly = (rng.permutation(DRAWS) + 0.5) / DRAWS
    drawn = mean + math.sqrt(variance) * stdtrit(free, evenly)
    worth = solve(some(laws, DRAWS, rng), size, tokens, drawn)
    low, high = np.quantile(worth, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="nearest")
    p = 2 * float(stdtr(free, -abs(mean) / math.sqrt(variance)))
    return Worth(flops, value, float(low), float(high), p=p, **about)
