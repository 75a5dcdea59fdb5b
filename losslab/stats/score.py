"""A number with its standard error, its unit, and how many things it was averaged over."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

MOST_DECIMALS = 17  # a float has no more


def decimals(uncertainty: float) -> int:
    """Decimal places worth printing of a value with an uncertainty, by the Particle Data Group's rule.

    Two digits of the uncertainty are kept where they begin with 10 to 35 and one where they begin
    with 36 to 94, so that rounding moves it by a seventh at most.
    """
    digits, _, power = f"{uncertainty:.2e}".partition("e")  # not by 10**power, which may be beyond all floats
    leading, exponent = round(100 * float(digits)), int(power)  # 100 to 999
    if leading >= 950:
        return min(MOST_DECIMALS, max(0, -exponent))  # 0.00097 is printed 0.0010
    return min(MOST_DECIMALS, max(0, (1 if leading <= 354 else 0) - exponent))


@dataclass(frozen=True)
class Score:
    """A measured value, its standard error and the number of units it was averaged over.

    `n` counts documents in a run and seeds in an arm. `stderr` is None where nothing can be said
    about the error, as for one seed. `str()` leaves the unit to the heading of the table.

    Example:
        >>> print(Score(3.27851, 0.00041, 16, "nats/token"))
        3.2785 ± 0.0004 (n=16)
        >>> print(Score(3.27851, None, 1))
        3.2785 (n=1)
    """

    value: float
    stderr: float | None
    n: int
    unit: str = ""

    def __str__(self) -> str:
        if self.stderr is None:
            return f"{self.value:.5g} (n={self.n})"
        if not self.stderr or not math.isfinite(self.stderr):
            return f"{self.value:.6g} ± {self.stderr:g} (n={self.n})"
        places = decimals(self.stderr)
        return f"{self.value:.{places}f} ± {self.stderr:.{places}f} (n={self.n})"

    def to_dict(self) -> dict:
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping) -> "Score":
        return cls(fields["value"], fields["stderr"], fields["n"], fields.get("unit", ""))


def mean_score(values: Sequence[float], unit: str = "") -> Score:
    r"""The mean of independent values, with its standard error.

    $$\bar x = \frac1n \sum_i x_i, \qquad
      \operatorname{se} = \frac{s}{\sqrt n}, \quad s^2 = \frac{1}{n-1} \sum_i (x_i - \bar x)^2.$$

    Args:
        values: `[n]`, at least one; seeds of an arm, or documents that weigh the same.
        unit: unit of the values and of the score.

    Returns:
        The score; `stderr` is None for a single value.

    Raises:
        ValueError: there is no value.

    Example:
        >>> print(mean_score([3.27, 3.29, 3.28]))  # s = 0.01, over sqrt 3
        3.280 ± 0.006 (n=3)

    Reference:
        Student, The probable error of a mean, Biometrika 6, 1908.
    """
    values = np.asarray(values, dtype=float)
    if not values.size:
        raise ValueError("a mean needs at least one value, got none")
    if values.size == 1:
        return Score(float(values[0]), None, 1, unit)
    return Score(float(values.mean()), float(values.std(ddof=1) / math.sqrt(values.size)), values.size, unit)


def ratio_score(numerators: Sequence[float], denominators: Sequence[float], unit: str = "") -> Score:
    r"""A ratio of sums over documents, with the error of drawing other documents.

    $$R = \frac{\sum_i a_i}{\sum_i b_i}, \qquad
      \operatorname{se}^2 = \frac{n}{n-1} \frac{\sum_i (a_i - R\,b_i)^2}{(\sum_i b_i)^2}.$$

    Nats per token and bits per byte are such ratios; a mean of the documents' own ratios is another
    number, in which a short document weighs as much as a long one. Documents, not tokens, are the
    sampling units, because tokens of one document resemble each other. With all $b_i = 1$ this is
    `mean_score`. The error is first order in $1/n$: trust it from some twenty documents on.

    Args:
        numerators: `[documents]`, for instance the nats of each document.
        denominators: `[documents]`, for instance its tokens; not negative, not all zero.
        unit: unit of the ratio.

    Returns:
        The score with n = documents; `stderr` is None for a single document.

    Raises:
        ValueError: the lengths differ, a denominator is negative or their sum is zero.

    Example:
        >>> print(ratio_score([10.0, 44.0, 30.0], [5, 20, 16], "nats/token"))  # 84 / 41
        2.05 ± 0.12 (n=3)

    Reference:
        Cochran, Sampling Techniques, 3rd edition, 1977, section 6.4.
    """
    a, b = np.asarray(numerators, dtype=float), np.asarray(denominators, dtype=float)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"a ratio needs one denominator a numerator, got shapes {a.shape} and {b.shape}")
    total = b.sum()
    if (b < 0).any() or not total > 0:
        raise ValueError(f"denominators must be counts with a sum above 0, got a sum of {total:g} over {b.size}")
    value = a.sum() / total
    if a.size == 1:
        return Score(float(value), None, 1, unit)
    stderr = math.sqrt(a.size / (a.size - 1) * ((a - value * b) ** 2).sum()) / total
    return Score(float(value), float(stderr), a.size, unit)


def transform_score(score: Score, f: Callable[[float], float], df: Callable[[float], float], unit: str = "") -> Score:
    r"""A smooth function of a score, its error carried along to first order.

    $$y = f(x), \qquad \operatorname{se}(y) = |f'(x)|\,\operatorname{se}(x).$$

    Perplexity is $f = f' = \exp$. The error is exact where $f$ is a straight line, as for nats to bits.

    Args:
        score: what is transformed.
        f: the function, of a value in the score's unit.
        df: its derivative.
        unit: unit of the result.

    Returns:
        The score of `f(value)`, with the same n.

    Example:
        >>> print(transform_score(Score(3.0, 0.01, 50, "nats/token"), math.exp, math.exp))
        20.09 ± 0.20 (n=50)

    Reference:
        Oehlert, A note on the delta method, The American Statistician 46, 1992.
    """
    stderr = None if score.stderr is None else abs(df(score.value)) * score.stderr
    return Score(f(score.value), stderr, score.n, unit)
