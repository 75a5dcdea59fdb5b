"""Intervals, paired tests, and the correction for many of them."""

import math
from collections.abc import Sequence

import numpy as np


def _sample(values: Sequence[float], what: str) -> tuple[int, float, float]:
    """Size, mean and standard error of at least two numbers."""
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or values.size < 2:
        raise ValueError(f"{what} needs at least 2 values in one row, got shape {values.shape}; run more seeds")
    return values.size, float(values.mean()), float(values.std(ddof=1) / math.sqrt(values.size))


def fraction(name: str, value: float) -> None:
    """Raise for a level that is no probability."""
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
    fraction("alpha", alpha)
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
    fraction("alpha", alpha)
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
