"""What came out of a ladder, as one document: for programs, and for the page that shows it."""

from collections.abc import Mapping, Sequence

from losslab import __version__
from losslab.comparison import Comparison
from losslab.ladder import noise, table, tasks
from losslab.ladder.rates import RateLaw
from losslab.ladder.rungs import Rung
from losslab.ladder.settings import COUNTS, RATES, Ladder
from losslab.ladder.together import together
from losslab.progress import Progress, silent
from losslab.scaling import arms, documents, fit
from losslab.scaling.law import FLOPS_PER_PARAMETER
from losslab.study import Study


def document(
    study: Study, ladder: Ladder, done: Sequence[tuple[Rung, Comparison]], rows: Sequence[dict],
    laws: Mapping[str, RateLaw], *, notes: Sequence[str] = (), extrapolate: bool = False,
    resamples: int = fit.RESAMPLES, source: str = "the ladder", command: str | None = None,
    progress: Progress = silent,
) -> dict:
    """The document of a fit of the ladder's runs (see `scaling.documents`), and next to it what a ladder has more.

    Returns:
        the fit's keys, with `multipliers` where there are several arms; `name`, `question`, `params` (what N counts),
        `rate` (the rule), `rates` (arm -> its power law), `rungs` (verdicts, and `flops`, C of the fit), `rows` (the
        table), `together` (one for each task score), `validation`, `floor`, `decay`, `published`, `table` (its path),
        `warnings`, `version`, `command`.
    """
    fitted, said = _fit(study, ladder, rows, source, {
        "extrapolate": extrapolate, "resamples": resamples, "progress": progress}, _shown(ladder, done))
    spread = [one for rung, found in done for one in noise.validation(rung, found)]
    doubts = [noise.told(spread, study.margin), *_edges(done), *_far(laws)]
    every = [found for name in tasks.columns(rows) if (found := together(rows, name)) is not None]
    return fitted | {
        "name": study.name, "question": study.question, "params": COUNTS[ladder.params][1],
        "rate": {"rule": ladder.rate, "formula": RATES[ladder.rate]},
        "rates": {name: law.to_dict() for name, law in laws.items()},
        "rungs": [_rung(rung, found, COUNTS[ladder.params][0]) for rung, found in done],
        "rows": list(rows), "together": every,
        "validation": spread, "floor": noise.floor(done),
        "decay": [one for rung, found in done for one in noise.decay(rung, found)],
        "published": dict(study.published), "table": source, "version": __version__, "command": command,
        "warnings": list(dict.fromkeys([*fitted["warnings"], *said, *notes, *filter(None, doubts)])),
    }


def _shown(ladder: Ladder, done: Sequence[tuple[Rung, Comparison]]) -> dict[tuple[str, float, float], bool]:
    """(arm, N, D) -> whether the verdict of that rung, which counts looks, shows a difference."""
    column = COUNTS[ladder.params][0]
    return {(arm.name, float(getattr(rung.counts, column)), float(rung.counts.num_tokens)):
            arm.outcome in ("better", "worse")
            for rung, found in done for arm in found.arms if arm.outcome in ("better", "worse", "open", "equivalent")}


def _fit(study: Study, ladder: Ladder, rows: Sequence[dict], source: str, options: Mapping,
         shown: Mapping[tuple[str, float, float], bool]):  # fmt: skip
    """The fit's document, or one that says why there is none."""
    empty = {"form": "law", "formula": documents.FORMS["law"], "source": source, "num_points": len(rows),
             "warnings": []}
    if not rows:
        return empty, ["no run finished, so there is nothing to fit"]
    try:
        runs = table.runs(rows, ladder, source)
        if runs.arms:
            return arms.fit(runs, _baseline(study, runs), shown=shown, **options), []
        return documents.law(fit.fit(runs, resamples=options["resamples"], progress=options["progress"])), []
    except ValueError as error:
        return empty, [f"no law is fitted: {error}"]


def _baseline(study: Study, runs) -> str:
    if study.reference not in runs.by_arm():
        raise ValueError(f"no run of the baseline {study.reference} finished")
    return study.reference


def _rung(rung: Rung, found: Comparison, counted: str) -> dict:
    return {
        "name": rung.name, "size": rung.size.name, "asked": rung.asked, "tokens_per_param": rung.ratio,
        "epochs": rung.epochs, "tuned": rung.tuned, "counts": rung.counts.to_dict(),
        "flops": FLOPS_PER_PARAMETER * getattr(rung.counts, counted) * rung.counts.num_tokens,  # C of the fit
        "verdict": found.verdict,
        "arms": [{
            "name": arm.name, "status": arm.status, "statuses": [run.status for run in arm.runs],
            "outcome": arm.outcome,
            "nll": arm.scores.get(found.measure), "bits_per_byte": arm.scores.get(found.measure.replace(
                "nll", "bits_per_byte")),
            "difference": None if arm.difference is None else {
                key: getattr(arm.difference, key) for key in ("value", "low", "high", "p_holm", "n")},
            "learning_rate": arm.runs[0].config.train.learning_rate,
        } for arm in found.arms],
        "warnings": list(found.warnings),
    }  # fmt: skip


def _edges(done: Sequence[tuple[Rung, Comparison]]) -> list[str]:
    """Arms whose tuned rate is the lowest or highest that was tried."""
    return [f"the learning rate of {name} at {rung.name} is the lowest or highest that was tried, so a better one may "
            "lie beyond it, and its power law carries that along"
            for rung, found in done if rung.tuned for name, told in found.tuned.items() if told["tuning"]["edge"]]


def _far(laws: Mapping[str, RateLaw]) -> list[str]:
    return [f"the tuned learning rates of {name} lie up to a factor {law.farthest:.2f} from their power law, and rates "
            "that were tuned with few trials are no surer than that" for name, law in laws.items()
            if law.farthest > 1.5]
