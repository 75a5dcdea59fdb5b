"""Intervals, paired tests, correction for many of them, and how many seeds a difference takes."""

import math
from collections.abc import Sequence

import numpy as np


def _sample(values: Sequence[float], what: str) -> tuple[int, float, float]:
    """Size, mean and standard error of at least two numbers."""
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or values.size < 2:
        raise ValueError(f"{what} needs at least 2 values in one row, got shape {values.shape}; run more seeds")
    return values.size, float(values.mean()), float(values.std(ddof=1) / math.sqrt(values.size))


def _fraction(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name} must lie between 0 and 1, got {value}; 0.05 and 0.9 are usual levels")


def critical_t(alpha: float, df: int) -> float:
    """The |t| that a two-sided test at level `alpha` must exceed."""
    from scipy.special import stdtrit  # scipy.stats takes three times as long to load

    return float(-stdtrit(df, alpha / 2))


def t_interval(values: Sequence[float], alpha: float = 0.05) -> tuple[float, float]:
    r"""Student's interval for the mean of normal values.

    $$\bar x \pm t_{1-\alpha/2,\,n-1}\, s / \sqrt n.$$

    Args:
        values: `[n]`, at least 2; differences of pairs give the paired interval.
        alpha: chance of missing the true mean; 0.05 gives the 95 % interval.

    Returns:
        `(low, high)`, in the unit of the values.

    Raises:
        ValueError: fewer than 2 values, or `alpha` outside (0, 1).

    Example:
        >>> low, high = t_interval([1.0, 2.0, 3.0])  # 2 -+ 4.303 / sqrt 3
        >>> round(low, 3), round(high, 3)
        (-0.484, 4.484)

    Reference:
        Student, The probable error of a mean, Biometrika 6, 1908.
    """
    _fraction("alpha", alpha)
    n, mean, stderr = _sample(values, "a t interval")
    half_width = critical_t(alpha, n - 1) * stderr
    return mean - half_width, mean + half_width


def paired_p(differences: Sequence[float]) -> float:
    r"""Two-sided p-value of Student's paired t test.

    $$t = \bar d / (s_d / \sqrt n), \qquad p = 2\,P(T_{n-1} \le -|t|).$$

    Args:
        differences: `[n]`, at least 2; candidate - baseline of each seed.

    Returns:
        The p-value of "the true mean difference is zero", uncorrected for other tests.

    Raises:
        ValueError: fewer than 2 differences, or all the same, which leaves no spread to test against.

    Example:
        >>> round(paired_p([1.0, 2.0, 3.0]), 4)  # t = 2 sqrt 3
        0.0742

    Reference:
        Student, The probable error of a mean, Biometrika 6, 1908.
    """
    from scipy.special import stdtr

    n, mean, stderr = _sample(differences, "a paired t test")
    if stderr == 0:
        raise ValueError(f"a paired t test needs differences that vary, got {mean:g} {n} times; are seeds independent?")
    return float(2 * stdtr(n - 1, -abs(mean) / stderr))


def equivalence_p(differences: Sequence[float], margin: float) -> float:
    r"""P-value of equivalence within a margin, by two one-sided t tests.

    $$p = \max\left\{ P\!\left(T_{n-1} \ge \frac{\bar d + m}{s_d/\sqrt n}\right),\;
                      P\!\left(T_{n-1} \le \frac{\bar d - m}{s_d/\sqrt n}\right) \right\}.$$

    A small p says that the true difference lies within $\pm m$, which a large p of `paired_p` never
    says. $p < \alpha$ exactly where the $1 - 2\alpha$ interval lies within the margin.

    Args:
        differences: `[n]`, at least 2; candidate - baseline of each seed.
        margin: the largest difference that does not matter, above 0, in the same unit.

    Returns:
        The p-value of "the true difference is at least `margin` in size", uncorrected.

    Raises:
        ValueError: fewer than 2 differences, all the same, or a margin that is not positive.

    Example:
        >>> round(equivalence_p([-0.1, 0.0, 0.1], margin=1.0), 4)
        0.0017

    Reference:
        Schuirmann, A comparison of the two one-sided tests procedure and the power approach,
        Journal of Pharmacokinetics and Biopharmaceutics 15, 1987.
    """
    from scipy.special import stdtr

    n, mean, stderr = _sample(differences, "an equivalence test")
    if not margin > 0:
        raise ValueError(f"margin must be above 0, got {margin}; it is the largest difference that does not matter")
    if stderr == 0:
        raise ValueError(f"an equivalence test needs differences that vary, got {mean:g} {n} times")
    return float(stdtr(n - 1, (abs(mean) - margin) / stderr))


def holm(p_values: Sequence[float]) -> list[float]:
    r"""Holm's adjusted p-values: compare each with alpha, and no more than alpha of the families err.

    With the p-values in ascending order,

    $$\tilde p_{(i)} = \max_{j \le i} \min\{1, (m - j + 1)\, p_{(j)}\}.$$

    The chance that any true null hypothesis is rejected is at most alpha, however the tests depend on
    each other. One p-value stays as it is; Bonferroni's `m * p` is never smaller.

    Args:
        p_values: `[m]`, each from 0 to 1.

    Returns:
        `[m]` adjusted p-values, in the order given.

    Raises:
        ValueError: a p-value is outside [0, 1].

    Example:
        >>> [round(p, 4) for p in holm([0.01, 0.04, 0.03, 0.005])]  # the 0.04 inherits 2 * 0.03
        [0.03, 0.06, 0.06, 0.02]

    Reference:
        Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of
        Statistics 6, 1979.
    """
    p = np.asarray(p_values, dtype=float)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p-values must lie from 0 to 1, got {p.tolist()}")
    order = np.argsort(p, kind="stable")
    stepped = np.minimum(1, (p.size - np.arange(p.size)) * p[order])
    adjusted = np.empty(p.size)
    adjusted[order] = np.maximum.accumulate(stepped)  # a larger p never gets a smaller verdict
    return adjusted.tolist()


def _power(effect: float, n: float, alpha: float) -> float:
    """Power of a two-sided paired t test where the true difference is `effect` standard deviations."""
    from scipy.special import nctdtr

    shift, t = effect * math.sqrt(n), critical_t(alpha, n - 1)
    # nctdtr is nan where the tail is below some 1e-18, which is 0 to this sum
    missed, wrong_side = np.nan_to_num([nctdtr(n - 1, shift, t), nctdtr(n - 1, shift, -t)])
    return float(1 - missed + wrong_side)


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
    _fraction("alpha", alpha)
    if not sd > 0 or n < 2:
        raise ValueError(f"power needs sd above 0 and n of at least 2, got sd={sd} and n={n}")
    return _power(abs(difference) / sd, n, alpha)


def seeds_needed(sd: float, difference: float, alpha: float = 0.05, power: float = 0.9) -> int:
    r"""How many seeds in all a two-sided paired t test takes to show a true difference.

    The least n with `power(sd, difference, n, alpha) >= power`, by the noncentral t itself: the normal
    approximation $(z_{1-\alpha/2} + z_{power})^2 \sigma_d^2 / \Delta^2$ is some two seeds short.
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
    _fraction("alpha", alpha)
    _fraction("power", power)
    if not sd >= 0 or not abs(difference) > 0:
        raise ValueError(f"seeds_needed takes sd of at least 0 and a difference not 0, got {sd} and {difference}")
    if sd == 0:
        return 2
    effect = abs(difference) / sd
    low, high = 1, 2
    while _power(effect, high, alpha) < power:
        low, high = high, 2 * high
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
    _fraction("alpha", alpha)
    _fraction("power", power)
    if not sd >= 0 or n < 2:
        raise ValueError(f"detectable_difference takes sd of at least 0 and n of at least 2, got {sd} and {n}")
    low, high = 0.0, 1.0
    while _power(high, n, alpha) < power:
        low, high = high, 2 * high
    for _ in range(50):  # halving a bracket 50 times uses up a float
        middle = (low + high) / 2
        low, high = (low, middle) if _power(middle, n, alpha) >= power else (middle, high)
    return high * sd


def bootstrap_interval(
    numerators: Sequence[float],
    denominators: Sequence[float] | None = None,
    *,
    alpha: float = 0.05,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    r"""Percentile interval of a ratio of sums, or of a mean, by drawing documents again.

    Documents $i_1, \dots, i_n$ are drawn with replacement, $R^* = \sum_k a_{i_k} / \sum_k b_{i_k}$, and the
    interval runs from the $\alpha/2$ to the $1 - \alpha/2$ quantile of $R^*$. It needs no formula for the error
    and sees skew that `ratio_score` cannot; below some twenty documents it is too narrow.

    Args:
        numerators: `[documents]`, for instance the nats of each document; at least 2.
        denominators: `[documents]`, for instance its tokens; without them the mean of the numerators.
        alpha: chance of missing the true value.
        resamples: draws; at 2,000 an end is known to some 3 % of its distance from the estimate.
        seed: of the draws; the same seed gives the same interval.

    Returns:
        `(low, high)`, in the unit of the ratio.

    Raises:
        ValueError: fewer than 2 documents, lengths that differ, or denominators that are not counts.

    Example:
        >>> low, high = bootstrap_interval([2.0, 4.0] * 50, [1, 2] * 50)  # the ratio is always 2
        >>> low, high
        (2.0, 2.0)

    Reference:
        Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    _fraction("alpha", alpha)
    a = np.asarray(numerators, dtype=float)
    b = np.ones_like(a) if denominators is None else np.asarray(denominators, dtype=float)
    if a.shape != b.shape or a.ndim != 1 or a.size < 2:
        raise ValueError(f"a bootstrap needs at least 2 documents in equal rows, got shapes {a.shape} and {b.shape}")
    if not (b > 0).all():
        raise ValueError(f"each denominator must be above 0, got {b.min():g}; leave empty documents out")
    rng = np.random.default_rng(seed)
    draws = np.empty(resamples)
    for i in range(resamples):  # one at a time: all at once would take resamples x documents numbers
        chosen = rng.integers(a.size, size=a.size)
        draws[i] = a[chosen].sum() / b[chosen].sum()
    low, high = np.quantile(draws, [alpha / 2, 1 - alpha / 2])
    return float(low), float(high)
