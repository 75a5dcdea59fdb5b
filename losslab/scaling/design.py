r"""What a table of runs can carry: enough sizes and tokens, and not all of them on one line.

Where $D = c N^k$ in all runs, $A/N^\alpha$ is as well a power of D, and $B/D^\beta$ one of N: with $\alpha' = k \beta$
and $\beta' = \alpha / k$ the two terms change places, and the law fits as well and forecasts something else. One ratio
of tokens to parameters is the case $k = 1$. No such exchange is there for $k < 0$, runs of one compute, as both
exponents are above 0.
"""

import numpy as np

from losslab.scaling.runs import Runs

LEAST_RUNS, LEAST_SIZES = 6, 3
LEAST_FACTOR = 1.1  # by which tokens must leave every power of the size; below it nothing tells the two apart
FEW_FACTOR = 2.0 * (1 - 1e-9)  # below it they are hardly told apart; ratios of 10 and 20 are not below it
AT_ONCE = 1_000_000  # numbers computed at a time


def check(runs: Runs) -> None:
    """Raise where runs cannot carry the five constants; the sentence says how many it takes."""
    sizes, tokens = len(np.unique(runs.num_params)), len(np.unique(runs.num_tokens))
    needs = (f"a law of five constants takes at least {LEAST_RUNS} runs of {LEAST_SIZES} sizes and {LEAST_SIZES} "
             "numbers of tokens")
    if len(runs) < LEAST_RUNS or sizes < LEAST_SIZES or tokens < LEAST_SIZES:
        raise ValueError(f"{needs}, and {runs.source} has {_count(len(runs), 'run')} of {_count(sizes, 'size')} and "
                         f"{_count(tokens, 'number')} of tokens")
    instead = "so that nothing tells what size and what data do: add runs at another ratio, or fit one resource with "\
              "--form compute"
    ratio = runs.num_tokens / runs.num_params
    if one_ratio(runs):
        raise ValueError(f"all runs of {runs.source} have about {np.median(ratio):.3g} tokens per parameter, {instead}")
    factor, power = off_line(runs.num_params, runs.num_tokens)
    if factor < LEAST_FACTOR:
        raise ValueError(f"in all runs of {runs.source} the tokens are one power of the size, about D = c N^{power:.2g}"
                         f", {instead}")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def one_ratio(runs: Runs) -> bool:
    """Whether all runs have about one ratio of tokens to parameters."""
    ratio = runs.num_tokens / runs.num_params
    return bool(ratio.max() < LEAST_FACTOR * ratio.min())


def doubts(num_params, num_tokens) -> list[str]:
    """A sentence where tokens and size go so nearly together that alpha and beta can hardly be told apart."""
    ratio = num_tokens / num_params
    if ratio.max() < FEW_FACTOR * ratio.min():
        return [f"tokens per parameter go from {ratio.min():.3g} to {ratio.max():.3g} alone, so that alpha and beta "
                "can hardly be told apart; add runs at another ratio"]
    factor, power = off_line(num_params, num_tokens)
    if factor < FEW_FACTOR:
        return [f"the tokens are nearly one power of the size (D = c N^{power:.2g} within a factor {factor:.3g}), so "
                "that alpha and beta can hardly be told apart; add runs at another ratio"]
    return []


def off_line(num_params, num_tokens) -> tuple[float, float]:
    """The factor by which the tokens leave the nearest power of the size, and that power.

    Args:
        num_params, num_tokens: `[runs]`.

    Example:
        >>> size = np.array([1e6, 4e6, 1.6e7])
        >>> [round(float(x), 6) for x in off_line(size, 1e3 * size**0.5)]
        [1.0, 0.5]
    """
    factors, powers = _off_line(np.log(num_params), np.log(num_tokens), np.ones((1, len(num_params))))
    return float(factors[0]), float(powers[0])


def told_apart(runs: Runs, weights: np.ndarray) -> np.ndarray:
    """Which of many weightings of the runs, `[draws, runs]`, leave every line: `[draws]`, true or false."""
    x, y = np.log(runs.num_params), np.log(runs.num_tokens)
    rows = max(1, AT_ONCE // len(runs))
    return np.concatenate([_off_line(x, y, weights[i : i + rows])[0] >= LEAST_FACTOR
                           for i in range(0, len(weights), rows)] or [np.zeros(0, dtype=bool)])


def _off_line(x, y, weights):
    """Least squares of y on x for each weighting; the range of the residuals as a factor, and the slope."""
    x, y = x - x.mean(), y - y.mean()
    share = weights / weights.sum(-1, keepdims=True)
    mean_x, mean_y = share @ x, share @ y
    variance = share @ (x * x) - mean_x**2
    slope = (share @ (x * y) - mean_x * mean_y) / np.maximum(variance, 1e-300)
    slope = np.where(variance > 1e-12, np.maximum(slope, 0.0), 0.0)
    ranges = []
    for each in (slope[:, None], 1.0):  # the best line, and one ratio
        residual, drawn = y - each * x, weights > 0
        ranges.append(np.where(drawn, residual, -np.inf).max(-1) - np.where(drawn, residual, np.inf).min(-1))
    return np.exp(np.minimum(*ranges)), slope
