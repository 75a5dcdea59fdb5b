"""Means and shares over prompts, and whether grades repeat."""

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from losslab.stats import Score, ratio_score
from losslab.stats.inference import critical_t

ALPHA = 0.05


def clustered(groups: Sequence[Sequence[float]], unit: str = "") -> Score:
    """The mean of all values, with the error of drawing other prompts: completions of one prompt resemble each other.

    Args:
        groups: the values of each prompt; a prompt without any is left out.

    Returns:
        The score with n = prompts; `stderr` is None for one prompt. `value` is NaN where there is no value.

    Example:
        >>> print(clustered([[7, 8], [5, 6], [6, 7]]))  # the errors of two completions of a prompt are not independent
        6.5 ± 0.6 (n=3)
    """
    groups = [group for group in groups if len(group)]
    if not groups:
        return Score(math.nan, None, 0, unit)
    return ratio_score([math.fsum(group) for group in groups], [len(group) for group in groups], unit)


def t_ends(score: Score, alpha: float = ALPHA) -> tuple[float, float] | None:
    """Student's interval of a score with n - 1 degrees of freedom; None where nothing is known about its error.

    A spread of exactly nothing gives none either: it would claim certainty.
    """
    if not score.stderr or score.n < 2:
        return None
    half = critical_t(alpha, score.n - 1) * score.stderr
    return score.value - half, score.value + half


def share_ends(score: Score, alpha: float = ALPHA) -> tuple[float, float] | None:
    r"""Wilson's interval of a share, for values that are clustered.

    The share $p$ with standard error $s$ is worth $n = p(1 - p)/s^2$ independent trials, or as many as there are
    clusters where $s$ is 0, and $t$ has one degree of freedom less than there are clusters:

    $$\frac{p + t^2/2n \pm t \sqrt{p(1-p)/n + t^2/4n^2}}{1 + t^2/n}.$$

    Unlike Student's interval it stays within [0, 1], and is not empty where all values are the same.

    Example:
        >>> low, high = share_ends(clustered([[1.0]] * 10))  # ten wins of ten
        >>> round(low, 3), round(high, 3)
        (0.661, 1.0)

    Reference:
        Wilson, Probable inference, the law of succession, and statistical inference, JASA 22, 1927; Korn and Graubard,
        Confidence intervals for proportions with small expected number of positive counts, Survey Methodology 24, 1998
        (the effective number).
    """
    if score.n < 2 or score.stderr is None:
        return None
    p, t = score.value, critical_t(alpha, score.n - 1)
    n = p * (1 - p) / score.stderr**2 if score.stderr > 0 and 0 < p < 1 else score.n
    middle, half = p + t * t / (2 * n), t * math.sqrt(max(0.0, p * (1 - p) / n) + (t / (2 * n)) ** 2)
    low, high = ((middle + sign * half) / (1 + t * t / n) for sign in (-1, 1))
    return max(0.0, low), min(1.0, high)


def jackknife(groups: Sequence, statistic: Callable[[Sequence], float], unit: str = "") -> Score:
    r"""A statistic of all prompts together, with its error by leaving out one prompt after the other.

    $$\operatorname{se}^2 = \frac{n-1}{n} \sum_i (\theta_{(i)} - \bar\theta_{(\cdot)})^2.$$

    Example:
        >>> print(jackknife([1.0, 2.0, 3.0], lambda kept: sum(kept) / len(kept)))  # of a mean, s / sqrt n
        2.0 ± 0.6 (n=3)

    Reference:
        Tukey, Bias and confidence in not quite large samples, Annals of Mathematical Statistics 29, 1958.
    """
    value, n = statistic(groups), len(groups)
    if n < 2:
        return Score(value, None, n, unit)
    left = np.array([statistic([*groups[:i], *groups[i + 1 :]]) for i in range(n)])
    return Score(value, float(math.sqrt((n - 1) / n * ((left - left.mean()) ** 2).sum())), n, unit)


def krippendorff(units: Sequence[Sequence[float]], *, nominal: bool = False) -> float | None:
    r"""Krippendorff's alpha: how far grades of the same text agree, beyond grades of texts that are drawn at random.

    $$\alpha = 1 - D_o / D_e,$$

    with the squared difference of two values as their disagreement, or 1 for any two that differ where they are names
    (`nominal`). 1 is perfect agreement, 0 that of chance; it may be negative. Units with one value say nothing.

    Args:
        units: the values of each text, as many as there are.

    Returns:
        None where fewer than two values can be compared, or all values are the same.

    Example:
        >>> krippendorff([[1, 1], [5, 5], [9, 9]]), krippendorff([[1, 2], [2, 1]])
        (1.0, -0.5)

    Reference:
        Krippendorff, Computing Krippendorff's alpha-reliability, 2011.
    """
    units = [list(unit) for unit in units if len(unit) > 1]
    every = [value for unit in units for value in unit]
    if len(every) < 2 or len(set(every)) == 1:
        return None
    spread = _differing if nominal else _squares
    observed = sum(spread(unit) / (len(unit) - 1) for unit in units) / len(every)
    return 1 - observed * len(every) * (len(every) - 1) / spread(every)


def _squares(values: Sequence[float]) -> float:
    """The sum of squared differences over all ordered pairs."""
    mean = math.fsum(values) / len(values)
    return 2 * len(values) * math.fsum((value - mean) ** 2 for value in values)


def _differing(values: Sequence[float]) -> float:
    """The number of ordered pairs that differ."""
    return len(values) ** 2 - sum(count**2 for count in Counter(values).values())
