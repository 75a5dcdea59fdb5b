"""What a model scored on tasks, for people: tables, Markdown, and a page. Takes the dictionaries of the results."""

import math
from collections.abc import Iterator
from pathlib import Path

from losslab import __version__
from losslab.escaping import escape
from losslab.report import evaluation_charts, page, words
from losslab.report.document import finite
from losslab.tables import Column, Table, left

SCORES = left("task"), left("score"), Column("value ± standard error (n)"), left("unit")
NO_EVIDENCE = "Not evidence: items were left out, or something was missing; the rules on the page say what."
BRIEF = ("accuracy", "centered_v1", "centered_v2", "share_cut")  # of a part, where not all fit


def document(results: list[dict], failures: list[dict], about: dict) -> dict:
    """All that the page shows.

    Args:
        results: one dictionary per task, as `TaskResult.to_dict` gives it.
        failures: `{"task", "error"}` of tasks that could not be run.
        about: `run`, `loss`, `num_params`, `tokenizer`, `corpus`, `context`, `command`.
    """
    return {
        **about, "version": __version__, "tasks": [finite(_noted(result)) for result in results], "failures": failures,
        "is_evidence": bool(results) and all(result["is_evidence"] for result in results),
    }


def _noted(result: dict) -> dict:
    """JSON has no infinity, so a sentence says where there was one."""
    endless = [name for name, score in result["scores"].items() if not math.isfinite(score["value"])]
    notes = [f"{name} is infinite: the model called something impossible that came" for name in endless]
    return result | {"notes": result["notes"] + notes}


def write(document: dict, path: str | Path) -> Path:
    """Write `path` (HTML), and `.md` and `.json` of the same stem next to it; return the path of the page."""
    return page.save(path, html(document), markdown(document), document)


def html(document: dict, fill=page.filled) -> str:
    """The page as text."""
    return fill(
        "evaluation.html.j2", document, evaluation_charts.charts(document), titles=evaluation_charts.TITLES,
        scores=scores(document), counted=counted(document), lede=lede(document), tables=tables(document),
    )


def lede(document: dict) -> str:
    """Who was measured, on what."""
    sentence = (f"A model of {document['num_params']:,} parameters, trained by {document['loss']}; its context is "
                f"{document['context']:,} tokens of {document['tokenizer']}.")
    return sentence if document["is_evidence"] else f"{sentence} {NO_EVIDENCE}"


def scores(document: dict) -> Table:
    """One line per score of each task: task, name, value with its error, unit."""
    return Table(SCORES, [(result["name"], key, words.score(score), score["unit"])
                          for result in document["tasks"] for key, score in result["scores"].items()])


def parts(result: dict, only: tuple[str, ...] | None = None) -> Table:
    """One line per part of a task: its name, n, and one column per score. Parts of parts are not shown."""
    keys = dict.fromkeys(key for part in result["parts"] for key in part["scores"] if only is None or key in only)
    return Table((left("part"), Column("n"), *map(Column, keys)), [
        (part["name"], f"{next((s['n'] for s in part['scores'].values()), 0):,}",
         *(words.score(part["scores"].get(key), n=False) for key in keys)) for part in result["parts"]])


def counted(document: dict) -> Table:
    """One line per task: what it counted, by name."""
    return Table((left("task"), left("counted")), [
        (name, ", ".join(f"{key} {value:,}" for key, value in counts.items())) for name, counts in _counts(document)])


def _counts(document: dict) -> Iterator[tuple[str, dict]]:
    for result in document["tasks"]:
        yield result["name"], result["counts"]
        for part in result["parts"]:
            yield f"{result['name']}: {part['name']}", part["counts"]


def tables(document: dict) -> list[tuple[str, Table]]:
    """Titles and tables of what the charts are drawn from, and of what no chart shows."""
    found = []
    for result in document["tasks"]:
        if result["parts"]:
            found.append((f"{result['name']}: parts", parts(result)))
        for name, lines in result["tables"].items():
            if lines:
                first, *others = (key.replace("_", " ") for key in lines[0])
                found.append((f"{result['name']}: {name.replace('_', ' ')}",
                              Table((left(first), *map(Column, others)),
                                    [tuple(map(_cell, line.values())) for line in lines])))
    return found


def _cell(value) -> str:
    if value is None or isinstance(value, float):
        return words.number(value)
    return f"{value:,}" if type(value) is int else str(value)


def text(document: dict) -> str:
    """For a terminal."""
    lines = [scores(document).text()] if document["tasks"] else []
    for result in document["tasks"]:
        if result["parts"]:
            lines += ["", f"{result['name']}:", parts(result, BRIEF).text()]
    lines += [f"not run: {one['task']}: {one['error']}" for one in document["failures"]]
    if document["tasks"] and not document["is_evidence"]:
        lines += ["", NO_EVIDENCE]
    return "\n".join(lines)


def markdown(document: dict) -> str:
    """The same as Markdown, with the notes."""
    out = [f"# {escape(document['run'])}", "", escape(lede(document)), ""]
    out += [scores(document).markdown(), ""]
    out += ["## Counted", "", counted(document).markdown(), ""]
    for result in document["tasks"]:
        if result["notes"]:
            notes = [f"- {escape(note)}" for note in result["notes"]]
            out += [f"## Rules of {escape(result['name'])}", "", *notes, ""]
    for title, table in tables(document):
        out += [f"## {escape(title[0].upper() + title[1:])}", "", table.markdown(), ""]
    out += [escape(f"Not run: {one['task']}: {one['error']}") for one in document["failures"]]
    return "\n".join([*out, escape(f"{document['command']}, losslab {document['version']}"), ""])
