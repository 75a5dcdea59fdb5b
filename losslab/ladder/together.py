"""How the loss and the scores of tasks go together: over sizes, and apart from that over seeds."""

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

MOST_PAIRS = 20  # that disagree, in the document
LEAST = 4  # values of a correlation with an interval
NORMAL = 1.959964  # of a two-sided interval at 95 %
LOSS = "bits_per_byte"
SURE = 2.0  # standard errors


def together(rows: Sequence[Mapping], measure: str) -> dict | None:
    """How bits per byte and a score of a task order the same runs.

    Spearman's rank correlation of fewer bits and a higher score: 1 where both have one order, -1 where they have the
    opposite one. *Over sizes* it is of the means over seeds at each rung, arm by arm; *over seeds* of what is left of
    each run when the mean of its arm and rung is taken away. So the first says whether a task follows the loss as
    models grow, and the second whether it sees anything of the noise that the loss sees. Intervals are those of
    Fisher's transform with the variance (1 + rho^2/2) / (n - 3) (Bonett and Wright 2000); n is less by the number of
    means that were taken away.

    Args:
        rows: of the ladder's table.
        measure: the column of a score of which more is better.

    Returns:
        `measure`, `sizes` (arm -> correlation), `seeds` (a correlation), `pairs`, `disagreeing` (see `_pairs`) and
        `forms` (see `forms`); None where fewer than two rungs have it.
    """
    cells = _cells(rows, measure)
    if len({rung for _, rung in cells}) < 2:
        return None
    means = {key: np.mean([(row[LOSS], row[measure]) for row in own], axis=0) for key, own in cells.items()}
    arms = list(dict.fromkeys(arm for arm, _ in cells))
    over_sizes = {arm: correlation(*_columns([means[key] for key in means if key[0] == arm])) for arm in arms}
    left = [(row[LOSS] - means[key][0], row[measure] - means[key][1])
            for key, own in cells.items() if len(own) > 1 for row in own]
    taken = sum(len(own) > 1 for own in cells.values())
    counted, disagreeing = _pairs(cells, means, measure)
    return {
        "measure": measure, "sizes": over_sizes,
        "seeds": correlation(*_columns(left), lost=max(0, taken - 1)), "pairs": counted,
        "disagreeing": disagreeing[:MOST_PAIRS], "num_disagreeing": len(disagreeing),
        "forms": forms([row for own in cells.values() for row in own], measure),
    }  # fmt: skip


def _cells(rows: Sequence[Mapping], measure: str) -> dict[tuple[str, str], list[Mapping]]:
    found = defaultdict(list)
    for row in rows:
        if row.get(measure) is not None and row.get(LOSS) is not None:
            found[row["arm"], row["rung"]].append(row)
    return found


def _columns(pairs: Sequence) -> tuple[np.ndarray, np.ndarray]:
    """Minus bits, and the score: both rise where a model is better."""
    table = np.asarray(pairs, dtype=float).reshape(-1, 2)
    return -table[:, 0], table[:, 1]


def correlation(x: Sequence[float], y: Sequence[float], lost: int = 0) -> dict:
    """Spearman's rho with its interval.

    Args:
        x, y: `[n]`.
        lost: degrees of freedom that were taken away before.

    Returns:
        `rho`, `low`, `high` and `n` (less `lost`); None where there is no order, or too few values.

    Example:
        >>> correlation([1, 2, 3, 4, 5], [1, 2, 3, 5, 4])["rho"]
        0.9
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    n = len(x) - lost
    if n < 3 or not np.ptp(x) or not np.ptp(y):
        return {"rho": None, "low": None, "high": None, "n": n}
    rho = float(round(np.corrcoef(_ranks(x), _ranks(y))[0, 1], 12))
    if n < LEAST or abs(rho) == 1:  # no interval of a perfect order is known from so few
        return {"rho": rho, "low": None, "high": None, "n": n}
    half = NORMAL * math.sqrt((1 + rho**2 / 2) / (n - 3))
    return {"rho": rho, "low": math.tanh(math.atanh(rho) - half), "high": math.tanh(math.atanh(rho) + half), "n": n}


def _ranks(values: np.ndarray) -> np.ndarray:
    below = (values[:, None] > values).sum(1)
    return below + ((values[:, None] == values).sum(1) - 1) / 2


def _pairs(cells: Mapping, means: Mapping, measure: str) -> tuple[int, list[dict]]:
    """Pairs of arms and rungs of which one has fewer bits and the lower score, the surest disagreement first."""
    found, keys = [], [key for key in cells]
    for one, other in itertools.combinations(keys, 2):
        bits, score = means[one] - means[other]
        if bits * score > 0:
            better, worse = (one, other) if bits < 0 else (other, one)
            errors = [_error(cells[one], cells[other], name) for name in (LOSS, measure)]
            sure = all(error is not None and abs(gap) > SURE * error
                       for gap, error in zip((bits, score), errors, strict=True))
            found.append({"better_loss": list(better), "worse_loss": list(worse), "bits_per_byte": -abs(float(bits)),
                          "score": -abs(float(score)), "stderr": errors, "sure": sure})
    found.sort(key=lambda pair: (not pair["sure"], pair["score"]))
    return len(keys) * (len(keys) - 1) // 2, found


def _error(one: Sequence[Mapping], other: Sequence[Mapping], name: str) -> float | None:
    """Standard error of the difference of two means; None with a single seed."""
    if min(len(one), len(other)) < 2:
        return None
    return math.sqrt(sum(np.var([row[name] for row in own], ddof=1) / len(own) for own in (one, other)))


# --- what a score is a function of ---------------------------------------------------------------

def forms(rows: Sequence[Mapping], measure: str) -> list[dict]:
    """A score as a straight line in log N, as a sigmoid of the nll, and as a power law in N, next to each other.

    Returns:
        for each form `form`, `formula`, `constants`, `curve` and `rms`, the root mean square of the residuals; and
        `ahead`, the same of the largest size forecast from the others. None for what the rows do not carry.
    """
    size, nll, score = (np.array([row[name] for row in rows], dtype=float) for name in ("num_params", "nll", measure))
    smaller = size < size.max()
    found = []
    for form, formula, x, fitted, constants in (
            ("line", "score = a + b log10 N", np.log10(size), _line, 2),
            ("sigmoid", "score = low + (high - low) / (1 + exp((nll - middle) / width))", nll, _sigmoid, 4),
            ("power", "score = top - K / N^p", np.log(size), _power, 3)):
        told = {"form": form, "formula": formula, "constants": None, "rms": None, "ahead": None, "curve": []}
        if len(np.unique(x)) > constants and (fit := fitted(x, score)) is not None:
            told |= {"constants": fit[1], "rms": _rms(score - fit[0](x))}
            grid = np.linspace(x.min(), x.max(), 40)
            shown = {"line": 10.0**grid, "sigmoid": grid, "power": np.exp(grid)}[form]
            told["curve"] = [[float(a), float(b)] for a, b in zip(shown, fit[0](grid), strict=True)]
            if len(np.unique(x[smaller])) > constants and (part := fitted(x[smaller], score[smaller])) is not None:
                told["ahead"] = _rms(score[~smaller] - part[0](x[~smaller]))
        found.append(told)
    return found


Fit = tuple[Callable[[np.ndarray], np.ndarray], dict[str, float]]


def _line(x: np.ndarray, y: np.ndarray) -> Fit:
    b, a = np.polyfit(x, y, 1)
    return (lambda at: a + b * at), {"a": float(a), "b": float(b)}


def _sigmoid(x: np.ndarray, y: np.ndarray) -> Fit | None:
    """From several starts; the plateaus stay near what was seen, which alone cannot say how far they are."""
    def curve(at, low, high, middle, width):
        return low + (high - low) / (1 + np.exp(np.clip((at - middle) / width, -500, 500)))

    spread, reach = max(float(np.ptp(y)), 1e-6), max(float(np.ptp(x)), 1e-6)
    low, high = float(y.min()), float(y.max())
    bounds = ([low - spread, high - 0.5 * spread, x.min() - reach, 0.02 * reach],
              [low + 0.5 * spread, high + 3 * spread, x.max() + reach, 2 * reach])
    starts = [[low, high, float(middle), share * reach] for middle in np.quantile(x, (0.2, 0.5, 0.8))
              for share in (0.1, 0.4)]
    return _best(curve, x, y, starts, bounds, ("low", "high", "middle", "width"))


def _power(x: np.ndarray, y: np.ndarray) -> Fit | None:
    """K is that at the middle of the sizes, which makes it and p less alike."""
    center, spread = float(x.mean()), max(float(np.ptp(y)), 1e-6)

    def curve(at, top, gap, p):
        return top - gap * np.exp(-p * (at - center))

    bounds = ([float(y.min()), 0.0, 1e-3], [float(y.max()) + 5 * spread, 10 * spread, 3.0])
    starts = [[float(y.max()) + 0.1 * spread, 0.5 * spread, p] for p in (0.05, 0.3, 1.0)]
    found = _best(curve, x, y, starts, bounds, ("top", "gap", "p"))
    if found is None:
        return None
    own = found[1]
    return found[0], {"top": own["top"], "K": own["gap"] * math.exp(min(700.0, own["p"] * center)), "p": own["p"]}


def _best(curve, x, y, starts, bounds, names) -> Fit | None:
    """The least squares over several starts."""
    from scipy.optimize import least_squares

    best = None
    for start in starts:
        inside = np.clip(start, np.array(bounds[0]) + 1e-9, np.array(bounds[1]) - 1e-9)
        found = least_squares(lambda c: curve(x, *c) - y, inside, bounds=bounds, max_nfev=500)
        if best is None or found.cost < best.cost:
            best = found
    return (lambda at: curve(at, *best.x)), dict(zip(names, map(float, best.x), strict=True))


def _rms(residuals: np.ndarray) -> float:
    return float(np.sqrt(np.mean(residuals**2)))
