"""evaluate: what a trained model can do."""

import dataclasses
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from losslab import config as configuration
from losslab.cli.application import app
from losslab.cli.flags import Corpus, Data, Json, given, known
from losslab.cli.speech import OK, USER_ERROR, Ticker, command_line, score_text, show, tell
from losslab.progress import silent
from losslab.tables import pairs


@app.command(sort_key=3)
def evaluate(
    run: Path, *others: Path, tasks: str | None = None, benchmarks: Path | None = None, text: Path | None = None,
    limit: int = 0, prefix: str = "none", baseline: str | None = None, corpus: Corpus = None, stride: int = 0,
    device: str = "cpu", out: Path | None = None, items: Annotated[bool, Parameter(negative="")] = False,
    json: Json = False, data: Data = None,
):
    """Measure a trained model: nats per token, bits per byte, perplexities, and tasks; or several, side by side.

    Parameters
    ----------
    run
        A run folder.
    others
        More run folders (or stores of runs): task scores side by side, differences paired over seeds or items.
    tasks
        Names such as likelihood,blimp,core; `?` lists them. None measures the likelihood of the validation split.
    benchmarks
        A folder with benchmark files; without one they come from the hub.
    text
        A text file for the task likelihood, in place of the corpus.
    limit
        Items of each task; 0 for all. What is limited is not evidence.
    prefix
        What stands before each text of a question or passage: none, as in lm-evaluation-harness, or end-of-text.
    baseline
        Of several runs, the loss that the others are compared with; cross_entropy if it is one, else the first.
    stride
        Tokens between windows; 0 for disjoint windows of the length trained on.
    out
        Where the page of the tasks goes; evaluation.html (or evaluation-limited.html) in the run folder unless given,
        and evaluations.html here for several runs.
    items
        Put every item (or document) into the JSON document.
    """
    from losslab import records

    if limit < 0:
        raise ValueError(f"--limit counts the items of each task, 0 for all, got {limit}")
    if others and tasks is None:
        tasks = "likelihood"
    if tasks is None and (limit or benchmarks or text or out or items):
        raise ValueError("--limit, --benchmarks, --text, --out and --items go with --tasks, such as --tasks likelihood")
    if tasks is not None:
        names = task_names(tasks)
        if names is None:
            return OK
        _check_prefix(prefix, names)
    asked = {"benchmarks": benchmarks, "limit": limit, "text": text, "prefix": prefix}
    over = {"data": given(data) | known(corpus=corpus)}
    if others:
        if items:
            raise ValueError("--items puts the items of one run into its document; evaluate that run alone")
        document = side_by_side(records.find([run, *others]), names, asked, over=over, stride=stride, device=device,
                                baseline=baseline, out=out or Path("evaluations.html"))
        from losslab.report import evaluation_compare

        show(document, f"{evaluation_compare.text(document)}\n\nreport: {document['report']}", json)
        return USER_ERROR if document["failures"] else OK
    record = records.read(run)
    config = configuration.override(record.config, over, source="the flags")
    rules = dataclasses.replace(config.evaluate, stride=stride)
    if tasks is None:
        return _likelihood(record, config, rules, device, json)
    asked |= {"data": config.data, "evaluate": rules, "seq_len": config.seq_len}
    return _tasks_of(record, names, asked, device, out, items, json)


def _tasks_of(record, names: list[str], asked: dict, device: str, out: Path | None, items: bool, json: bool) -> int:
    """The tasks of one run, and their page."""
    from losslab import parallel
    from losslab.evaluate import stored
    from losslab.report import evaluation

    device = parallel.join(device)
    loaded = stored.load(record, device=device, warn=tell)
    settings = asked | {"progress": Ticker() if parallel.rank() == 0 else silent, "partial": stored.partial()}
    results, failures = _run_tasks(names, loaded, settings, items)
    if parallel.rank() > 0:
        return OK
    about = {"run": str(record.path), "loss": record.loss, "num_params": loaded.model.num_params,
             "tokenizer": loaded.tokenizer.name, "context": loaded.model.config.num_positions,
             "corpus": str(asked["text"] or asked["data"].corpus), "command": command_line()}
    document = evaluation.document(results, failures, about)
    if results:
        # a first look does not replace evidence
        name = "evaluation-limited.html" if asked["limit"] else "evaluation.html"
        document["report"] = str(evaluation.write(document, out or record.path / name))
    report = f"\n\nreport: {document['report']}" if results else ""
    show(document, evaluation.text(document) + report, json)
    return USER_ERROR if failures else OK


def side_by_side(
    found: list, names: list[str], asked: dict, *, out: Path, over: dict | None = None, stride: int = 0,
    device: str = "cpu", baseline: str | None = None,
) -> dict:
    """Tasks of several runs compared, and their page.

    Args:
        found: records.
        names: of tasks.
        asked: `benchmarks`, `limit`, `text` and `prefix` as `evaluate.tasks.Settings` has them.
        out: where the page goes.
        over: fields laid over each run's own configuration.
    """
    from losslab import parallel
    from losslab.evaluate import arms, stored
    from losslab.evaluate.tasks import Settings
    from losslab.report import evaluation_compare

    if parallel.world_size() > 1:
        raise ValueError("several runs are evaluated by one process; leave out torchrun, or evaluate each run alone")

    def settings(record) -> Settings:
        config = configuration.override(record.config, over or {}, source="the flags")
        return Settings(**asked, data=config.data, evaluate=dataclasses.replace(config.evaluate, stride=stride),
                        seq_len=config.seq_len, progress=Ticker(), partial=stored.partial())

    compared = arms.evaluate(found, names, settings, baseline=baseline, device=device, tell=tell)
    document = evaluation_compare.document(compared, command=command_line())
    document["report"] = str(evaluation_compare.write(document, out))
    return document


def task_scores(document: dict, found: list, names: list[str], benchmarks: Path | None, *, baseline: str | None,
                out: Path, json: bool) -> int:
    """Task scores of the arms of a comparison, below its verdict; as JSON both are one document, under `tasks`."""
    try:
        scores = side_by_side(found, names, {"benchmarks": benchmarks}, baseline=baseline, out=out)
    except configuration.Errors as error:  # the verdict stands all the same
        tell(f"error: no task scores: {error}")
        scores = {"error": str(error), "failures": [str(error)]}
    if json:
        show({**document, "tasks": scores}, "", json)
    elif "error" not in scores:
        from losslab.report import evaluation_compare

        print(f"\n{evaluation_compare.text(scores)}\n\nreport: {scores['report']}", flush=True)
    return USER_ERROR if scores["failures"] else OK


def task_names(text: str) -> list[str] | None:
    """The tasks asked for, each checked; None where the list of them was."""
    from losslab.evaluate.tasks import TASKS, check

    if text == "?":
        print("\n".join(TASKS))
        return None
    return [check(name.strip()) for name in text.split(",")]


def _check_prefix(prefix: str, names: list[str]) -> None:
    from losslab.evaluate.tasks import HARNESS, PREFIXED, Settings

    Settings(prefix=prefix)
    if prefix != "none" and not any(name in PREFIXED or name.startswith(HARNESS) for name in names):
        raise ValueError(
            f"--prefix {prefix} changes nothing of {', '.join(names)}; it is a setting of {', '.join(PREFIXED)} and "
            f"{HARNESS}NAME"
        )


def _run_tasks(names: list[str], loaded, settings: dict, items: bool) -> tuple[list[dict], list[dict]]:
    """What the tasks found; one that cannot be run is named, and the others are run."""
    from losslab.evaluate import tasks

    results, failures = [], []
    for name in names:
        try:
            found = tasks.run(name, loaded.model, loaded.tokenizer, tasks.Settings(**settings))
            results.append(found.to_dict(with_items=items))
        except (*configuration.Errors, ModuleNotFoundError) as error:
            tell(f"error: {name}: {error}")
            failures.append({"task": name, "error": str(error)})
    return results, failures


def _likelihood(record, config, rules, device: str, json: bool) -> None:
    from losslab.evaluate import stored
    from losslab.evaluate.evaluator import measure

    run, (newest, _) = record.path, stored.find(record, tell)
    measured = measure(newest, config.data, rules, seq_len=config.seq_len, device=device)
    said = (f"{run} on {measured['corpus']['name']} ({measured['counts']['documents']} documents, "
            f"{measured['counts']['bytes']:,} bytes)")
    lines = [(name, score_text(score)) for name, score in measured["scores"].items()]
    if (floor := measured["floor_bits_per_byte"]) is not None:
        lines.append(("floor of this text", f"{floor:.4f} bits/byte, ends included"))
    show({"run": str(run), **measured}, f"{said}\n{pairs(lines)}", json)
