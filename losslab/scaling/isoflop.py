"""IsoFLOP parabolas: at each compute the size of least loss, and how it grows with compute."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from losslab.scaling.intervals import FEWEST_RESAMPLES
from losslab.scaling.intervals import found as interval
from losslab.scaling.runs import Runs

WIDTH = 0.10  # computes this near, relatively, are one budget
LEAST_SIZES = 4  # of a budget: three constants of a parabola, and one size to judge it by
LEAST_BUDGETS = 3
RESAMPLES = 1000


@dataclass(frozen=True)
class Budget:
    """The runs of about one compute, and the parabola of nll in log10 of the parameters.

    Args:
        flops: the budget.
        num_params, nll: `[runs]`.
        curve: the parabola's three constants, highest power first.
        best_params: parameters of least nll; NaN where the parabola has no minimum.
        best_nll: the parabola there.
        problem: why the budget does not count; empty where it does.
    """

    flops: float
    num_params: np.ndarray
    nll: np.ndarray
    curve: np.ndarray
    best_params: float
    best_nll: float
    problem: str = ""

    @property
    def best_tokens(self) -> float:
        return self.flops / (6 * self.best_params)


@dataclass(frozen=True)
class IsoFlop:
    """Budgets with their minima, and the powers with which N and D grow with compute.

    Args:
        exponents: of `num_params` and `num_tokens`, each `{"value", "low", "high"}`; empty below three budgets.
        log_factors: logarithm of what C^exponent is multiplied by, for each of the two.
    """

    runs: Runs
    budgets: tuple[Budget, ...]
    exponents: dict[str, dict] = field(default_factory=dict)
    log_factors: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def counted(self) -> list[Budget]:
        return [budget for budget in self.budgets if not budget.problem]


def budgets_of(runs: Runs) -> list[float]:
    """The computes about which runs of at least four sizes gather, ascending.

    The compute with the most runs within a tenth of it is taken first, then that with the most of the rest.
    """
    flops, sizes = runs.flops, np.unique(runs.num_params, return_inverse=True)[1]
    computes, first, which, counts = np.unique(flops, return_index=True, return_inverse=True, return_counts=True)
    start, end = _windows(computes)
    sums = np.concatenate([[0], np.cumsum(counts)])
    near = sums[end] - sums[start]  # runs within a tenth of each compute
    order, left, found = np.argsort(which, kind="stable"), np.ones(len(computes), dtype=bool), []
    while left.any():
        best = int(np.argmax(np.where(left, near * len(flops) - first, -len(flops))))  # of equals, the table's first
        taken = np.flatnonzero(left[start[best] : end[best]]) + start[best]
        window = np.sort(order[sums[start[best]] : sums[end[best]]])
        members = window[left[which[window]]]
        if np.count_nonzero(np.bincount(sizes[members])) >= LEAST_SIZES:
            # the middle of what was found, so that the budget does not depend on which run began it
            found.append(float(np.exp(np.log(flops[members]).mean())))
        else:
            taken = np.array([best])
        left[taken] = False
        for i in taken:  # the computes whose window holds it lie side by side
            near[np.searchsorted(end, i, "right") : np.searchsorted(start, i, "right")] -= counts[i]
    return sorted(found)


def _windows(computes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first compute within a tenth of each of them, and the first one beyond; computes ascend without copies."""
    start, end, last = [], [], len(computes)
    low = high = 0
    for compute in computes:
        while abs(computes[low] / compute - 1) > WIDTH:
            low += 1
        high = max(high, low)
        while high < last and abs(computes[high] / compute - 1) <= WIDTH:
            high += 1
        start.append(low)
        end.append(high)
    return np.array(start), np.array(end)


def fit(runs: Runs, budgets: Sequence[float] | None = None, *, resamples: int = RESAMPLES, seed: int = 0) -> IsoFlop:
    """Fit a parabola at each budget, and a power law of compute through their minima.

    Args:
        runs: each budget takes runs of at least 4 sizes within a tenth of it.
        budgets: computes, more than a tenth apart; those about which the runs gather unless given. A run within a tenth
            of two counts for the nearer one alone.
        resamples: how often the runs of each budget are drawn again for the intervals.
        seed: of the draws.

    Raises:
        ValueError: where no budget has runs of 4 sizes, or two budgets lie within a tenth of each other.

    Reference:
        Hoffmann et al. 2022, approach 2. The minima are biased where alpha and beta differ or sizes lie to one side
        (arXiv:2603.22339), so they are a check on L(N, D), not a replacement.
    """
    asked = budgets_of(runs) if budgets is None else sorted(set(budgets))
    for one, other in zip(asked, asked[1:], strict=False):
        if budgets is not None and other / one - 1 <= WIDTH:
            raise ValueError(f"the budgets {one:g} and {other:g} lie within {WIDTH:.0%} of each other, where runs are "
                             "of one budget; leave one out")
    away = np.abs(runs.flops[:, None] / np.array(asked, dtype=float)[None, :] - 1)
    nearest = away.argmin(1) if asked else np.zeros(len(runs), dtype=int)  # no run counts twice
    found, groups = [], []
    for i, flops in enumerate(asked):
        members = (nearest == i) & (away[:, i] <= WIDTH)
        sizes = len(np.unique(runs.num_params[members]))
        if sizes < LEAST_SIZES:
            if budgets is not None:
                raise ValueError(f"the budget {flops:g} takes runs of at least {LEAST_SIZES} sizes within {WIDTH:.0%} "
                                 f"of it, and {runs.source} has {sizes}")
            continue
        groups.append((np.log10(runs.num_params[members]), runs.nll[members]))
        found.append(_budget(flops, runs.num_params[members], runs.nll[members]))
    if not found:
        raise ValueError(f"a parabola takes runs of at least {LEAST_SIZES} sizes at one compute (within {WIDTH:.0%}), "
                         f"and {runs.source} has no such compute")
    warnings = [*runs.notes, *(f"at {one.flops:.3g} FLOP {one.problem}, so it does not count" for one in found
                               if one.problem)]
    counted = [i for i, one in enumerate(found) if not one.problem]
    if len(counted) < LEAST_BUDGETS:
        warnings.append(f"how the best size grows takes at least {LEAST_BUDGETS} budgets whose minimum lies among "
                        f"their sizes, and there are {len(counted)}")
        return IsoFlop(runs, tuple(found), {}, {}, tuple(warnings))
    log_c = np.log([found[i].flops for i in counted])
    log_n = np.log([found[i].best_params for i in counted])
    draws = _drawn([groups[i] for i in counted], log_c, resamples, seed)
    if len(draws) < min(resamples, FEWEST_RESAMPLES):
        draws = np.zeros(0)
        warnings.append("there are no intervals: of the runs of the budgets drawn again, hardly any set has its minima "
                        "among its sizes; add runs")
    exponents, factors = {}, {}
    for name, values, drawn in (("num_params", log_n, draws), ("num_tokens", log_c - np.log(6) - log_n, 1 - draws)):
        slope, at_zero = np.polyfit(log_c, values, 1)
        exponents[name] = interval(slope, drawn, len(counted), 2)
        factors[name] = float(at_zero)
    return IsoFlop(runs, tuple(found), exponents, factors, tuple(warnings))


def _budget(flops: float, num_params: np.ndarray, nll: np.ndarray) -> Budget:
    x = np.log10(num_params)
    curve = _parabola(x, nll)
    if not curve[0] > 0:
        return Budget(flops, num_params, nll, curve, float("nan"), float("nan"), "the parabola has no minimum")
    best = -curve[1] / (2 * curve[0])
    outside = not x.min() <= best <= x.max()
    problem = "the minimum lies outside the sizes that were trained" if outside else ""
    return Budget(flops, num_params, nll, curve, float(10.0 ** min(best, 300.0)),
                  float(np.polyval(curve, best)), problem)


def _parabola(x: np.ndarray, nll: np.ndarray) -> np.ndarray:
    middle = x.mean()  # a parabola far from its origin is badly conditioned
    a, b, c = np.linalg.lstsq(np.vander(x - middle, 3), nll, rcond=None)[0]
    return np.array([a, b - 2 * a * middle, a * middle**2 - b * middle + c])


def _drawn(groups: list, log_c: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Exponents of N with the runs of each budget drawn again; draws without a minimum among the sizes are redrawn."""
    rng, slopes = np.random.default_rng(seed), []
    for _ in range(resamples):
        best = [_minimum(rng, x, nll) for x, nll in groups]
        if None not in best:
            slopes.append(np.polyfit(log_c, np.log(10) * np.array(best), 1)[0])
    return np.array(slopes)


def _minimum(rng, x: np.ndarray, nll: np.ndarray) -> float | None:
    for _ in range(20):
        chosen = rng.integers(len(x), size=len(x))
        if len(np.unique(x[chosen])) < 3:
            continue
        a, b, _ = _parabola(x[chosen], nll[chosen])
        if a > 0 and x.min() <= -b / (2 * a) <= x.max():
            return -b / (2 * a)
    return None
