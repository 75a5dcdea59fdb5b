"""What a fit found, as one document: for programs, and for the page that shows it."""

import math
from collections.abc import Sequence

import numpy as np

from losslab.scaling import fit as fits
from losslab.scaling.isoflop import IsoFlop
from losslab.scaling.law import Law
from losslab.scaling.multiplier import Multiplier
from losslab.scaling.powers import PowerLaw
from losslab.scaling.repeated import Repeated
from losslab.scaling.runs import Runs
from losslab.scaling.terms import DELTA
from losslab.scaling.worth import DECADE, Worth, beyond, power

FORMS = {
    "law": "L = E + A/N^alpha + B/D^beta", "params": "L = E + K/N^p", "tokens": "L = E + K/D^p",
    "compute": "L = E + K/C^p", "other": "L = E + K (other - x0)^p", "isoflop": "parabolas of nll in log N at equal C",
    "repeated": "L = E + A/N'^alpha + B/D'^beta, repeated tokens counting for less",
}
CURVE = 40  # points of a curve
RESAMPLED = ("runs were drawn with replacement and refitted {} times; the ends are those of the expanded percentile "
             "interval at 95 %, and hold where the law does")


def refuse_far(budgets: Sequence[float], lowest: float, highest: float, extrapolate: bool, *, unit: str = "FLOP",
               runs: str = "the runs") -> None:  # fmt: skip
    """Raise for a budget more than a decade beyond the runs, unless extrapolation was asked for.

    Args:
        budgets: computes, or other resources.
        lowest, highest: of the runs.
        extrapolate: whether it was asked for.
        unit: of all of these.
        runs: what the runs are called in the sentence.
    """
    far = [amount for amount in budgets if beyond(amount, lowest, highest) == "far"]
    if far and not extrapolate:
        raise ValueError(f"{power(far[0])} {unit} lie more than a decade beyond {runs} ({lowest:.2g} to {highest:.2g} "
                         f"{unit}); --extrapolate forecasts there all the same")


def refuse_losses(found: PowerLaw, values: Sequence[float], extrapolate: bool) -> None:
    """Raise for values of another loss at its floor or below, where nothing is defined, or far beyond the runs.

    The law is a power of the distance from the floor, so that a decade is one of that distance.
    """
    x, floor = found.x, found.x0
    if low := [value for value in values if value <= floor]:
        raise ValueError(f"the other loss {low[0]:g} is not above its floor {floor:.5g} (x0), where the law has no "
                         f"value; the runs have {x.min():.5g} to {x.max():.5g}")
    far = [value for value in values if beyond(value - floor, x.min() - floor, x.max() - floor) == "far"]
    if far and not extrapolate:
        raise ValueError(f"the other loss {far[0]:g} lies, measured from its floor {floor:.5g}, more than a decade "
                         f"beyond the runs ({x.min():.5g} to {x.max():.5g} nats per token); --extrapolate forecasts "
                         "there all the same")


def default_budgets(lowest: float, highest: float) -> list[float]:
    """Powers of ten among the runs, the largest compute, and a decade beyond it."""
    first, last = math.ceil(math.log10(lowest)), math.floor(math.log10(highest))
    inside = [10.0**exponent for exponent in range(first, last + 1)][-6:]
    return sorted({*inside, highest, DECADE * highest})


def law(found: fits.Fit, budgets: Sequence[float] | None = None) -> dict:
    """The document of a fit of L(N, D); budgets are computes at which the optimum is forecast."""
    lowest, highest = found.flops
    asked = default_budgets(lowest, highest) if budgets is None else sorted(budgets)
    grid = np.geomspace(lowest, max([DECADE * highest, *asked]), CURVE)
    return _plain({
        "form": "law", "formula": FORMS["law"], "source": found.runs.source,
        **{name: found.interval(lambda one, name=name: getattr(one, name)) for name in fits.NAMES},
        **_about(found.runs, found.objective, found.residuals, found.draws is not None and len(found.draws.E)),
        "num_constants": len(fits.NAMES), "dropped_highest": found.dropped,
        "search": {"starts": found.starts, "agreeing": found.agreeing},
        "at_bounds": [name for name, _ in found.bounds],
        "exponent_of_params": found.interval(lambda one: one.beta / (one.alpha + one.beta)),
        "without_smallest": _without(found),
        "forecasts": [_optimum(found, flops) for flops in asked],
        "frontier": [one for flops in grid if (one := _optimum(found, float(flops)))["nll"] is not None],
        "warnings": list(found.warnings) + _flagged(asked, lowest, highest),
    })


def _about(runs: Runs, objective: float, residuals: np.ndarray, resamples: int) -> dict:
    flops = runs.flops
    return {
        "objective": objective, "delta": DELTA, "num_points": len(runs), "num_sizes": len(np.unique(runs.num_params)),
        "fitted_from_flops": float(flops.min()), "fitted_to_flops": float(flops.max()),
        "resampled": RESAMPLED.format(f"{resamples:,}") if resamples else "nothing was drawn again",
        "residuals": {
            "root_mean_square": float(np.sqrt(np.mean(residuals**2))), "mean": float(residuals.mean()),
            "median_size": float(np.median(np.abs(residuals))),
            "largest": float(residuals[np.argmax(np.abs(residuals))]),
            "unit": "nats/token, observed - fitted"},
        "points": [{"num_params": float(n), "num_tokens": float(d), "flops": float(c), "nll": float(y),
                    "residual": float(r)} for n, d, c, y, r in
                   zip(runs.num_params, runs.num_tokens, flops, runs.nll, residuals, strict=True)],
    }  # fmt: skip


def _flagged(budgets: Sequence[float], lowest: float, highest: float) -> list[str]:
    said = {"outside": "is outside the computes of the runs", "far": "is more than a decade beyond the runs"}
    return [f"{power(flops)} FLOP {said[how]} ({lowest:.2g} to {highest:.2g}): its forecast is an extrapolation"
            for flops in budgets if (how := beyond(flops, lowest, highest))]


def _without(found: fits.Fit) -> dict | None:
    other = found.without_smallest
    if other is None:
        return None
    return {"left_out_params": float(found.runs.num_params.min()), "num_points": len(other.runs),
            "objective": other.objective, **{name: float(getattr(other.law, name)) for name in fits.NAMES}}


def _optimum(found: fits.Fit, flops: float) -> dict:
    """The split of a compute with intervals; None where the law has no optimum that a float can hold."""
    about = {"flops": flops, "extrapolated": beyond(flops, *found.flops)}
    with np.errstate(all="ignore"):
        best = [float(x) for x in found.law.optimum(flops)]
        if not all(1e-6 < x < 1e40 for x in best):
            return about | {"num_params": None, "num_tokens": None, "nll": None}
        many = None if found.draws is None else found.draws.optimum(flops)
        if many is not None and not np.isfinite(many).all():
            found = fits.Fit(found.runs, found.law, found.objective)  # some refits have no optimum: no interval either
        least = found.interval(lambda one: one.nll(*one.optimum(flops)))
        return about | {"num_params": found.interval(lambda one: one.optimum(flops)[0]),
                        "num_tokens": found.interval(lambda one: one.optimum(flops)[1]), "nll": least}


def power_law(found: PowerLaw, runs: Runs, form: str, budgets: Sequence[float] | None = None) -> dict:
    """The document of a law of one variable; budgets are values of it."""
    low, high = float(found.x.min()), float(found.x.max())
    asked = sorted(budgets) if budgets is not None else [low, high] if found.rises else [low, high, DECADE * high]
    names = (("E", 0), ("K", 1), ("exponent", 2), *((("x0", 3),) if found.rises else ()))
    grid = np.linspace(low, high, CURVE) if found.rises else np.geomspace(low, max([DECADE * high, *asked]), CURVE)

    def ask(index):
        return lambda constants: np.exp(np.minimum(constants[1], 700.0)) if index == 1 else constants[index]

    def point(x: float) -> dict:
        how = beyond(x - found.x0, low - found.x0, high - found.x0)  # x0 is 0 for a resource
        return {"x": float(x), "extrapolated": how, "nll": found.forecast(x)}

    other = found.without_smallest
    return _plain({
        "form": form, "formula": FORMS[form] if found.constants > 2 else FORMS[form].replace("E + ", ""),
        "source": runs.source, "over": found.over,
        **{name: found.interval(ask(index)) for name, index in names},
        **_about(runs, found.objective, found.residuals, found.draws is not None and len(found.draws[0])),
        "x": found.x.tolist(), "num_constants": found.constants, "at_bounds": [name for name, _ in found.bounds],
        "without_smallest": None if other is None else {
            "num_points": len(other.x), "E": other.E, "K": math.exp(min(other.log_K, 700.0)),
            "exponent": other.exponent, "objective": other.objective},
        "forecasts": [point(x) for x in asked], "curve": [point(float(x)) for x in grid],
        "warnings": list(found.warnings),
    })  # fmt: skip


def isoflop(found: IsoFlop, budgets: Sequence[float] | None = None) -> dict:
    """The document of parabolas at equal compute; the best split is forecast a decade beyond them unless asked."""
    runs = found.runs
    ahead = DECADE * max((one.flops for one in found.counted), default=1.0)
    asked = [ahead] if budgets is None else [one.flops for one in found.budgets]
    return _plain({
        "form": "isoflop", "formula": FORMS["isoflop"], "source": runs.source, "num_points": len(runs),
        "fitted_from_flops": float(runs.flops.min()), "fitted_to_flops": float(runs.flops.max()),
        "exponents": found.exponents, "resampled": "the runs of each budget were drawn with replacement",
        "budgets": [{
            "flops": one.flops, "num_points": len(one.nll), "num_params": _finite(one.best_params),
            "num_tokens": _finite(one.best_tokens), "nll": _finite(one.best_nll), "problem": one.problem,
            "curve": one.curve.tolist(),
            "residual": float(np.sqrt(np.mean((one.nll - np.polyval(one.curve, np.log10(one.num_params))) ** 2))),
            "points": [{"num_params": float(n), "nll": float(y)} for n, y in
                       zip(one.num_params, one.nll, strict=True)],
        } for one in found.budgets],
        "forecasts": [_best_of(found, flops) for flops in asked] if found.exponents else [],
        "warnings": list(found.warnings),
    })  # fmt: skip


def _best_of(found: IsoFlop, flops: float) -> dict:
    counted = [one.flops for one in found.counted]
    best = {name: math.exp(found.log_factors[name]) * flops ** found.exponents[name]["value"]
            for name in ("num_params", "num_tokens")}
    return {"flops": flops, "extrapolated": beyond(flops, min(counted), max(counted)), **best}


def repeated(found: Repeated) -> dict:
    """The document of a law with repeated tokens."""
    base: Law = found.base
    return _plain({
        "form": "repeated", "formula": FORMS["repeated"], "source": found.runs.source, **found.intervals(),
        **_about(found.runs, found.objective, found.residuals, 0 if found.draws is None else len(found.draws)),
        "base": {"source": found.base_source, "E": float(base.E), "A": float(base.A), "B": float(base.B),
                 "alpha": float(base.alpha), "beta": float(base.beta)},
        "search": {"starts": found.starts, "agreeing": found.agreeing}, "num_constants": 2,
        "at_bounds": [name for name, _ in found.bounds], "without_smallest": None, "forecasts": [],
        "warnings": list(found.warnings),
    })


def multiplier(found: Multiplier) -> dict:
    """The compute multiplier of one arm."""
    return {"arm": found.arm, "baseline": found.baseline, "headline": found.headline, "paired_by_seed": found.paired,
            "rungs": [_worth(one) for one in found.rungs], "forecasts": [_worth(one) for one in found.trend],
            "without_smallest": [_worth(one) for one in found.without_smallest],
            "band": [_worth(one) for one in found.band], "reason": found.reason, "warnings": list(found.warnings)}


def _worth(one: Worth) -> dict:
    return {"flops": one.flops, "value": _finite(one.value), "low": _finite(one.low), "high": _finite(one.high),
            "beyond": [name for name in ("value", "low", "high") if getattr(one, name) == math.inf],
            "verdict": one.verdict, "sentence": one.sentence, "extrapolated": one.extrapolated,
            "num_params": one.num_params, "num_tokens": one.num_tokens, "seeds": one.seeds,
            "difference": one.difference, "p": one.p, "p_holm": one.p_holm, "shown": one.shown}  # fmt: skip


def _plain(found):
    """With null for numbers that are none, as JSON has no infinity."""
    if isinstance(found, dict):
        return {key: _plain(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [_plain(value) for value in found]
    return None if isinstance(found, float) and not math.isfinite(found) else found


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)
