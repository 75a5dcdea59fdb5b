r"""How many seeds in all a study takes, given those that it has: the plan that a verdict prints.

The standard deviation is known from few seeds only, and the seeds that are there stay in the test. So the plan takes
neither for granted. For a supposed true difference $\Delta$ the unknown variance is averaged over
$\sigma^2 = S/\chi^2_\nu$ (the posterior under the prior $1/\sigma$), and for each $\sigma$ the probability that the
pooled t test over all $N$ seeds shows a difference is exact up to one quadrature.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np

from losslab.stats.inference import critical_t

SIGMAS, SPREADS = 64, 12  # nodes of the two averages
AIM = 0.02  # power above the one that is promised: simulated plans reach what they aim at to within this
MOST = 10_000  # seeds; nobody plans for more


def seeds_in_all(
    differences: Sequence[float], difference: float, level: float, *, power: float = 0.9, signed: bool = False,
) -> int | None:
    """The least number of seeds, present ones included, that shows a true difference with the wanted power.

    Args:
        differences: `[n]`, at least 2; candidate - baseline of each present seed.
        difference: the supposed size of the true difference, above 0; its sign is taken as unknown, each sign as
            likely as the present seeds make it.
        level: of the test over all seeds.
        power: the wanted probability.
        signed: the sign is known, and the variance is that around the mean of the present seeds.

    Returns:
        At least n + 1; None where it is more than 10,000.

    Example:
        >>> seeds_in_all([0.003, -0.001, 0.002, 0.0, 0.001], 0.002, level=0.05)
        21
    """
    pilot = _Pilot.of(differences)
    reached = functools.partial(_reached, pilot, difference, level, signed)
    low, high = pilot.n, pilot.n + 1
    while reached(high) < min(power + AIM, 1 - 1e-6):
        low, high = high, min(2 * high, MOST)
        if low == MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) >= power + AIM else (middle, high)
    return high


def reached(
    differences: Sequence[float], difference: float, seeds: int, level: float, *, signed: bool = False,
) -> float:
    """The probability that `seeds` in all show a true difference, given the present ones; see `seeds_in_all`."""
    return _reached(_Pilot.of(differences), difference, level, signed, seeds)


def shown_by(n: int, sd: float, level: float, power: float = 0.9) -> float:
    """The smallest true difference that n fresh seeds show, where `sd` itself was estimated from as many.

    Example:
        >>> round(shown_by(5, 0.002, 0.05), 4)  # 0.0039 if the standard deviation were known
        0.0055
    """
    return sd * _effect(n, level, power)


def fresh_seeds(n: int, sd: float, difference: float, level: float, *, power: float = 0.9) -> int | None:
    """How many seeds a fresh comparison takes, where `sd` was estimated from n seeds; None for more than 10,000.

    Example:
        >>> fresh_seeds(5, 0.002, 0.002, 0.05)  # 13 if the standard deviation were known
        23
    """
    low, high = 1, 2
    while _fresh(n, difference / sd, high, level) < power:
        low, high = high, min(2 * high, MOST)
        if low == MOST:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _fresh(n, difference / sd, middle, level) >= power else (middle, high)
    return high


def _fresh(n: int, effect: float, seeds: int, level: float) -> float:
    """Power of a test over fresh seeds, averaged over the standard deviation that n seeds estimate."""
    from scipy.special import nctdtr

    shift = effect * math.sqrt(seeds) * np.sqrt(_chi2(n - 1, SIGMAS) / (n - 1))
    return float(np.mean(1 - np.nan_to_num(nctdtr(seeds - 1, shift, critical_t(level, seeds - 1)))))


class _Pilot:
    """The present seeds: how many, their mean, and the sum of squares around it."""

    def __init__(self, n: int, mean: float, squares: float):
        self.n, self.mean, self.squares = n, mean, squares

    @classmethod
    def of(cls, differences: Sequence[float]) -> "_Pilot":
        d = np.asarray(differences, dtype=float)
        return cls(d.size, float(d.mean()), float(((d - d.mean()) ** 2).sum()))


def _reached(pilot: _Pilot, size: float, level: float, signed: bool, seeds: int) -> float:
    if signed:
        return _shows(pilot, math.copysign(size, pilot.mean), pilot.squares, pilot.n - 1, seeds, level)
    around = [pilot.squares + pilot.n * (pilot.mean - sign * size) ** 2 for sign in (1, -1)]
    # likelihood of each sign with sigma integrated out: (sum of squares around it) ** (-n / 2)
    ratio = pilot.n / 2 * (np.log(around[0]) - np.log(around[1]))  # neither is 0: differences vary
    weight = 1 / (1 + math.exp(min(float(ratio), 700.0)))
    return sum(share * _shows(pilot, sign * size, squares, pilot.n, seeds, level)
               for share, sign, squares in ((weight, 1, around[0]), (1 - weight, -1, around[1])) if share > 1e-6)


def _shows(pilot: _Pilot, true: float, squares: float, df: int, seeds: int, level: float) -> float:
    """Probability that the pooled test over `seeds` exceeds its critical value, where the true difference is `true`.

    With the sum of squares of the k new seeds fixed, |t| > c is a quadratic inequality in their mean.
    """
    from scipy.special import ndtr

    n, k, c2 = pilot.n, seeds - pilot.n, critical_t(level, seeds - 1) ** 2
    sigma = np.sqrt(squares / _chi2(df, SIGMAS))[:, None]
    inner = sigma**2 * (_chi2(k - 1, SPREADS) if k > 1 else np.zeros(1))
    between = n * k / seeds
    a = (seeds - 1) * k**2 / seeds - c2 * between
    b = 2 * (seeds - 1) / seeds * n * pilot.mean * k + 2 * c2 * between * pilot.mean
    g = (seeds - 1) / seeds * (n * pilot.mean) ** 2 - c2 * (pilot.squares + inner + between * pilot.mean**2)
    root = np.sqrt(np.maximum(b * b - 4 * a * g, 0.0))
    if a == 0:
        return 0.0
    low, high = np.sort([(-b - root) / (2 * a), (-b + root) / (2 * a)], axis=0)
    inside = ndtr((high - true) * math.sqrt(k) / sigma) - ndtr((low - true) * math.sqrt(k) / sigma)
    return float(np.mean(1 - inside if a > 0 else inside))


@functools.lru_cache(maxsize=4096)
def _chi2(df: int, nodes: int) -> np.ndarray:
    """Quantiles of chi-square at the midpoints of equal shares of probability."""
    from scipy.special import gammaincinv

    return 2 * gammaincinv(df / 2, (np.arange(nodes) + 0.5) / nodes)


@functools.cache
def _effect(n: int, level: float, power: float) -> float:
    """`shown_by` in estimated standard deviations."""
    def reach(effect: float) -> float:
        return _fresh(n, effect, n, level)

    low, high = 0.0, 1.0
    while reach(high) < power:
        low, high = high, 2 * high
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if reach(middle) >= power else (middle, high)
    return high
