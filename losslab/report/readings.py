"""What the ruler read in the runs of one arm, over its seeds."""

import math
import statistics
from collections.abc import Mapping, Sequence

from losslab.records import Record
from losslab.stats import mean_score


def figure(value) -> float | None:
    """A finite number, or None: a result may hold anything, and nothing that is measured reaches 1e100."""
    known = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e100
    return value if known else None


def score_name(runs: Sequence[Record], score: str) -> str:
    """`nll`, or `nll_stride_64` where evaluation windows overlap: the stride is part of a score's name."""
    found = {name for run in runs for name in run.scores if name == score or name.startswith(f"{score}_stride_")}
    return min(sorted(found), key=len, default=score)


def reading(run: Record, score: str) -> float | None:
    """The value of a score; None where the run has none, or an infinite one."""
    found = run.scores.get(score)
    return figure(found.get("value")) if isinstance(found, Mapping) else None


def lost(run: Record, measure: str) -> tuple[str, str] | None:
    """How and why a finished run gives no value after all; None where it does."""
    if reading(run, measure) is not None:
        return None
    found = run.scores.get(measure)
    value = found.get("value") if isinstance(found, Mapping) else None
    if isinstance(value, float):
        return "diverged", f"{measure} is {'not a number' if math.isnan(value) else 'infinite'}"
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


def means(runs: Sequence[Record]) -> dict[str, dict]:
    """Means over seeds; empty when a seed was lost, because a mean over the survivors would flatter the loss."""
    finished = [run for run in runs if run.status == "finished"]
    if any(run.status in ("diverged", "failed") for run in runs):
        return {}
    names = dict.fromkeys(name for run in finished for name in run.scores if isinstance(run.scores[name], Mapping))
    units = {name: str(run.scores[name].get("unit", "")) for run in finished for name in run.scores if name in names}
    return {name: over_seeds([reading(run, name) for run in finished], units[name]) for name in names}


def over_seeds(values: Sequence[float | None], unit: str) -> dict:
    if not values or None in values:
        return {"value": None, "stderr": None, "n": len(values), "unit": unit}
    return mean_score(values, unit).to_dict()


def distance_to_floor(finished: Sequence[Record]) -> dict | None:
    """Bits per byte above the entropy of the corpus, ends included on both sides; None where it is not known."""
    distances = []
    for run in finished:
        floor = known_floor(run)
        value = reading(run, score_name([run], "bits_per_byte_with_eot"))
        if floor is None or value is None:
            return None
        distances.append(value - floor)
    return over_seeds(distances, "bits/byte") if distances else None


def known_floor(run: Record) -> float | None:
    return figure(run.result.get("floor_bits_per_byte", run.spec["corpus"].get("floor_bits_per_byte")))


def document_perplexity(finished: Sequence[Record]) -> dict[str, float | None]:
    found = [run.result["document_perplexity"] for run in finished if run.result.get("document_perplexity")]
    return {q: mean([run.get(q) for run in found]) for q in found[0]} if found else {}


def mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
