"""Run records -> one JSON-able document: everything that a page, a table or a program is told of a comparison."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

from losslab import records as folders
from losslab.records import Record
from losslab.report import readings
from losslab.report.caveats import caveats, comparable, differing
from losslab.report.curves import curve, gap
from losslab.stats import compare

FORMAT = 1
ALPHA = 0.05
ENDED = ("finished", "diverged")  # what counts as an outcome of a loss; a stopped or failed run says nothing of it
COSTS = ("tokens_per_second", "peak_memory_bytes", "train_seconds", "loss_seconds", "cross_entropy_seconds",
         "loss_cost_ratio")


def document(
    records: Iterable[Record], *, baseline: str | None = None, margin: float = 0.002, command: str | None = None,
    requested: Mapping[str, Sequence[int]] | None = None,
) -> dict:
    """Group runs by condition, compare the conditions, and write down all that a reader should know.

    Args:
        records: the runs; those of one condition are the seeds of one arm.
        baseline: the arm that others are compared with; `cross_entropy` where it is one, else the first.
        margin: the difference in nats/token that would matter.
        command: what was typed, to be repeated.
        requested: arm -> seeds that were asked for, so that missing ones are said.

    Returns:
        Plain dictionaries, lists, strings, finite numbers and None; `arms` are ordered best first.

    Raises:
        ValueError: without any run, or with a baseline that is not an arm.
    """
    runs, repeated = _distinct(records)
    names = folders.labels(runs)
    arms: dict[str, list[Record]] = {}
    for run in runs:
        arms.setdefault(names[run.condition], []).append(run)
    first = folders.baseline(arms, baseline)
    measure = {score: readings.score_name(runs, score) for score in ("nll", "bits_per_byte")}
    same_tokens, same_text = comparable(arms)
    by_nll = _compare(arms, first, measure["nll"], margin, "nats/token") if same_tokens else None
    bits_margin = margin * _bits_in_a_nat(runs, measure)
    by_bits = _compare(arms, first, measure["bits_per_byte"], bits_margin, "bits/byte") if same_text else None
    shared, differences = differing(arms)
    ranked = [arm.name for arm in by_nll.arms] if by_nll else []
    order = ranked + [name for name in arms if name not in ranked]
    described = [_arm(name, arms, first, by_nll, by_bits, differences[name]) for name in order]
    whole = {
        "format": FORMAT,
        "baseline": first,
        "corpus": _corpus(arms[first]),
        "verdict": by_nll.verdict if by_nll else _no_verdict(arms, first, same_tokens),
        "note": by_nll.note if by_nll else None,
        "measure": measure["nll"],
        "margin": margin,
        "alpha": by_nll.alpha if by_nll else ALPHA,
        "noise_band": by_nll.noise_band if by_nll else None,
        "warnings": repeated + caveats(arms, described, first, requested),
        "arms": described,
        "settings": shared,
        "model": next((run.result["model"] for run in runs if run.result.get("model")), {}),
        "counts": next((run.result["counts"] for run in runs if run.result.get("counts")), {}),
        "environment": _environment(runs),
        "losses": _sources(runs),
        "command": command,
        "version": runs[0].spec.get("version"),
    }
    return _finite(whole)


def _distinct(records: Iterable[Record]) -> tuple[list[Record], list[str]]:
    """One run a condition and seed: the last that finished, or the last."""
    kept: dict[tuple[str, int], Record] = {}
    warnings = []
    for run in records:
        if run.status == "imported":
            warnings.append(f"{run.path} is an imported model, not a run of a loss; it is left out")
            continue
        key = (run.condition, run.seed)
        if key in kept and kept[key].path.resolve() != run.path.resolve():
            worse, better = sorted((kept[key], run), key=lambda r: r.status in ENDED)
            warnings.append(f"seed {run.seed} of {run.loss} was given twice; {worse.path} is left out")
            run = better
        kept[key] = run
    if not kept:
        raise ValueError("there is no run to report on; give run folders, or a store that holds some")
    return list(kept.values()), warnings


def _compare(arms: Mapping[str, Sequence[Record]], first: str, score: str, margin: float, unit: str):
    """The comparison of the arms that have an outcome on a seed of the baseline; None where there is no other."""
    outcomes = {name: {run.seed: readings.reading(run, score) for run in runs if run.status in ENDED}
                for name, runs in arms.items()}
    outcomes = {name: seeds for name, seeds in outcomes.items() if seeds.keys() & outcomes[first].keys()}
    return compare(outcomes, first, margin=margin, alpha=ALPHA, unit=unit) if len(outcomes) > 1 else None


def _no_verdict(arms: Mapping[str, Sequence[Record]], first: str, same_tokens: bool) -> str:
    if len(arms) == 1:
        return f"no verdict: {first} is the only arm"
    if not same_tokens:
        return "no verdict: these arms were not measured on the same tokens"
    return f"no verdict: no other arm shares a finished seed with the baseline {first}"


def _bits_in_a_nat(runs: Sequence[Record], measure: Mapping[str, str]) -> float:
    """Bits per byte of a nat per token on this text, so that one margin serves both."""
    for run in runs:
        nll, bits = (readings.reading(run, measure[score]) for score in ("nll", "bits_per_byte"))
        if nll and bits:
            return bits / nll
    return 1 / math.log(2)


# --- one arm -----------------------------------------------------------------------------------

def _arm(name: str, arms: Mapping[str, Sequence[Record]], first: str, by_nll, by_bits, differences: dict) -> dict:
    runs = sorted(arms[name], key=lambda run: run.seed)
    compared = _find(by_nll, name)
    scores = readings.means(runs)
    finished = [run for run in runs if run.status == "finished"]
    return {
        "name": name,
        "loss": runs[0].loss,
        "objective": runs[0].spec.get("objective", runs[0].loss),
        "condition": runs[0].condition,
        "status": compared.status if compared else _status(runs),
        "seeds": [run.seed for run in runs],
        "tokens": max((run.result.get("tokens") or 0 for run in runs), default=0),
        "scores": scores,
        "difference": _difference(compared, name == first),
        "difference_bits_per_byte": _difference(_find(by_bits, name), name == first),
        "outcome": compared.outcome if compared else "not compared",
        "verdict": compared.verdict if compared else f"{name} is not compared",
        "cost": {key: readings.median([run.result.get("cost", {}).get(key) for run in finished]) for key in COSTS},
        "document_perplexity": readings.document_perplexity(finished),
        "temperature": readings.mean([run.result.get("temperature") for run in finished]),
        "distance_to_floor": readings.distance_to_floor(finished),
        "differs": differences,
        "curve": curve(runs),
        "gap": None if name == first else gap(runs, arms[first]),
        "samples": finished[0].result.get("samples", []) if finished else [],
        "runs": [_run(run) for run in runs],
    }


def _find(comparison, name: str):
    return next((arm for arm in comparison.arms if arm.name == name), None) if comparison else None


def _status(runs: Sequence[Record]) -> str:
    found = {run.status for run in runs}
    return next(s for s in ("diverged", "failed", "stopped", "running", "waiting", "finished") if s in found)


def _difference(compared, is_baseline: bool) -> dict | None:
    if compared is None or compared.difference is None or is_baseline:
        return None
    return dataclasses.asdict(compared.difference)


def _run(run: Record) -> dict:
    result = run.result
    described = {
        "path": str(run.path), "seed": run.seed, "status": run.status, "step": result.get("step"),
        "num_steps": result.get("num_steps"), "tokens": result.get("tokens"),
        "nll": readings.reading(run, readings.score_name([run], "nll")),
    }
    return described | {key: result.get(key) for key in ("diverged", "error")}


# --- what all arms share -----------------------------------------------------------------------

def _corpus(runs: Sequence[Record]) -> dict:
    corpus = runs[0].spec["corpus"]
    kept = {key: corpus.get(key) for key in ("name", "digest", "tokenizer", "vocab_size", "splits")}
    floors = [floor for floor in map(readings.known_floor, runs) if floor is not None]
    return {**kept, "floor_bits_per_byte": floors[0] if floors else None}


def _environment(runs: Sequence[Record]) -> dict:
    """Every key with its value, or with the list of values where runs differ."""
    found: dict[str, list] = {}
    for run in runs:
        for key, value in run.environment.items():
            if value not in found.setdefault(key, []):
                found[key].append(value)
    return {key: values[0] if len(values) == 1 else values for key, values in found.items()}


def _sources(runs: Sequence[Record]) -> list[dict]:
    return list({loss["sha256"]: loss for run in runs for loss in run.spec.get("losses", [])}.values())


def _finite(value):
    """`value` with None for what JSON has no word for: infinities and not-a-number."""
    if isinstance(value, Mapping):
        return {str(key): _finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return value.item() if hasattr(value, "item") else str(value)
