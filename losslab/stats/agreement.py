"""Whether two rankings of the same arms agree."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

MOST_EXACT = 8  # arms: 40,320 orders


@dataclass(frozen=True)
class Agreement:
    """Rank correlations of two lists of values; None where all values of a list are equal."""

    n: int
    """Arms."""
    tau: float | None
    """Kendall's tau-b: the share of pairs in the same order less that in the opposite one; ties count as neither."""
    tau_p: float | None
    """Two-sided: how often an order that is drawn at random agrees, or disagrees, as much."""
    rho: float | None
    """Spearman's: the correlation of the ranks; equal values share the mean of theirs."""
    rho_p: float | None
    exact: bool
    """Whether p counts all orders, as it does up to 8 arms; from 9 on scipy's approximations are taken."""


def agreement(first: Sequence[float], second: Sequence[float]) -> Agreement:
    r"""Rank agreement of two lists of values of the same arms.

    $$\tau_b = \frac{C - D}{\sqrt{(P - T_1)(P - T_2)}}, \qquad
      \rho = \mathrm{corr}(\mathrm{rank}_1, \mathrm{rank}_2),$$

    with $C$ and $D$ pairs in the same and in the opposite order, of $P = n(n-1)/2$, and $T_i$ pairs that are tied in
    list $i$. Up to 8 arms p counts all $n!$ orders of the second list; it is at least $2 / n!$ without ties.

    Args:
        first: `[n]`, finite, at least 3.
        second: `[n]`, of the same arms in the same order.

    Raises:
        ValueError: for lists of unlike length, fewer than 3 values, or one that is not finite.

    Example:
        >>> found = agreement([1.0, 1.1, 1.2, 1.3, 1.5], [2.1, 2.0, 2.2, 2.3, 2.9])
        >>> found.tau, round(found.tau_p, 4), round(found.rho, 4)
        (0.8, 0.0833, 0.9)

    Reference:
        Kendall, A new measure of rank correlation, Biometrika 30, 1938.
    """
    x, y = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    if x.shape != y.shape or x.ndim != 1 or len(x) < 3 or not np.isfinite([x, y]).all():
        raise ValueError(f"agreement takes two lists of as many finite numbers, 3 or more, got {len(x)} and {len(y)}")
    if len(set(x)) == 1 or len(set(y)) == 1:
        return Agreement(len(x), None, None, None, None, True)
    if len(x) > MOST_EXACT:
        return _approximate(x, y)
    order = np.array(list(itertools.permutations(range(len(y)))))
    pairs = np.triu_indices(len(x), 1)
    signs = np.sign(x[pairs[0]] - x[pairs[1]])
    theirs = np.sign(y[order][:, pairs[0]] - y[order][:, pairs[1]])
    ranks = _ranks(x), _ranks(y)[order]
    tau = theirs @ signs / math.sqrt((signs**2).sum() * (theirs[0] ** 2).sum())
    rho = ranks[1] @ ranks[0] / math.sqrt((ranks[0] ** 2).sum() * (ranks[1][0] ** 2).sum())
    return Agreement(len(x), float(tau[0]), _as_far(tau), float(rho[0]), _as_far(rho), True)


def _as_far(values: np.ndarray) -> float:
    """The share of values that are at least as far from 0 as the first."""
    return float(np.mean(np.abs(values) >= abs(values[0]) - 1e-9))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Around 0; equal values share the mean of theirs."""
    below = (values[:, None] > values).sum(1)
    ranks = below + ((values[:, None] == values).sum(1) - 1) / 2
    return ranks - ranks.mean()


def _approximate(x: np.ndarray, y: np.ndarray) -> Agreement:
    from scipy import stats

    tau, rho = stats.kendalltau(x, y), stats.spearmanr(x, y)
    return Agreement(len(x), float(tau.statistic), float(tau.pvalue), float(rho.statistic), float(rho.pvalue), False)
