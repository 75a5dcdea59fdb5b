"""What a study in stages found, as one JSON-able document."""

from collections.abc import Mapping, Sequence

from losslab import __version__, records
from losslab.stages import planning
from losslab.stages.file import Generate, Judge, Staged, Train
from losslab.stages.planning import Planned

FORMAT = 1
MOST_SHOWN = 6  # prompts of a stage on the page; its file has all


def made(
    study: Staged, published: Staged, planned: Mapping[str, Planned], texts: Mapping[str, list[dict]],
    judged: Mapping[str, dict], compared: Sequence[dict], rows: Sequence[dict], *, command: str,
) -> dict:
    """The document of a study whose stages are done.

    Returns:
        `perplexities` (rows with `model`, `text`, `of`, `window`, `nll`, `perplexity`), `curves` of each run, `texts`
        of each stage that writes, `judgements` (documents of `losslab judge`), `published`, `differences` from the
        published set-up, `notes`, `not_comparable`, and `stages` as they were done.
    """
    of_runs = {name: records.read(each.folder) for name, each in planned.items()}
    return {
        "format": FORMAT, "name": study.name, "question": study.question, "scale": study.scale, "status": "finished",
        "stages": list(rows), "perplexities": [*_perplexities(planned, of_runs), *_of_compared(compared)],
        "curves": [_curve(name, planned[name], record) for name, record in of_runs.items()],
        "corpora": [_corpus(name, each) for name, each in planned.items()],
        "texts": [{"stage": stage.name, "temperature": stage.temperature, "completions": stage.completions,
                   "num_prompts": len(texts[stage.name]), "shown": _shown(texts[stage.name])}
                  for stage in study.stages if isinstance(stage, Generate)],
        "judgements": [{"stage": stage.name, **judged[stage.name]} for stage in study.stages
                       if isinstance(stage, Judge)],
        "published": dict(study.published), "differences": planning.differences(study, published),
        "notes": list(study.notes), "not_comparable": not_comparable(study), "command": command,
        "version": __version__, "environment": next(iter(of_runs.values())).environment,
    }


def unfinished(study: Staged, rows: Sequence[dict], stage: Train, status: str) -> dict:
    """The document of a study that did not come to its end."""
    return {"format": FORMAT, "name": study.name, "scale": study.scale, "status": status, "stage": stage.name,
            "stages": list(rows), "report": None}


def not_comparable(study: Staged) -> str:
    """Why the published figures are not those of this page; nothing where none were published."""
    figures = study.published.get("figures", [])
    if not figures:
        return ""
    said = " and ".join(f"{figure['value']:g} ({figure['label']})" for figure in figures)
    if study.scale in ("", "full"):
        return (f"The published {said} were measured on other validation texts; set-up and training texts are meant to "
                "be the same, so that they can be held against this page with care.")
    return (f"The published {said} are not comparable with the perplexities of this page: they come from other "
            "training and validation texts, from more training, and from the settings listed below.")


def _perplexities(planned: Mapping[str, Planned], of_runs: Mapping[str, records.Record]) -> list[dict]:
    found = []
    for name, record in of_runs.items():
        own = planned[name]
        told = record.result.get("fine_tuning", {})
        if own.start is None or not told:
            found += _rows(name, own, record.scores)
            continue
        found += _rows(own.stage.start, own, told["new"]["before"])
        found += _rows(name, own, told["new"]["after"])
        if "old" in told:
            found += _rows(name, planned[own.stage.start], told["old"]["after"])
    return found


def _rows(model: str, planned: Planned, scores: Mapping[str, dict]) -> list[dict]:
    return _scored(model, planned.corpus.name, planned.config.seq_len, scores, planned.corpus.is_instructions,
                   planned.corpus.tokenizer.name)


def _scored(model: str, text: str, window: int, scores: Mapping[str, dict], instructions: bool, tokenizer: str,
            ) -> list[dict]:
    """A row for answers, and one for all tokens; of plain text one."""
    rows = []
    for suffix, of in (("", "answers" if instructions else "all tokens"), ("_all_tokens", "all tokens")):
        if f"nll{suffix}" in scores:
            rows.append({"model": model, "text": text, "of": of, "window": window, "tokenizer": tokenizer,
                         "nll": scores[f"nll{suffix}"], "perplexity": scores[f"perplexity{suffix}"]})
    return rows


def _of_compared(compared: Sequence[dict]) -> list[dict]:
    return [row for one in compared for row in _scored(
        one["model"], one["corpus"], one["window"], one["scores"], "nll_all_tokens" in one["scores"],
        one["tokenizer"])]


def _curve(name: str, planned: Planned, record: records.Record) -> dict:
    """`nll` on `tune` and of the batches, against updates."""
    def line(key: str) -> list[list[float]]:
        return [[one["step"], one[key]] for one in record.log if type(one.get(key)) in (int, float)]
    return {"stage": name, "text": planned.corpus.name, "steps": planned.config.num_steps, "tune": line("tune/nll"),
            "train": line("train/nll")}


def _corpus(name: str, planned: Planned) -> dict:
    about = planned.corpus.describe()
    return {"stage": name, **{key: about[key] for key in ("name", "digest", "tokenizer", "vocab_size", "split_rule")},
            "documents": {split: one["documents"] for split, one in about["splits"].items()},
            "tokens": {split: one["tokens"] for split, one in about["splits"].items()}}


def _shown(rows: Sequence[dict]) -> list[dict]:
    """The first prompts, and the first text of each model."""
    return [{key: row[key] for key in ("prompt", "has_input", "held_out")}
            | {"by": [{"model": one["model"], "text": one["texts"][0]} for one in row["by"]]}
            for row in rows[:MOST_SHOWN]]
