"""What a model scored on tasks, for people: tables, Markdown, and a page. Takes the dictionaries of the results."""

import math
import re
from collections.abc import Iterator
from pathlib import Path

from losslab import __version__
from losslab.report import evaluation_charts, page, words
from losslab.untrusted import one_line

SCORES = ("task", "score", "value ± standard error (n)", "unit")
NO_EVIDENCE = "Not evidence: items were left out, or something was missing; the rules on the page say what."
BRIEF = ("accuracy", "centered_v1", "centered_v2", "share_cut")  # of a part, where there is no room for all


def document(results: list[dict], failures: list[dict], about: dict) -> dict:
    """All that the page shows.

    Args:
        results: a dictionary a task, as `TaskResult.to_dict` gives it.
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


def finite(value):
    """Without the numbers that JSON has not, at any depth."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write(document: dict, path: str | Path) -> Path:
    """Write `path` (HTML), and `.md` and `.json` of the same stem beside it; return the path of the page."""
    return page.save(path, html(document), markdown(document), document)


def html(document: dict) -> str:
    """The page as text."""
    return page.filled(
        "evaluation.html.j2", document, evaluation_charts.charts(document), titles=evaluation_charts.TITLES,
        head=SCORES, rows=rows(document), counted=counted(document), lede=lede(document), tables=tables(document),
    )


def lede(document: dict) -> str:
    """Who was measured, on what."""
    sentence = (f"A model of {document['num_params']:,} parameters, trained by {document['loss']}; its context is "
                f"{document['context']:,} tokens of {document['tokenizer']}.")
    return sentence if document["is_evidence"] else f"{sentence} {NO_EVIDENCE}"


def rows(document: dict) -> list[tuple[str, ...]]:
    """A line a score of each task: task, name, value with its error, unit."""
    return [(result["name"], key, words.score(score), score["unit"])
            for result in document["tasks"] for key, score in result["scores"].items()]


def parts(result: dict, only: tuple[str, ...] | None = None) -> list[tuple[str, ...]]:
    """A line a part of a task, below a heading: its name, n, and a column a score. Parts of parts are not shown."""
    keys = dict.fromkeys(key for part in result["parts"] for key in part["scores"] if only is None or key in only)
    lines = [(part["name"], f"{next((s['n'] for s in part['scores'].values()), 0):,}",
              *(words.score(part["scores"].get(key), n=False) for key in keys)) for part in result["parts"]]
    return [("part", "n", *keys), *lines] if lines else []


def counted(document: dict) -> list[tuple[str, str]]:
    """A line a task: what it counted, by name."""
    return [(name, ", ".join(f"{key} {value:,}" for key, value in counts.items()))
            for name, counts in _counts(document)]


def _counts(document: dict) -> Iterator[tuple[str, dict]]:
    for result in document["tasks"]:
        yield result["name"], result["counts"]
        for part in result["parts"]:
            yield f"{result['name']}: {part['name']}", part["counts"]


def tables(document: dict) -> list[tuple[str, list[tuple[str, ...]]]]:
    """Title and lines (the first its heading) of what the charts are drawn from, and of what no chart shows."""
    found = []
    for result in document["tasks"]:
        if result["parts"]:
            found.append((f"{result['name']}: parts", parts(result)))
        for name, lines in result["tables"].items():
            if lines:
                head = tuple(key.replace("_", " ") for key in lines[0])
                found.append((f"{result['name']}: {name.replace('_', ' ')}",
                              [head, *(tuple(_cell(value) for value in line.values()) for line in lines)]))
    return found


def _cell(value) -> str:
    if value is None or isinstance(value, float):
        return words.number(value)
    return f"{value:,}" if type(value) is int else str(value)


def text(document: dict) -> str:
    """For a terminal."""
    lines = aligned([SCORES, *rows(document)]) if document["tasks"] else []
    for result in document["tasks"]:
        if result["parts"]:
            lines += ["", f"{result['name']}:", *aligned(parts(result, BRIEF))]
    lines += [f"not run: {one['task']}: {one['error']}" for one in document["failures"]]
    if document["tasks"] and not document["is_evidence"]:
        lines += ["", NO_EVIDENCE]
    return "\n".join(lines)


def aligned(table: list[tuple[str, ...]]) -> list[str]:
    """Rows of a table as lines with columns of one width."""
    table = [tuple(one_line(cell) for cell in row) for row in table]
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]


def markdown(document: dict) -> str:
    """The same as Markdown, with the notes."""
    out = [f"# {escaped(document['run'])}", "", escaped(lede(document)), ""]
    out += [*markdown_table(SCORES, rows(document)), ""]
    out += ["## Counted", "", *markdown_table(("task", "counted"), counted(document)), ""]
    for result in document["tasks"]:
        if result["notes"]:
            notes = [f"- {escaped(note)}" for note in result["notes"]]
            out += [f"## Rules of {escaped(result['name'])}", "", *notes, ""]
    for title, lines in tables(document):
        out += [f"## {escaped(title[0].upper() + title[1:])}", "", *markdown_table(lines[0], lines[1:]), ""]
    out += [escaped(f"Not run: {one['task']}: {one['error']}") for one in document["failures"]]
    return "\n".join([*out, escaped(f"{document['command']}, losslab {document['version']}"), ""])


def escaped(text: str) -> str:
    """A stranger's words as Markdown that shows them and does nothing else: no markup, no HTML, no new line."""
    text = one_line(text, 10_000).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*\[\]|]|(?<!\w)_|_(?!\w))", r"\\\1", text)


def markdown_table(head, lines) -> list[str]:
    """A table of cells, each escaped."""
    return ["| " + " | ".join(cells) + " |"
            for cells in (map(escaped, head), ["---"] * len(head), *(map(escaped, row) for row in lines))]
