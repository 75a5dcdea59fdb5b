"""Task scores of several runs side by side: tables, Markdown, and a page. Takes the document of `evaluate.arms`."""

from pathlib import Path

from losslab import __version__
from losslab.report import evaluation, page, words
from losslab.untrusted import one_line

DIFFERENCES = ("task", "score", "arm", "difference [95 % interval]", "p (Holm)", "n", "verdict")


def document(found: dict, *, command: str) -> dict:
    """All that the page shows: what `evaluate.arms.evaluate` gives, and how it came to be."""
    return evaluation.finite(found) | {"version": __version__, "command": command}


def write(document: dict, path: str | Path) -> Path:
    """Write `path` (HTML), and `.md` and `.json` of the same stem beside it; return the path of the page."""
    return page.save(path, html(document), markdown(document), document)


def html(document: dict) -> str:
    """The page as text."""
    return page.filled("evaluation_compare.html.j2", document, {}, lede=lede(document), head=head(document),
                       rows=rows(document), differences_head=DIFFERENCES, differences=differences(document),
                       verdicts=verdicts(document))


def lede(document: dict) -> str:
    """What was compared, in a sentence or two."""
    num_runs = sum(len(arm["runs"]) for arm in document["arms"])
    counts = [words.plural(len(document["arms"]), "arm"), words.plural(num_runs, "run")]
    said = f"{', '.join(counts)}; differences from {document['baseline']} are paired over {document['paired_over']}."
    if len(document["arms"]) < 2:
        said = f"{', '.join(counts)}; one condition, so nothing is compared."
    return said if document["is_evidence"] else f"{said} {evaluation.NO_EVIDENCE}"


def head(document: dict) -> tuple[str, ...]:
    return ("task", "score", *(arm["name"] for arm in document["arms"]), "unit")


def rows(document: dict) -> list[tuple[str, ...]]:
    """A line a score: its value in each arm, with its error and n."""
    return [(one["task"], one["score"], *(words.score(one["values"][arm["name"]]) for arm in document["arms"]),
             one["unit"]) for one in document["scores"]]


def differences(document: dict) -> list[tuple[str, ...]]:
    """A line a score and arm that is not the baseline."""
    return [(one["task"], one["score"], arm, words.difference(d), words.p_value(d.get("p_holm")),
             f"{d['n']:,}" if d.get("n") else "–", words.outcome(d))
            for one in document["scores"] for arm, d in one["differences"].items()]


def verdicts(document: dict) -> list[tuple[str, str]]:
    """The sentence of each difference, below the name of its score."""
    return [(f"{one['task']} {one['score']}", d["verdict"])
            for one in document["scores"] for d in one["differences"].values()]


def text(document: dict) -> str:
    """For a terminal."""
    lines = evaluation.aligned([head(document), *rows(document)]) if document["scores"] else []
    if found := differences(document):
        lines += ["", f"differences from {document['baseline']}:", *evaluation.aligned([DIFFERENCES, *found]), ""]
        lines += [f"{score}: {verdict}" for score, verdict in verdicts(document)]
    lines += [f"not run: {one['run']}: {one['task']}: {one['error']}" for one in document["failures"]]
    lines += ["", *(f"note: {note}" for note in document["notes"])]
    if not document["is_evidence"]:
        lines += ["", evaluation.NO_EVIDENCE]
    return "\n".join(one_line(line, 10_000) for line in lines)


def markdown(document: dict) -> str:
    """The same as Markdown."""
    told = evaluation.escaped
    out = ["# Task scores side by side", "", told(lede(document)), ""]
    out += [*evaluation.markdown_table(head(document), rows(document)), ""]
    if found := differences(document):
        out += [f"## Differences from {told(document['baseline'])}", ""]
        out += [*evaluation.markdown_table(DIFFERENCES, found), ""]
        out += [f"- {told(score)}: {told(verdict)}" for score, verdict in verdicts(document)]
    out += ["", "## Rules", "", *(f"- {told(note)}" for note in document["notes"]), "", "## Runs", ""]
    out += [f"- {told(arm['name'])}: seed {run['seed']}, {told(run['run'])}, weights {str(run['weights'])[:12]}"
            for arm in document["arms"] for run in arm["runs"]]
    out += [f"- not run: {told(one['run'])}: {one['task']}: {told(one['error'])}" for one in document["failures"]]
    return "\n".join([*out, "", f"{told(document['command'])}, losslab {document['version']}", ""])
