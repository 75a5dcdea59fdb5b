"""Laws of one variable: the loss against one resource, and one loss against another."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from losslab.progress import Progress, counting, silent
from losslab.scaling import terms
from losslab.scaling.fit import FLAT, NEAR_ZERO, STEEP
from losslab.scaling.intervals import FEWEST_RESAMPLES
from losslab.scaling.intervals import found as interval
from losslab.scaling.table import Runs

RESOURCES = {"params": "num_params", "tokens": "num_tokens", "compute": "flops"}
LEAST_VALUES = 3  # of the variable: three constants
LOSS_RESAMPLES = 300
FLOORS = 12  # of the other loss that are tried


@dataclass(frozen=True)
class PowerLaw:
    r"""$L = E + K\,(x - x_0)^{\mp p}$: falling with a resource, rising with another loss.

    Args:
        over: what x is: `num_params`, `num_tokens`, `flops` or `other_nll`.
        x, nll: `[runs]`, what it was fitted to.
        E: the floor of nll.
        log_K: logarithm of K.
        exponent: p.
        x0: the floor of the other loss; 0 for a resource.
        objective: sum of Huber's losses of the residuals of log nll.
        draws: `[resamples]` arrays of E, log_K, exponent and x0; None where there are none.
        constants: how many were fitted.
        bounds: constants at the ends of what they may be, each with its sentence.
        warnings: sentences on what makes it doubtful.
        without_smallest: the same without the runs of the smallest resource, or of the highest other loss.
    """

    over: str
    x: np.ndarray
    nll: np.ndarray
    E: float
    log_K: float
    exponent: float
    x0: float
    objective: float
    draws: tuple[np.ndarray, ...] | None = None
    constants: int = 3
    bounds: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    without_smallest: "PowerLaw | None" = None

    @property
    def rises(self) -> bool:
        return self.over == "other_nll"

    @property
    def residuals(self) -> np.ndarray:
        return self.nll - self.at(self.x)

    def at(self, x) -> np.ndarray:
        """The loss at `x`."""
        return _at((self.E, self.log_K, self.exponent, self.x0), x, self.rises)

    def interval(self, ask: Callable[[tuple], np.ndarray]) -> dict:
        """`{"value", "low", "high"}` of what `ask` computes from E, log K, exponent and x0."""
        draws = None if self.draws is None else ask(self.draws)
        return interval(float(ask((self.E, self.log_K, self.exponent, self.x0))), draws, len(self.x), self.constants)

    def forecast(self, x: float) -> dict:
        """The loss at one `x`, with its interval."""
        return self.interval(lambda constants: _at(constants, x, self.rises))


def _at(constants: tuple, x, rises: bool):
    floor, log_k, exponent, x0 = constants
    distance = np.maximum(np.asarray(x, dtype=float) - x0, 1e-300)
    with np.errstate(over="ignore"):  # a steep power far from the runs may be more than a float holds
        return floor + np.exp(log_k + (exponent if rises else -exponent) * np.log(distance))


def power_law(runs: Runs, over: str, *, floor: bool = True, resamples: int = 1000, seed: int = 0,
              leave_out: bool = True, progress: Progress = silent) -> PowerLaw:  # fmt: skip
    r"""Fit $L = E + K\,x^{-p}$ of one resource.

    Args:
        runs: at least 4, at 3 values of the resource.
        over: `num_params`, `num_tokens` or `flops`. What else differs between the runs is not seen: a law of compute
            holds for the way in which these runs spend it.
        floor: whether E is fitted; else it is 0, as in Kaplan et al.
        resamples, seed, leave_out, progress: as for `fit.fit`.

    Raises:
        ValueError: where the runs are too few; says how many it takes.
    """
    x = getattr(runs, over)
    words = over.replace("num_", "numbers of ").replace("params", "parameters").replace("flops", "computes")
    _check(x, runs, floor, f"{LEAST_VALUES} {words}")
    return _fitted(runs, x, over, floor, resamples, seed, leave_out, progress)


def _check(x: np.ndarray, runs: Runs, floor: bool, values: str) -> None:
    least = 3 + floor
    if len(runs) < least or len(np.unique(x)) < LEAST_VALUES:
        raise ValueError(f"a power law of {'three' if floor else 'two'} constants takes at least {least} runs at "
                         f"{values}, and {runs.source} has {len(runs):,} at {len(np.unique(x)):,}")


def _fitted(runs: Runs, x, over: str, floor: bool, resamples: int, seed: int, leave_out: bool, progress, x0=0.0):
    rises = over == "other_nll"
    log_x = np.log(x - x0) * (-1 if rises else 1)
    problem = terms.Problem(log_x[:, None], runs.nll, floor)
    solution = terms.solve(problem)
    found = PowerLaw(over, x, runs.nll, float(solution.floor), float(solution.factors[0]),
                     float(solution.exponents[0]), float(x0), float(solution.objective),
                     constants=problem.num_constants)
    draws, warnings = None, [*runs.notes]
    if resamples:
        weights, _ = terms.resamples(len(runs), (log_x,), (LEAST_VALUES,), resamples, seed)
        if len(weights) >= min(resamples, FEWEST_RESAMPLES):
            refits = terms.resolve(problem, weights, solution, progress=counting(
                progress, "refitting runs drawn again", "refits"))
            draws = (refits.floor, refits.factors[:, 0], refits.exponents[:, 0], np.full(len(weights), float(x0)))
        else:
            warnings.append(f"there are no intervals: of {len(runs)} runs drawn again, hardly any set keeps "
                            f"{LEAST_VALUES} values; add runs")
    bounds = _bounds(found, floor)
    warnings += [sentence for _, sentence in bounds]
    without = None
    if leave_out:
        left = runs.only(x < x.max() if rises else x > x.min())
        kept = x[x < x.max()] if rises else x[x > x.min()]
        try:
            _check(kept, left, floor, f"{LEAST_VALUES} values")
            without = _fitted(left, kept, over, floor, 0, seed, False, silent, x0)
        except ValueError as error:
            warnings.append(f"what the law is without the smallest rung is not known: {error}")
    return PowerLaw(over, x, runs.nll, found.E, found.log_K, found.exponent, found.x0, found.objective, draws,
                    found.constants, tuple(bounds), tuple(warnings), without)


def _bounds(found: PowerLaw, floor: bool) -> list[tuple[str, str]]:
    said, least = [], found.nll.min()
    if floor and found.E < NEAR_ZERO * least:
        said.append(("E", "E is at its lower bound 0: these runs show no floor below which nll cannot fall"))
    if found.exponent < FLAT or np.ptp(found.at(found.x)) < NEAR_ZERO * least:
        said.append(("exponent", f"the exponent is at its lower bound 0: in these runs nll does not change with "
                                 f"{found.over}"))
    elif found.exponent > STEEP:
        said.append(("exponent", f"the exponent is at its upper bound {terms.STEEPEST:g}, and its value means nothing"))
    return said


def loss_to_loss(runs: Runs, *, x0: float | None = None, resamples: int = LOSS_RESAMPLES, seed: int = 0,
                 progress: Progress = silent) -> PowerLaw:  # fmt: skip
    r"""Fit $L_1 = E_1 + K\,(L_0 - E_0)^\kappa$: what the loss on one text says of that on another, run by run.

    Args:
        runs: with `other_nll`, which is $L_0$; at least 5 at 3 values of it.
        x0: $E_0$ where it is known, from the law of that loss; else the best of some twenty values below its lowest.
        resamples, seed, progress: as for `fit.fit`.

    Raises:
        ValueError: where the runs are too few, or x0 is not below all of their losses.

    Reference:
        Brandfonbrener et al., Loss-to-Loss Prediction: Scaling Laws for All Datasets, 2024, arXiv:2411.12925.
    """
    x = runs.more["other_nll"]
    if len(runs) < 5 or len(np.unique(x)) < LEAST_VALUES:
        raise ValueError(f"a law of one loss by another takes at least 5 runs at {LEAST_VALUES} values of it, and "
                         f"{runs.source} has {len(runs):,} at {len(np.unique(x)):,}")
    if x0 is not None:
        if not 0 <= x0 < x.min():
            raise ValueError(f"the floor of the other loss must lie between 0 and its lowest value {x.min():.5g}, got "
                             f"{x0:g}")
        return _fitted(runs, x, "other_nll", True, resamples, seed, True, progress, x0)
    floors = np.concatenate([[0.0], x.min() - np.geomspace(x.min(), 1e-3 * x.min(), FLOORS)[1:]])
    problems, solutions = _tried(runs, x, floors, progress)
    best = int(np.argmin([solution.objective for solution in solutions]))
    near = np.linspace(floors[max(0, best - 1)], floors[min(best + 1, len(floors) - 1)], FLOORS // 2 + 3)[1:-1]
    more, closer = _tried(runs, x, near, progress)
    order = np.argsort(np.concatenate([floors, near]), kind="stable")
    floors = np.concatenate([floors, near])[order]
    problems, solutions = ([every[i] for i in order] for every in (problems + more, solutions + closer))
    best = int(np.argmin([solution.objective for solution in solutions]))
    found = _fitted(runs, x, "other_nll", True, 0, seed, True, progress, floors[best])
    draws = _profiled(runs, x, floors, problems, solutions, resamples, seed, progress) if resamples else None
    bounds = list(found.bounds)
    if best in (0, len(floors) - 1):
        end = "lower bound 0" if best == 0 else "upper bound, just below the lowest of these runs"
        bounds.append(("x0", f"the floor of the other loss is at its {end}"))
    return replace(found, draws=draws, constants=4, bounds=tuple(bounds),
                   warnings=(*found.warnings, *(sentence for _, sentence in bounds[len(found.bounds):])))


def _tried(runs: Runs, x, floors, progress: Progress) -> tuple[list, list]:
    """The problem and its solution for each floor."""
    problems = [terms.Problem(-np.log(x - floor)[:, None], runs.nll) for floor in floors]
    solutions: list = []
    for i, problem in enumerate(problems):
        solutions.append(terms.solve(problem))
        progress("trying floors of the other loss", i + 1, len(floors), "floors")
    return problems, solutions


def _profiled(runs: Runs, x, floors, problems, solutions, resamples: int, seed: int, progress: Progress):
    """The best floor and constants of each resample, over the same floors."""
    weights, _ = terms.resamples(len(runs), (x,), (LEAST_VALUES,), resamples, seed)
    if len(weights) < min(resamples, FEWEST_RESAMPLES):
        return None
    best = np.full(len(weights), np.inf)
    draws = np.zeros((4, len(weights)))
    for i, (floor, problem, near) in enumerate(zip(floors, problems, solutions, strict=True)):
        refits = terms.resolve(problem, weights, near)
        better = refits.objective < best
        best[better] = refits.objective[better]
        draws[:, better] = np.stack([refits.floor, refits.factors[:, 0], refits.exponents[:, 0],
                                     np.full(len(weights), floor)])[:, better]
        progress("refitting runs drawn again", i + 1, len(floors), "floors")
    return tuple(draws)
