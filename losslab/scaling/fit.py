"""The fit of L(N, D) to runs: constants with intervals, residuals, and what makes them doubtful."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from losslab.progress import Progress, counting, silent
from losslab.scaling import design, terms
from losslab.scaling.design import LEAST_SIZES, check
from losslab.scaling.intervals import FEWEST_RESAMPLES
from losslab.scaling.intervals import found as interval
from losslab.scaling.law import Law
from losslab.scaling.runs import Runs

NAMES = ("E", "A", "B", "alpha", "beta")
RESAMPLES = 1000
ROUNDING = 1e-14  # of the logarithm of an nll
NEAR_ZERO = 1e-3  # of the lowest nll: a constant or a term below it is none
STEEP = 0.98 * terms.STEEPEST
FLAT = 0.005  # an exponent below it: the runs show no fall
TRIFLE = 1e-4  # of a forecast, relative: what no one would act on
DECADE = 10.0
MISFIT = 1e-4  # probability below which rungs are said to lie off the law, with errors that are normal
LEAST_MISFIT = 1e-3  # of the nll: below it no one would mind


@dataclass(frozen=True)
class Fit:
    """A law fitted to runs.

    Args:
        runs: what it was fitted to.
        law: its constants.
        objective: sum of Huber's losses of the residuals of log nll.
        draws: the laws of the resamples, as one law of arrays; None where there are none.
        bounds: constants at the ends of what they may be, each with its sentence.
        warnings: sentences on what makes it doubtful, those of `bounds` among them.
        without_smallest: the same fit without the runs of the smallest size; None where too few are left.
        dropped: how many runs of the highest nll were left out before.
        agreeing, starts: of the starts of the search, how many ended at this law.
    """

    runs: Runs
    law: Law
    objective: float
    draws: Law | None = None
    bounds: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    without_smallest: "Fit | None" = None
    dropped: int = 0
    agreeing: int = 1
    starts: int = 1

    @property
    def residuals(self) -> np.ndarray:
        """`[runs]`, observed - fitted, nats per token."""
        return self.runs.nll - self.law.nll(self.runs.num_params, self.runs.num_tokens)

    @property
    def flops(self) -> tuple[float, float]:
        """Lowest and highest compute of the runs."""
        return float(self.runs.flops.min()), float(self.runs.flops.max())

    def interval(self, ask: Callable[[Law], np.ndarray]) -> dict:
        """`{"value", "low", "high"}` of what `ask` computes from a law."""
        draws = None if self.draws is None else ask(self.draws)
        return interval(float(ask(self.law)), draws, len(self.runs), len(NAMES))


def fit(runs: Runs, *, drop_highest: int = 0, resamples: int = RESAMPLES, seed: int = 0, leave_out: bool = True,
        progress: Progress = silent) -> Fit:  # fmt: skip
    r"""Fit $L(N, D) = E + A/N^\alpha + B/D^\beta$, and refit it to runs drawn again.

    The sum over runs of Huber's loss ($\delta = 10^{-3}$) of $\log \hat L - \log L$ is minimized by BFGS from a grid of
    100 starts. Intervals: runs are drawn with replacement and refitted, and the ends are those of the expanded
    percentile interval. They take the law as true: what a wrong law does is seen in the residuals and in the fit
    without the smallest size.

    Args:
        runs: at least 6, of 3 sizes and 3 numbers of tokens, which are not one power of the sizes; so at more than one
            ratio of the two.
        drop_highest: how many runs of the highest nll are left out, as outliers.
        resamples: how often runs are drawn; 0 gives no intervals.
        seed: of the draws.
        leave_out: whether to fit without the smallest size too.
        progress: is told how many refits are done.

    Raises:
        ValueError: where the runs cannot carry five constants; says how many it takes.

    Reference:
        Hoffmann et al. 2022 (law and fit), Besiroglu et al. 2024 (the sum and not the mean, bootstrap).
    """
    everything, runs = len(runs), runs.without_highest(drop_highest)
    check(runs)
    problem = terms.Problem(np.log(np.column_stack([runs.num_params, runs.num_tokens])), runs.nll)
    name = f"fitting {len(runs):,} runs"
    solution = terms.solve(problem, progress=counting(progress, name, "starts"))
    law = _law(solution)
    draws, told = _resampled(runs, problem, solution, resamples, seed, progress)
    found = Fit(runs, law, float(solution.objective), draws, dropped=everything - len(runs),
                agreeing=solution.agreeing, starts=solution.starts)
    bounds = _bounds(found)
    without, why = None, ""
    if leave_out:
        left = runs.only(runs.num_params > runs.num_params.min())
        try:
            without = fit(left, resamples=0, leave_out=False)
        except ValueError as error:
            why = f"what the law is without the smallest size is not known: {error}"
    warnings = [*runs.notes, *(sentence for _, sentence in bounds), *told, *_doubts(found, solution),
                *_moved(found, without)]
    return replace(found, bounds=tuple(bounds), warnings=tuple(warnings + [why] * bool(why)), without_smallest=without)


def _law(solution: terms.Solution) -> Law:
    return Law(solution.floor, solution.factors[..., 0], solution.factors[..., 1], solution.exponents[..., 0],
               solution.exponents[..., 1])


def _resampled(runs: Runs, problem, solution, resamples: int, seed: int, progress: Progress):
    if not resamples:
        return None, []
    weights, lost = terms.resamples(
        len(runs), (np.log(runs.num_params), np.log(runs.num_tokens)), (LEAST_SIZES, LEAST_SIZES), resamples, seed,
        lambda weights: design.told_apart(runs, weights))
    if len(weights) < min(resamples, FEWEST_RESAMPLES):
        return None, [f"there are no intervals: of {len(runs)} runs drawn again, hardly any set keeps {LEAST_SIZES} "
                      "sizes at more than one ratio; add runs of each size"]
    refits = terms.resolve(problem, weights, solution,
                           progress=counting(progress, "refitting runs drawn again", "refits"))
    told = [] if lost < 0.05 else [
        f"{lost:.0%} of the sets of runs drawn again had fewer than {LEAST_SIZES} sizes or numbers of tokens, or "
        "tokens that are one power of the size, and were drawn anew, so that intervals are too narrow; add runs"]
    return _law(refits), told


def _bounds(found: Fit) -> list[tuple[str, str]]:
    """Parameters at the ends of what they may be."""
    law, runs, said = found.law, found.runs, []
    least = runs.nll.min()
    if law.E < NEAR_ZERO * least:
        said.append(("E", "E is at its lower bound 0: these runs show no floor below which nll cannot fall"))
    for factor, exponent, value, log_factor, over, what in (
            ("A", "alpha", law.alpha, law.log_A, runs.num_params, "size"),
            ("B", "beta", law.beta, law.log_B, runs.num_tokens, "tokens")):  # fmt: skip
        term = np.exp(log_factor - value * np.log(over))
        if term.max() < NEAR_ZERO * least:
            said.append((factor, f"{factor} is at its lower bound 0: in these runs nll does not fall with {what}"))
        elif value < FLAT or np.ptp(term) < NEAR_ZERO * least:
            said.append((exponent, f"{exponent} is at its lower bound 0: in these runs nll does not fall with {what}"))
        elif value > STEEP:
            said.append((exponent, f"{exponent} is at its upper bound {terms.STEEPEST:g}: only the smallest {what} "
                                   "sets it, and its value means nothing"))
    return said


def _doubts(found: Fit, solution: terms.Solution) -> list[str]:
    runs, said = found.runs, []
    if not solution.settled:
        said.append("the search ended at its limit of steps and not at an optimum, so the constants are not reliable")
    places = len(np.unique(np.column_stack([runs.num_params, runs.num_tokens]), axis=0))
    what = f"{len(runs)} runs" if places == len(runs) else f"{places} rungs"  # seeds of a rung are one place
    if (free := max(0, places - len(NAMES))) < 5:
        said.append(f"{what} for five constants leave {free or 'none'} to judge the law by; " + (
            "intervals of so few are rough" if free else "it goes near all of them whether it holds or not"))
    return said + _misfit(found) + design.doubts(runs.num_params, runs.num_tokens)


def _misfit(found: Fit) -> list[str]:
    """Where runs of one size and number of tokens are near each other and far from the law: the F test of lack of fit.

    Drawing runs again does not see it, since all runs of a rung are off by the same.
    """
    from scipy.special import fdtrc

    runs = found.runs
    off = np.log(runs.nll) - np.log(found.law.nll(runs.num_params, runs.num_tokens))
    _, rung, count = np.unique(np.column_stack([runs.num_params, runs.num_tokens]), axis=0, return_inverse=True,
                               return_counts=True)
    rung = rung.reshape(-1)  # numpy 2.0.0 gives a column
    mean = np.bincount(rung, off) / count
    free, within_free = len(count) - len(NAMES), len(off) - len(count)
    within = float(((off - mean[rung]) ** 2).sum())
    if free < 1 or within_free < 1 or within < len(off) * ROUNDING**2:
        return []
    between = float((count * mean**2).sum()) / free
    if fdtrc(free, within_free, between / (within / within_free)) >= MISFIT:
        return []
    lie, explained = np.sqrt(np.mean(mean**2)), np.sqrt(within / within_free * np.mean(1 / count))
    if lie < LEAST_MISFIT:
        return []
    return [f"the means of the {len(count)} rungs lie {lie:.1%} from the law (root mean square), of which the spread "
            f"of runs of one rung explains {explained:.1%}: one law does not hold over these runs, so its intervals "
            "are too narrow, its forecasts may be far off, and so may what a difference is worth in compute"]


def _moved(found: Fit, without: Fit | None) -> list[str]:
    """Where a forecast without the smallest size leaves the interval, the law does not hold over all sizes."""
    if without is None or found.draws is None:
        return []
    flops = DECADE * found.flops[1]
    sizes = found.law.optimum(flops)
    if not np.isfinite(sizes).all():
        return []
    all_of = found.interval(lambda law: law.nll(*sizes))
    value = float(without.law.nll(*sizes))
    if all_of["low"] is None or all_of["high"] is None or not np.isfinite(value):
        return []
    off = max(all_of["low"] - value, value - all_of["high"])
    if off <= TRIFLE * value:
        return []
    return [f"without the smallest size the nll at {flops:.2g} FLOP is forecast as {value:.4g} and not "
            f"{all_of['value']:.4g} [{all_of['low']:.4g}, {all_of['high']:.4g}]: one law does not hold over all sizes"]
