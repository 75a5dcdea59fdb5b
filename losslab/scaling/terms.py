r"""A constant and falling powers, fitted to losses: $L = E + \sum_t K_t / x_t^{p_t}$.

The residual is taken of $\log L$, with Huber's loss, summed over runs. Inside, each $\log x$ is measured from its mean:
without that a power and its factor can hardly be told apart, and every search is slow.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from losslab.scaling.minimize import minimize

DELTA = 1e-3  # of Huber's loss: residuals of log nll up to this count by their square
STEEPEST = 3.0  # exponents lie between 0 and this; none of language is near it
START_EXPONENTS = {1: np.geomspace(0.03, 2.0, 12), 2: np.geomspace(0.06, 1.5, 10)}  # for each power of a law
AT_ONCE = 250_000  # residuals computed at a time, so that they stay in the cache and memory stays small
SAME = 1e-6  # relative; optima this near are the same


@dataclass(frozen=True)
class Problem:
    """Losses and the resources that they fall with.

    Args:
        logs: `[runs, powers]`, logarithms of the resources.
        nll: `[runs]`, above 0.
        floor: whether there is a constant E; without one E is 0.
    """

    logs: np.ndarray
    nll: np.ndarray
    floor: bool = True

    @property
    def center(self) -> np.ndarray:
        return self.logs.mean(0)

    @property
    def num_constants(self) -> int:
        return self.floor + 2 * self.logs.shape[1]


@dataclass(frozen=True)
class Solution:
    """Constants of one fit, or of many at once, in natural units.

    Args:
        floor: E, `[...]`.
        factors: `[..., powers]`, the logarithms of K.
        exponents: `[..., powers]`.
        objective: `[...]`, the sum of Huber's losses.
        settled: `[...]`, whether the search ended by itself.
        agreeing: of the starts, how many ended there.
        starts: how many there were.
    """

    floor: np.ndarray
    factors: np.ndarray
    exponents: np.ndarray
    objective: np.ndarray
    settled: np.ndarray
    agreeing: int = 1
    starts: int = 1

    def first(self) -> "Solution":
        """The first of many."""
        return Solution(self.floor[0], self.factors[0], self.exponents[0], self.objective[0], self.settled[0])


def huber(residuals: np.ndarray, delta: float = DELTA) -> np.ndarray:
    """Huber's loss: half the square up to `delta`, a line beyond.

    Example:
        >>> huber(np.array([0.5, -2.0]), delta=1.0).tolist()
        [0.125, 1.5]
    """
    size = np.abs(residuals)
    return np.where(size <= delta, residuals**2 / 2, delta * (size - delta / 2))


def solve(problem: Problem, *, progress: Callable[[int, int], None] | None = None) -> Solution:
    """The best constants, from a grid of starts."""
    starts = _starts(problem)
    found = minimize(_objective(problem, None), starts, progress=progress)
    best = int(np.argmin(np.where(np.isfinite(found.values), found.values, np.inf)))
    near = found.values <= found.values[best] * (1 + SAME) + 1e-12
    this = slice(best, best + 1)
    one = _natural(problem, found.points[this], found.values[this], found.settled[this])
    return replace(one.first(), agreeing=int(near.sum()), starts=len(starts))


def resolve(problem: Problem, weights: np.ndarray, near: Solution, *,
            progress: Callable[[int, int], None] | None = None) -> Solution:  # fmt: skip
    """The best constants for each of many weightings of the same runs, searched from those of all runs.

    Args:
        problem: the runs.
        weights: `[resamples, runs]`, how often each is counted.
        near: where the search begins.
        progress: takes how many are done, and how many there are.
    """
    start = _inside(problem, near)
    found = minimize(_objective(problem, weights), np.repeat(start[None], len(weights), 0), progress=progress)
    return _natural(problem, found.points, found.values, found.settled)


# --- inside: centered logs, and exponents on the whole line --------------------------------------

def _objective(problem: Problem, weights: np.ndarray | None):
    powers = problem.logs.shape[1]
    centered = (problem.logs - problem.center).T.copy()  # [powers, runs]
    target = np.log(problem.nll)
    rows = max(1, AT_ONCE // max(1, len(target)))

    def part(points, which):
        factors = points[:, 1 : 1 + powers]
        share = 1 / (1 + np.exp(-np.clip(points[:, 1 + powers :], -60, 60)))
        terms = np.empty((len(points), 1 + powers, len(target)))
        terms[:, 0] = points[:, :1] if problem.floor else -1e9
        terms[:, 1:] = factors[..., None] - STEEPEST * share[..., None] * centered
        top = terms.max(1, keepdims=True)
        np.exp(terms - top, out=terms)
        total = terms.sum(1)
        residual = np.log(total) + top[:, 0] - target
        pull = np.clip(residual / DELTA, -1, 1)
        value = np.abs(residual)
        value = np.where(value <= DELTA, residual * residual / (2 * DELTA), value - DELTA / 2)
        if weights is not None:
            counted = weights[which]
            pull, value = pull * counted, value * counted
        terms *= (pull / total)[:, None]
        sums = terms.sum(-1)
        turned = -np.einsum("kpn,pn->kp", terms[:, 1:], centered) * STEEPEST * share * (1 - share)
        return value.sum(-1), np.concatenate([sums, turned], -1)

    def objective(points, which):
        values, slopes = np.empty(len(points)), np.empty_like(points)
        with np.errstate(over="ignore", invalid="ignore"):
            for i in range(0, len(points), rows):
                values[i : i + rows], slopes[i : i + rows] = part(points[i : i + rows], which[i : i + rows])
        return values, slopes

    return objective


def _starts(problem: Problem) -> np.ndarray:
    """For each pair of exponents on a grid, the constants that fit best by relative least squares."""
    centered, powers = problem.logs - problem.center, problem.logs.shape[1]
    starts = []
    for exponents in product(START_EXPONENTS[powers], repeat=powers):
        columns = np.exp(-np.array(exponents) * centered)
        system = np.column_stack([np.ones(len(centered)), columns]) / problem.nll[:, None]
        found = np.linalg.lstsq(system, np.ones(len(centered)), rcond=None)[0]
        least = 0.01 * problem.nll.min()  # what came out negative starts small
        share = np.array(exponents) / STEEPEST
        starts.append([*np.log(np.maximum(found, least)), *np.log(share / (1 - share))])
    return np.array(starts)


def _inside(problem: Problem, found: Solution) -> np.ndarray:
    """Where the search of a resample begins: at these constants, but off every bound, where all slopes are 0."""
    share = np.clip(found.exponents / STEEPEST, 0.003, 0.9)
    least = 0.01 * problem.nll.min()
    floor = np.log(np.maximum(found.floor, least))
    factors = np.maximum(found.factors - found.exponents * problem.center, np.log(least))
    return np.concatenate([[floor], factors, np.log(share / (1 - share))])


def _natural(problem: Problem, points, values, settled) -> Solution:
    powers = problem.logs.shape[1]
    exponents = STEEPEST / (1 + np.exp(-np.clip(points[:, 1 + powers :], -60, 60)))
    factors = points[:, 1 : 1 + powers] + exponents * problem.center
    floor = np.exp(np.maximum(points[:, 0], -700)) if problem.floor else np.zeros(len(points))
    return Solution(floor, factors, exponents, DELTA * values, settled)


# --- what a table can carry ----------------------------------------------------------------------

def resamples(count: int, groups: Sequence[np.ndarray], least: Sequence[int], draws: int, seed: int,
              carries: Callable[[np.ndarray], np.ndarray] | None = None):  # fmt: skip
    """Weights of runs drawn with replacement, each draw with enough of every group, and the share drawn anew.

    Args:
        count: of runs.
        groups: `[runs]` each, numbers of the size, or token count, that a run has.
        least: how many of each a fit takes.
        draws: how many are wanted.
        seed: of the draws.
        carries: takes weights `[k, runs]` and says which of them can carry the constants, where groups do not say it.

    Returns:
        `[draws or fewer, runs]` and the share of the draws that were thrown away; fewer where hardly any is enough.
    """
    rng, kept, drawn = np.random.default_rng(seed), [], 0
    members = [np.equal.outer(group, np.unique(group)).astype(float) for group in groups]
    have = 0
    while have < draws and drawn < 20 * draws:
        weights = rng.multinomial(count, np.full(count, 1 / count), size=draws).astype(float)
        present = (weights > 0).astype(float)
        enough = np.ones(draws, dtype=bool)
        for member, needed in zip(members, least, strict=True):
            enough &= ((present @ member) > 0).sum(-1) >= needed
        if carries is not None:
            enough &= carries(weights)
        drawn += draws
        kept.append(weights[enough])
        have += int(enough.sum())
    weights = np.concatenate(kept)
    return weights[:draws], 1 - have / drawn
