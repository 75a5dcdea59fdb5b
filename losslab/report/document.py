"""A comparison -> one JSON-able document: everything that a page, a table or a program is told."""

import dataclasses
import math
from collections.abc import Mapping

from losslab.comparison import Arm, Comparison, equal_time, learned, measured
from losslab.comparison.caveats import damaged_logs
from losslab.comparison.curves import curve
from losslab.records import Record, score_name
from losslab.report import signals

FORMAT = 1
MOST_DRAWN = 20  # arms in charts and in full; more are listed


def document(comparison: Comparison, *, command: str | None = None) -> dict:
    """All that is shown of a comparison; nothing is computed here but what is drawn.

    Args:
        comparison: of `comparison.compare` or `study.compare`.
        command: what was typed, to be repeated.

    Returns:
        Plain dictionaries, lists, strings, finite numbers and None. `arms` are ordered best first: at most 20 of
        them, the baseline always among them, in full; `others` are the rest, with scores and verdicts alone.
    """
    drawn = _drawn(comparison)
    others = [arm for arm in comparison.arms if arm not in drawn]
    nll, runs, same = comparison.nll, comparison.runs, comparison.arm(comparison.baseline).runs
    per_e = equal_time.fall(same)
    return finite({
        "format": FORMAT,
        "name": comparison.name,
        "question": comparison.question,
        "matching": comparison.matching,
        "published": comparison.published,
        "baseline": comparison.baseline,
        "corpus": comparison.corpus,
        "corpora": comparison.corpora,
        "verdict": comparison.verdict,
        "note": nll.note if nll else None,
        "measure": comparison.measure,
        "margin": comparison.margin,
        "alpha": comparison.alpha,
        "noise_band": nll.noise_band if nll else None,
        "looks": nll.looks if nll else None,
        "level": nll.level if nll else None,
        "warnings": [*comparison.warnings, *damaged_logs([run for arm in drawn for run in arm.runs])],
        "arms": [_described(arm, comparison, per_e) for arm in drawn],
        "others": [_brief(arm, comparison, per_e) for arm in others],
        "settings": comparison.settings,
        "model": next((run.result["model"] for run in same if run.result.get("model")), {}),
        "num_params": sorted({measured.num_params(run) for run in runs} - {None}),
        "counts": next((counts for counts in map(measured.counts, same) if counts), {}),
        "environment": comparison.environment,
        "losses": list({loss["sha256"]: loss for run in runs for loss in run.spec.get("losses", [])}.values()),
        "command": command,
        "version": runs[0].spec.get("version"),
    })


def _drawn(comparison: Comparison) -> list[Arm]:
    """The arms that are drawn, best first: the baseline always."""
    best = [arm.name for arm in comparison.arms if arm.name != comparison.baseline][: MOST_DRAWN - 1]
    kept = {*best, comparison.baseline}
    return [arm for arm in comparison.arms if arm.name in kept]


def _described(arm: Arm, comparison: Comparison, per_e: float | None) -> dict:
    """Everything about an arm; its learning curves are read here, and nowhere for an arm that is not drawn."""
    in_bits = arm.bits_per_byte
    return _brief(arm, comparison, per_e) | {
        "loss": arm.loss,
        "objective": arm.runs[0].spec.get("objective", arm.loss),
        "tokens": arm.tokens,
        "difference_bits_per_byte": _plain(in_bits.difference if in_bits else None),
        "document_perplexity": arm.document_perplexity,
        "temperature": arm.temperature,
        "fine_tuning": arm.fine_tuning,
        "train_nll": arm.train_nll,
        "distance_to_floor": arm.distance_to_floor,
        "differs": arm.differs,
        "curve": curve(arm.runs),
        "gap": comparison.gap(arm),
        "samples": arm.finished[0].result.get("samples", []) if arm.finished else [],
        "runs": [_run(run) for run in arm.runs],
        "signals": signals.of_runs(arm.runs, arm.tokens, next(filter(None, map(measured.num_params, arm.runs)), None)),
    }


def _brief(arm: Arm, comparison: Comparison, per_e: float | None) -> dict:
    """The line of an arm in a table."""
    time = equal_time.relative_time(arm.runs, comparison.arm(comparison.baseline).runs)
    nll = arm.scores.get(comparison.measure, {}).get("value")
    return {
        "name": arm.name, "condition": arm.condition, "status": arm.status, "seeds": arm.seeds, "scores": arm.scores,
        "difference": _plain(arm.difference), "outcome": arm.outcome, "verdict": arm.verdict, "cost": arm.cost,
        "learned": learned.learned(arm),
        "equal_time": {"time": time, "nll": equal_time.nll_at_equal_time(nll, time, per_e)},
        "tuned": {}, "trials": [], **comparison.tuned.get(arm.name, {}), "looks": comparison.looks.get(arm.name, []),
    }


def _plain(difference) -> dict | None:
    return dataclasses.asdict(difference) if difference else None


def _run(run: Record) -> dict:
    result = run.result
    told = {
        "path": str(run.path), "seed": run.seed, "status": run.status, "step": result.get("step"),
        "num_steps": result.get("num_steps"), "tokens": result.get("tokens"),
        "nll": measured.score(run, score_name([run], "nll")),
    }
    return told | {key: result.get(key) for key in ("diverged", "error")}


def finite(value):
    """`value` as JSON can write it, at any depth: None for infinities and not-a-number."""
    if isinstance(value, Mapping):
        return {finite(str(key)): finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, str):  # half a character of a file's name cannot be written as UTF-8
        return value.encode("utf-8", "replace").decode("utf-8")
    if value is None or isinstance(value, bool | int | float):
        return value
    return finite(value.item()) if hasattr(value, "item") else finite(str(value))
