"""Intervals from refits to runs drawn again."""

import math

import numpy as np

LEVEL = 0.95
FEWEST_RESAMPLES = 50  # with fewer, an end of an interval is a matter of chance


def ends(draws: np.ndarray, runs: int, constants: int, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    r"""Lower and upper end of the expanded percentile interval, along the first axis.

    A percentile interval of few runs is too narrow: it is that of a normal law where Student's is due, and the drawn
    residuals have been shrunk by the fit. So its tails are those of a normal law at
    $\sqrt{n/(n-k)}\; t_{1-\alpha/2,\,n-k}$, where n runs were fitted by k constants.

    Args:
        draws: `[draws, ...]`, what each refit gave.
        runs: n.
        constants: k, below n.
        level: of the interval.

    Reference:
        Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician 69, 2015.
    """
    from scipy.special import ndtr, stdtrit

    free = max(1, runs - constants)
    tail = float(ndtr(math.sqrt(runs / free) * stdtrit(free, (1 - level) / 2)))
    return np.quantile(draws, tail, axis=0), np.quantile(draws, 1 - tail, axis=0)


def found(value: float, draws: np.ndarray | None, runs: int, constants: int) -> dict:
    """`{"value", "low", "high"}`; ends are None where there are no draws, or where they are no numbers.

    A constant at its bound may lie beyond all refits, which stay inside; the interval then goes to the constant.
    """
    if draws is None or len(draws) == 0:
        return {"value": float(value), "low": None, "high": None}
    with np.errstate(invalid="ignore"):  # between two infinite draws
        low, high = (float(end) for end in ends(draws, runs, constants))
    low, high = min(low, value), max(high, value)
    return {"value": float(value), "low": low if math.isfinite(low) else None,
            "high": high if math.isfinite(high) else None}
