"""Many small minimizations at once: BFGS over a batch of problems, each with its own start, data or weights.

A fit tries some hundred starts, and its interval refits it some thousand times. One problem takes numpy microseconds of
arithmetic and milliseconds of calls; a batch shares the calls.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

ARMIJO, WOLFE = 1e-4, 0.9  # the usual constants of a line search
MOST_TRIES = 30  # of a line search: doublings and halvings
LONGEST_STEP = 4.0  # in units of the parameters, so that no early step leaves the region of the starts
MOST_STEPS = 1000
QUIET_STEPS = 4  # in a row without a noticeable gain end a problem
ROUNDING = 1e-15
GAIN = 1e-13  # relative; below it a gain is rounding
LEAST = 1e-12  # of a gain: a fit without any noise falls towards 0 without end

Objective = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Minima:
    """Where each problem ended.

    Args:
        points: `[problems, parameters]`.
        values: `[problems]`, the objective there.
        settled: `[problems]`, whether it ended by itself and not at the limit of steps.
    """

    points: np.ndarray
    values: np.ndarray
    settled: np.ndarray


def minimize(objective: Objective, starts: np.ndarray, *, steps: int = MOST_STEPS,
             progress: Callable[[int, int], None] | None = None) -> Minima:  # fmt: skip
    """BFGS with a weak Wolfe line search, on every problem of a batch; problems that have ended leave it.

    Args:
        objective: takes points `[k, parameters]` and the numbers of their problems `[k]`; gives values `[k]` and
            gradients `[k, parameters]`. Best scaled so that values and parameters are of the order of 1.
        starts: `[problems, parameters]`.
        steps: the most that any problem takes.
        progress: takes how many problems have ended, and how many there are.

    Example:
        >>> def bowl(x, which):
        ...     return ((x - 1) ** 2).sum(-1), 2 * (x - 1)
        >>> minimize(bowl, np.zeros((2, 3))).points.round(6).tolist()
        [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]
    """
    points = np.array(starts, dtype=float)
    count, size = points.shape
    active = np.arange(count)
    values, slopes = objective(points, active)
    inverse = np.broadcast_to(np.eye(size), (count, size, size)).copy()
    quiet, fresh = np.zeros(count, dtype=int), np.ones(count, dtype=bool)
    for _ in range(steps):
        if not active.size:
            break
        at, slope, before = points[active], slopes[active], values[active]
        direction = -np.einsum("kij,kj->ki", inverse[active], slope)
        uphill = ~(np.einsum("ki,ki->k", direction, slope) < 0)  # also where a number is not finite
        direction[uphill] = -slope[uphill]
        inverse[active[uphill]] = np.eye(size)
        longest = np.abs(direction).max(-1, keepdims=True)
        direction *= np.minimum(1.0, LONGEST_STEP / np.maximum(longest, 1e-300))
        step, found, new = _search(objective, active, at, direction, before, slope)
        moved, turned = step[:, None] * direction, new - slope
        points[active], values[active], slopes[active] = at + moved, found, new
        _update(inverse, active, moved, turned, fresh)
        small = ~(before - found > GAIN * np.abs(before) + LEAST)
        # a failed search with an old matrix is tried once more from the gradient alone
        inverse[active[small]] = np.eye(size)
        fresh[active[small]] = True
        quiet[active] = np.where(small, quiet[active] + 1, 0)
        active = active[quiet[active] < QUIET_STEPS]
        if progress is not None:
            progress(count - active.size, count)
    settled = np.ones(count, dtype=bool)
    settled[active] = False
    return Minima(points, values, settled & np.isfinite(values))


def _update(inverse, active, moved, turned, fresh) -> None:
    """The BFGS update of each inverse Hessian whose curvature is positive."""
    curvature = np.einsum("ki,ki->k", moved, turned)
    size = np.linalg.norm(moved, axis=-1) * np.linalg.norm(turned, axis=-1)
    good = curvature > 1e-12 * size
    if not good.any():
        return
    which, s, y, c = active[good], moved[good], turned[good], curvature[good]
    first = fresh[which]
    scale = np.where(first, c / np.einsum("ki,ki->k", y, y), 1.0)
    h = inverse[which] * scale[:, None, None]
    hy = np.einsum("kij,kj->ki", h, y)
    factor = (1 + np.einsum("ki,ki->k", y, hy) / c) / c
    cross = np.einsum("ki,kj->kij", hy, s) / c[:, None, None]
    inverse[which] = h + factor[:, None, None] * np.einsum("ki,kj->kij", s, s) - cross - cross.transpose(0, 2, 1)
    fresh[which] = False


def _search(objective, active, at, direction, before, slope):
    """A step for each problem at which the objective has fallen enough and no longer falls as steeply."""
    count = len(active)
    low, high, step = np.zeros(count), np.full(count, np.inf), np.ones(count)
    down = np.einsum("ki,ki->k", direction, slope)
    best, values, slopes = np.zeros(count), before.copy(), slope.copy()
    todo = np.arange(count)
    for _ in range(MOST_TRIES):
        t = step[todo]
        value, new = objective(at[todo] + t[:, None] * direction[todo], active[todo])
        falls = value <= before[todo] + ARMIJO * t * down[todo]  # False where it is not a number
        flat = np.einsum("ki,ki->k", new, direction[todo]) >= WOLFE * down[todo]
        kept = falls & (value <= values[todo])
        which = todo[kept]
        best[which], values[which], slopes[which] = t[kept], value[kept], new[kept]
        high[todo[~falls]] = t[~falls]
        low[todo[falls & ~flat]] = t[falls & ~flat]
        # where a step can bring less than rounding, none is looked for any longer
        idle = ~falls & (t * -down[todo] < ROUNDING * np.abs(before[todo]))
        todo = todo[~(falls & flat) & ~idle]
        if not todo.size:
            break
        open_end = np.isinf(high[todo])
        step[todo] = np.where(open_end, 2 * step[todo], (low[todo] + np.where(open_end, 0, high[todo])) / 2)
    return best, values, slopes
