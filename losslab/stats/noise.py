"""How much results differ from seed to seed, whether pairing helps, and which part comes from where."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from losslab.stats.inference import fraction
from losslab.stats.planning import seeds_needed

FIRST_LOOK = 0.04  # the level that the first look at a comparison spends
LEAST, MOST = 0.0005, 0.02  # nats/token: the differences that a table of seeds shows at least


@dataclass(frozen=True)
class Estimate:
    """A standard deviation with its interval."""

    value: float
    low: float
    high: float
    df: int  # degrees of freedom behind it
    variance: float  # its square; of a component, as it was estimated, which may be below 0


def _chi2(upper: float, df: float) -> float:
    """The chi-square number that is exceeded with the probability `upper`."""
    from scipy.special import chdtri

    return float(chdtri(df, upper))


def standard_deviation(values: Sequence[float], alpha: float = 0.05) -> Estimate:
    r"""The standard deviation of normal values, with its chi-square interval.

    $$s \sqrt{(n-1) / \chi^2_{1-\alpha/2,\,n-1}} \le \sigma \le s \sqrt{(n-1) / \chi^2_{\alpha/2,\,n-1}}.$$

    Args:
        values: `[n]`, at least 2: one number per seed.
        alpha: chance of missing the true standard deviation; exact for normal values, and off with heavy tails.

    Returns:
        In the unit of the values.

    Raises:
        ValueError: fewer than 2 values, or `alpha` outside (0, 1).

    Example:
        >>> found = standard_deviation([1.0, 2.0, 3.0])
        >>> round(found.value, 3), round(found.low, 3), round(found.high, 3)
        (1.0, 0.521, 6.285)
    """
    values = _row(values, 2, "a standard deviation")
    sd, df = float(values.std(ddof=1)), values.size - 1
    low, high = _chi_square_factors(df, alpha)
    return Estimate(sd, sd * math.sqrt(low), sd * math.sqrt(high), df, sd**2)


def _chi_square_factors(df: int, alpha: float) -> tuple[float, float]:
    """What a mean square is multiplied by for the ends of the interval of its expectation."""
    fraction("alpha", alpha)
    return df / _chi2(alpha / 2, df), df / _chi2(1 - alpha / 2, df)


@dataclass(frozen=True)
class Pairing:
    """What pairing two conditions by seed does."""

    n: int
    correlation: float | None  # None where one of them does not vary
    low: float | None  # Fisher's interval; None below 4 seeds
    high: float | None
    paired: Estimate  # the standard deviation of the differences seed by seed
    unpaired: float  # that of differences between runs of unlike seeds, sqrt(s1^2 + s2^2)
    means: tuple[float, float]

    @property
    def saved(self) -> float | None:
        """Share of the seeds that pairing saves; below 0 where it costs some, None where nothing varies."""
        return 1 - (self.paired.value / self.unpaired) ** 2 if self.unpaired else None


def pairing(first: Sequence[float], second: Sequence[float], alpha: float = 0.05) -> Pairing:
    r"""Correlation over seeds with Fisher's interval, and the spread of differences with and without pairing.

    $$\tanh\left(\operatorname{artanh} r \pm z_{1-\alpha/2} / \sqrt{n-3}\right).$$

    Args:
        first: `[n]`, at least 2, in the order of the seeds.
        second: `[n]`, of the same seeds.
        alpha: chance of missing the true correlation.

    Raises:
        ValueError: fewer than 2 pairs, or rows that differ in length.

    Example:
        >>> round(pairing([1.0, 2.0, 3.0, 4.0], [1.5, 2.5, 3.0, 5.0]).correlation, 3)
        0.965

    Reference:
        Fisher, On the probable error of a coefficient of correlation, Metron 1, 1921.
    """
    from scipy.special import ndtri

    fraction("alpha", alpha)
    a, b = _row(first, 2, "pairing"), _row(second, 2, "pairing")
    if a.size != b.size:
        raise ValueError(f"pairing takes two rows over the same seeds, got {a.size} and {b.size} values")
    r = low = high = None
    if a.std() > 0 and b.std() > 0:
        r = float(np.clip(np.corrcoef(a, b)[0, 1], -1, 1))
        if a.size > 3:
            center, half = math.atanh(max(-1 + 1e-15, min(1 - 1e-15, r))), -ndtri(alpha / 2) / math.sqrt(a.size - 3)
            low, high = math.tanh(center - half), math.tanh(center + half)
    unpaired = math.sqrt(a.var(ddof=1) + b.var(ddof=1))
    return Pairing(a.size, r, low, high, standard_deviation(b - a, alpha), unpaired, (float(a.mean()), float(b.mean())))


@dataclass(frozen=True)
class Components:
    """Standard deviations of the parts of a crossed design, in the unit of the values."""

    rows: Estimate
    columns: Estimate
    remainder: Estimate
    shares: tuple[float, float, float]  # of the variance of one run: rows, columns, remainder


def components(values: Sequence[Sequence[float]], alpha: float = 0.05) -> Components:
    r"""Variance components of a two-way design with random rows and columns and one value in each cell.

    $$x_{ij} = \mu + a_i + b_j + e_{ij}, \qquad \hat\sigma_a^2 = (S_a - S_e) / c, \qquad
      \hat\sigma_b^2 = (S_b - S_e) / r, \qquad \hat\sigma_e^2 = S_e,$$

    with the mean squares $S$ of $r$ rows, $c$ columns and the remainder, which has $(r-1)(c-1)$ degrees of freedom and
    holds the interaction, since each cell is there once. The interval of the remainder is the chi-square one, exact for
    normal effects. Those of rows and columns are the modified large-sample intervals, whose lower end is 0 exactly
    where the F test has the p-value alpha/2. An estimate below 0 is shown as 0; `variance` has it.

    Args:
        values: `[rows, columns]`, at least 2 of each.
        alpha: chance of missing each component.

    Raises:
        ValueError: for fewer rows or columns, a cell without a finite value, or no variation at all.

    Reference:
        Ting, Burdick, Graybill, Jeyaratnam and Lu, Confidence intervals on linear combinations of variance components
        that are unrestricted in sign, Journal of Statistical Computation and Simulation 35, 1990; Burdick and Graybill,
        Confidence Intervals on Variance Components, 1992, sections 3.3 and 5.
    """
    x = np.asarray(values, dtype=float)
    if x.ndim != 2 or min(x.shape) < 2:
        raise ValueError(f"a crossed design needs at least 2 rows and 2 columns, got shape {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError("a crossed design needs a finite value in every cell")
    r, c = x.shape
    mean, by_row, by_column = x.mean(), x.mean(axis=1), x.mean(axis=0)
    rest = x - by_row[:, None] - by_column + mean
    ms_rows = c * float(((by_row - mean) ** 2).sum()) / (r - 1)
    ms_columns = r * float(((by_column - mean) ** 2).sum()) / (c - 1)
    df = (r - 1) * (c - 1)
    ms_rest = float((rest**2).sum()) / df
    low, high = _chi_square_factors(df, alpha)
    remainder = Estimate(math.sqrt(ms_rest), math.sqrt(ms_rest * low), math.sqrt(ms_rest * high), df, ms_rest)
    parts = [_component(ms, ms_rest, own, df, count, alpha) for ms, own, count in
             ((ms_rows, r - 1, c), (ms_columns, c - 1, r))]
    variances = [part.value**2 for part in (*parts, remainder)]
    if not (total := sum(variances)):
        raise ValueError("all cells of the crossed design have the same value, so there is nothing to divide")
    return Components(*parts, remainder, tuple(variance / total for variance in variances))


def _component(own: float, rest: float, df_own: int, df_rest: int, count: int, alpha: float) -> Estimate:
    raw = (own - rest) / count
    low, high = difference_interval(own, rest, df_own, df_rest, alpha)
    root = [math.sqrt(max(0.0, float(each))) for each in (raw, low / count, high / count)]
    return Estimate(*root, df_own, raw)


def difference_interval(first, second, df_first: int, df_second: int, alpha: float = 0.05):
    r"""The modified large-sample interval of a difference of two expected mean squares.

    $$S_1 - S_2 - \sqrt{G_1^2 S_1^2 + H_2^2 S_2^2 + G_{12} S_1 S_2} \quad\text{to}\quad
      S_1 - S_2 + \sqrt{H_1^2 S_1^2 + G_2^2 S_2^2 + H_{12} S_1 S_2}.$$

    Args:
        first: the mean square from which the other is taken; a number or an array.
        second: the other one, of the same shape, independent of it.
        df_first: degrees of freedom of `first`.
        df_second: degrees of freedom of `second`.
        alpha: chance of missing the difference, nearly half of it on each side.

    Returns:
        `(low, high)`, as arrays or numbers; both may be below 0.

    Reference:
        Ting et al. 1990, as `components`.
    """
    from scipy.special import fdtri

    fraction("alpha", alpha)
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    (less1, more1), (less2, more2) = (_chi_square_factors(df, alpha) for df in (df_first, df_second))
    g1, h1, g2, h2 = 1 - less1, more1 - 1, 1 - less2, more2 - 1
    large, small = fdtri(df_first, df_second, 1 - alpha / 2), fdtri(df_first, df_second, alpha / 2)
    g12 = ((large - 1) ** 2 - g1**2 * large**2 - h2**2) / large
    h12 = ((1 - small) ** 2 - h1**2 * small**2 - g2**2) / small
    below = g1**2 * first**2 + h2**2 * second**2 + g12 * first * second
    above = h1**2 * first**2 + g2**2 * second**2 + h12 * first * second
    gap = first - second
    return gap - np.sqrt(np.maximum(below, 0)), gap + np.sqrt(np.maximum(above, 0))


def seeds_table(sd: Estimate, level: float = FIRST_LOOK, power: float = 0.9) -> list[dict]:
    """The seeds of each arm that it takes to show a difference, for differences of 1, 2 and 5 from 0.0005 on.

    Args:
        sd: the standard deviation of a difference between two runs, with its interval.
        level: of the test.
        power: wanted chance of showing the difference.

    Returns:
        `difference`, `seeds`, and `low` and `high` from the interval of the standard deviation; up to 0.02, or to
        three standard deviations where that is more.
    """
    rows, scale, top = [], -4, max(MOST, min(3 * sd.value, 100.0))
    while True:
        for digit in (1, 2, 5):
            difference = float(f"{digit}e{scale}")
            if difference >= LEAST:
                ends = {"seeds": sd.value, "low": sd.low, "high": sd.high}
                counts = {name: seeds_needed(each, difference, level, power) for name, each in ends.items()}
                rows.append({"difference": difference, **counts})
            if difference >= top:
                return rows
        scale += 1


def _row(values: Sequence[float], least: int, what: str) -> np.ndarray:
    values = np.asarray(values, dtype=float)
    if values.ndim != 1 or values.size < least or not np.isfinite(values).all():
        raise ValueError(f"{what} needs at least {least} finite values in one row, got shape {values.shape}")
    return values
