"""Task scores of several runs side by side: tables, Markdown, and a page. Takes the document of `evaluate.arms`."""

from pathlib import Path

from losslab import __version__
from losslab.escaping import escape
from losslab.report import evaluation, page, words
from losslab.report.document import finite
from losslab.tables import Column, Table, left, name
from losslab.untrusted import one_line

DIFFERENCES = (left("task"), left("score"), name("arm"), Column("difference [95 % interval]"),
               Column("p (Holm)"), Column("n"), left("verdict"))


def document(found: dict, *, command: str) -> dict:
    """All that the page shows: what `evaluate.arms.evaluate` gives, and how it came to be."""
    return finite(found) | {"version": __version__, "command": command}


def write(document: dict, path: str | Path) -> Path:
    """Write `path` (HTML), and `.md` and `.json` of the same stem next to it; return the path of the page."""
    return page.save(path, html(document), markdown(document), document)


def html(document: dict, fill=page.filled) -> str:
    """The page as text."""
    return fill("evaluation_compare.html.j2", document, {}, lede=lede(document),
                scores=scores(document), differences=differences(document), verdicts=verdicts(document))


def lede(document: dict) -> str:
    """What was compared, in a sentence or two."""
    num_runs = sum(len(arm["runs"]) for arm in document["arms"])
    counts = [words.plural(len(document["arms"]), "arm"), words.plural(num_runs, "run")]
    said = f"{', '.join(counts)}; differences from {document['baseline']} are paired over {document['paired_over']}."
    if len(document["arms"]) < 2:
        said = f"{', '.join(counts)}; one condition, so nothing is compared."
    return said if document["is_evidence"] else f"{said} {evaluation.NO_EVIDENCE}"


def scores(document: dict) -> Table:
    """One line per score: its value in each arm, with its error and n."""
    arms = [arm["name"] for arm in document["arms"]]
    return Table((left("task"), left("score"), *map(Column, arms), left("unit")), [
        (one["task"], one["score"], *(words.score(one["values"][arm]) for arm in arms), one["unit"])
        for one in document["scores"]])


def differences(document: dict) -> Table:
    """One line per score and arm that is not the baseline."""
    return Table(DIFFERENCES, [
        (one["task"], one["score"], arm, words.difference(d), words.p_value(d.get("p_holm")),
         f"{d['n']:,}" if d.get("n") else "–", words.outcome(d))
        for one in document["scores"] for arm, d in one["differences"].items()])


def verdicts(document: dict) -> list[tuple[str, str]]:
    """The sentence of each difference, below the name of its score."""
    return [(f"{one['task']} {one['score']}", d["verdict"])
            for one in document["scores"] for d in one["differences"].values()]


def text(document: dict) -> str:
    """For a terminal."""
    lines = scores(document).text().splitlines() if document["scores"] else []
    if (found := differences(document)).rows:
        lines += ["", f"differences from {document['baseline']}:", *found.text().splitlines(), ""]
        lines += [f"{score}: {verdict}" for score, verdict in verdicts(document)]
    lines += [f"not run: {one['run']}: {one['task']}: {one['error']}" for one in document["failures"]]
    lines += ["", *(f"note: {note}" for note in document["notes"])]
    if not document["is_evidence"]:
        lines += ["", evaluation.NO_EVIDENCE]
    return "\n".join(one_line(line, 10_000) for line in lines)


def markdown(document: dict) -> str:
    """The same as Markdown."""
    out = ["# Task scores side by side", "", escape(lede(document)), "", scores(document).markdown(), ""]
    if (found := differences(document)).rows:
        out += [f"## Differences from {escape(document['baseline'])}", "", found.markdown(), ""]
        out += [f"- {escape(score)}: {escape(verdict)}" for score, verdict in verdicts(document)]
    out += ["", "## Rules", "", *(f"- {escape(note)}" for note in document["notes"]), "", "## Runs", ""]
    out += [f"- {escape(arm['name'])}: seed {run['seed']}, {escape(run['run'])}, weights {str(run['weights'])[:12]}"
            for arm in document["arms"] for run in arm["runs"]]
    out += [f"- not run: {escape(one['run'])}: {one['task']}: {escape(one['error'])}" for one in document["failures"]]
    return "\n".join([*out, "", f"{escape(document['command'])}, losslab {document['version']}", ""])
