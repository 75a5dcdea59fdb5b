"""How many seeds a difference takes, and which difference some seeds can show."""

import functools
import math

import numpy as np

from losslab.stats.inference import critical_t, fraction

LARGE = 100_000  # from so many seeds on the noncentral t is normal for any purpose, and scipy's fails


def _power(effect: float, n: float, alpha: float) -> float:
    """Power of a two-sided paired t test where the true difference is `effect` standard deviations."""
    from scipy.special import nctdtr

    shift, t = effect * math.sqrt(n), critical_t(alpha, n - 1)
    # nctdtr is nan where the tail is below some 1e-18, which is 0 to this sum
    missed, wrong_side = np.nan_to_num([nctdtr(n - 1, shift, t), nctdtr(n - 1, shift, -t)])
    return float(1 - missed + wrong_side)


def _normal_seeds(effect: float, alpha: float, power: float) -> float:
    """The seeds of a test that knows the standard deviation; may be infinite."""
    from scipy.special import ndtri

    root = (ndtri(1 - alpha / 2) + ndtri(power)) / effect if effect else math.inf
    return float(root) ** 2 if abs(root) < 1e150 else math.inf


def power(sd: float, difference: float, n: int, alpha: float = 0.05) -> float:
    r"""Chance that a two-sided paired t test over n seeds shows a true difference.

    $$P(|T_{n-1}(\delta)| > t_{1-\alpha/2,\,n-1}), \qquad \delta = \sqrt n\,|\Delta| / \sigma_d,$$

    with $T(\delta)$ noncentral t. At $\Delta = 0$ it is alpha.

    Args:
        sd: standard deviation of the paired differences, above 0.
        difference: true mean difference, in the same unit.
        n: seeds in the pair of arms, at least 2.
        alpha: level of the test.

    Returns:
        A probability.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> round(power(sd=1.0, difference=0.5, n=44), 3)
        0.9

    Reference:
        Cohen, Statistical Power Analysis for the Behavioral Sciences, 2nd edition, 1988, chapter 2.
    """
    fraction("alpha", alpha)
    if not sd > 0 or n < 2:
        raise ValueError(f"power needs sd above 0 and n of at least 2, got sd={sd} and n={n}")
    return _power(abs(difference) / sd, n, alpha)


def seeds_needed(sd: float, difference: float, alpha: float = 0.05, power: float = 0.9) -> int:
    r"""How many seeds in all a two-sided paired t test takes to show a true difference.

    The least n with `power(sd, difference, n, alpha) >= power`, by the noncentral t itself: the normal
    approximation $(z_{1-\alpha/2} + z_{power})^2 \sigma_d^2 / \Delta^2$ is some two seeds short, and is
    taken beyond 100,000 seeds.
    It is as good as `sd`, which from 3 seeds is known to a factor of two or so only.

    Args:
        sd: standard deviation of the paired differences, not negative.
        difference: the true difference that is to be shown, not 0, in the same unit.
        alpha: level of the test.
        power: wanted chance of showing it.

    Returns:
        Seeds, at least 2; also for `sd=0`.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> seeds_needed(sd=0.002, difference=0.002)
        13

    Reference:
        Faul et al., G*Power 3, Behavior Research Methods 39, 2007 (its 13 and 44 at 1 and 0.5 sd).
    """
    fraction("alpha", alpha)
    fraction("power", power)
    if not sd >= 0 or not abs(difference) > 0:
        raise ValueError(f"seeds_needed takes sd of at least 0 and a difference not 0, got {sd} and {difference}")
    if sd == 0:
        return 2
    effect = abs(difference) / sd
    normal = _normal_seeds(effect, alpha, power)
    if normal > LARGE:
        return math.ceil(min(normal, 1e15))
    high = max(2, math.ceil(normal))  # short by a few seeds at most
    low = max(1, high - 2)
    while _power(effect, high, alpha) < power:
        low, high = high, high + 1 + (high - low)
    if low > 1 and _power(effect, low, alpha) >= power:
        low, high = 1, low
    while high - low > 1:  # power grows with n
        middle = (low + high) // 2
        low, high = (low, middle) if _power(effect, middle, alpha) >= power else (middle, high)
    return high


def detectable_difference(sd: float, n: int, alpha: float = 0.05, power: float = 0.9) -> float:
    r"""The smallest true difference that n seeds show with the wanted power.

    The $\Delta$ with `power(sd, difference=$\Delta$, n, alpha) == power`; the other way round of `seeds_needed`.

    Args:
        sd: standard deviation of the paired differences, not negative.
        n: seeds, at least 2.
        alpha: level of the test.
        power: wanted chance of showing it.

    Returns:
        A difference in the unit of `sd`; 0 for `sd=0`.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> round(detectable_difference(sd=0.002, n=5), 4)
        0.0039

    Reference:
        Bloom, Minimum detectable effects, Evaluation Review 19, 1995.
    """
    fraction("alpha", alpha)
    fraction("power", power)
    if not sd >= 0 or n < 2:
        raise ValueError(f"detectable_difference takes sd of at least 0 and n of at least 2, got {sd} and {n}")
    return sd * _detectable_effect(n, alpha, power)


@functools.cache  # the same for all arms of as many seeds
def _detectable_effect(n: int, alpha: float, power: float) -> float:
    low, high = 0.0, 1.0
    while _power(high, n, alpha) < power:
        low, high = high, 2 * high
    for _ in range(50):  # halving a bracket 50 times uses up a float
        middle = (low + high) / 2
        low, high = (low, middle) if _power(middle, n, alpha) >= power else (middle, high)
    return high
