"""What is said of each arm: the arms that are drawn in full, and the others in a line."""

import dataclasses
from collections.abc import Mapping, Sequence

from losslab.records import Record
from losslab.report import readings
from losslab.report.curves import curve, gap
from losslab.stats import ArmResult

COSTS = ("tokens_per_second", "peak_memory_bytes", "train_seconds", "loss_seconds", "cross_entropy_seconds",
         "loss_cost_ratio")


def described(
    name: str, arms: Mapping[str, Sequence[Record]], first: str, by_nll: ArmResult | None, by_bits: ArmResult | None,
    differences: dict,
) -> dict:
    """Everything about an arm; its learning curves are read here, and nowhere for an arm that is not drawn."""
    runs = sorted(arms[name], key=lambda run: run.seed)
    finished = [run for run in runs if run.status == "finished"]
    return {
        **brief(name, runs, name == first, by_nll),
        "loss": runs[0].loss,
        "objective": runs[0].spec.get("objective", runs[0].loss),
        "tokens": max((readings.figure(run.result.get("tokens")) or 0 for run in runs), default=0),
        "difference_bits_per_byte": _difference(by_bits, name == first),
        "cost": {key: readings.median([readings.cost(run, key) for run in finished]) for key in COSTS},
        "document_perplexity": readings.document_perplexity(finished),
        "temperature": readings.mean([readings.figure(run.result.get("temperature")) for run in finished]),
        "distance_to_floor": readings.distance_to_floor(finished),
        "differs": differences,
        "curve": curve(runs),
        "gap": None if name == first else gap(runs, arms[first]),
        "samples": finished[0].result.get("samples", []) if finished else [],
        "runs": [_run(run) for run in runs],
    }


def brief(name: str, runs: Sequence[Record], is_baseline: bool, found: ArmResult | None) -> dict:
    """The line of an arm in a table."""
    return {
        "name": name,
        "condition": runs[0].condition,
        "status": found.status if found else _status(runs),
        "seeds": sorted(run.seed for run in runs),
        "scores": readings.means(runs),
        "difference": _difference(found, is_baseline),
        "outcome": found.outcome if found else "not compared",
        "verdict": found.verdict if found else f"{name} is not compared",
    }


def _status(runs: Sequence[Record]) -> str:
    found = {run.status for run in runs}
    return next(s for s in ("diverged", "failed", "stopped", "running", "waiting", "finished") if s in found)


def _difference(found: ArmResult | None, is_baseline: bool) -> dict | None:
    if found is None or found.difference is None or is_baseline:
        return None
    return dataclasses.asdict(found.difference)


def _run(run: Record) -> dict:
    result = run.result
    told = {
        "path": str(run.path), "seed": run.seed, "status": run.status, "step": result.get("step"),
        "num_steps": result.get("num_steps"), "tokens": result.get("tokens"),
        "nll": readings.reading(run, readings.score_name([run], "nll")),
    }
    return told | {key: result.get(key) for key in ("diverged", "error")}
