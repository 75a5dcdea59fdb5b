"""What was measured in a run, and over the seeds of an arm."""

import math
import statistics
from collections.abc import Mapping, Sequence

from losslab.records import Record
from losslab.stats import mean_score


def figure(value) -> float | None:
    """A finite number, or None: a result may hold anything, and nothing that is measured reaches 1e100."""
    known = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e100
    return value if known else None


def score(run: Record, score: str) -> float | None:
    """The value of a score; None where the run has none, or an infinite one."""
    found = run.scores.get(score)
    return figure(found.get("value")) if isinstance(found, Mapping) else None


def lost(run: Record, measure: str) -> tuple[str, str] | None:
    """How and why a finished run gives no value after all; None where it does."""
    if score(run, measure) is not None:
        return None
    found = run.scores.get(measure)
    value = found.get("value") if isinstance(found, Mapping) else None
    if isinstance(value, int | float) and not isinstance(value, bool):
        shown = "not a number" if math.isnan(value) else "infinite" if math.isinf(value) else f"{value:.3g}"
        return "diverged", f"{measure} is {shown}"
    return "failed", f"its result has no {measure}"


def cost(run: Record, key: str) -> float | None:
    """A measured cost. Training time is the clock of the process that started the run, where that was noted."""
    costs = run.result.get("cost")
    return figure(costs.get(key)) if isinstance(costs, Mapping) else None


def counts(run: Record) -> dict[str, int]:
    """What the validation split of a run holds; empty where something is not known."""
    given = run.result.get("counts")
    found = {key: figure(given.get(key)) for key in ("documents", "bytes", "tokens")} if given else {"bytes": None}
    return {} if None in found.values() else {**given, **found}


def num_params(run: Record) -> int | None:
    model = run.result.get("model")
    return figure(model.get("num_params")) if isinstance(model, Mapping) else None


def over_seeds(values: Sequence[float | None], unit: str) -> dict:
    if not values or None in values:
        return {"value": None, "stderr": None, "n": len(values), "unit": unit}
    return mean_score(values, unit).to_dict()


def known_floor(run: Record) -> float | None:
    return figure(run.result.get("floor_bits_per_byte", run.spec["corpus"].get("floor_bits_per_byte")))


def mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
