"""A document as Markdown: the same facts for a pull request or a notebook."""

from collections.abc import Sequence

from losslab.report import text, words
from losslab.report.escaping import block, code, escape

OTHERS = ("loss", "nll, nats/token", "difference [95 % interval]", "p (Holm)", "bits/byte", "verdict")


def markdown(document: dict) -> str:
    """Tables first, samples and sources at the end; whatever came from a run is escaped."""
    parts = [
        f"# {escape(document['verdict'])}",
        _arms(document, document["arms"]),
        f"{escape('; '.join(words.extent(document)))}; {escape(text.corpus(document))}.",
        *map(escape, document["corpus"]["notes"]),
        escape(document["note"] or ""),
    ]
    if document["warnings"]:
        parts.append("\n".join(f"- {escape(warning)}" for warning in document["warnings"]))
    costs = [[code(row[0]), *row[1:]] for row in map(text.cost_row, document["arms"])]
    parts += ["## Scores", _scores(document), "## Every seed", _seeds(document), "## Cost", _table(text.COSTS, costs)]
    if document["others"]:
        parts += [f"## {words.plural(len(document['others']), 'other arm')}", _arms(document, document["others"])]
    parts += ["## Samples", *_samples(document), "## Repeat it"]
    if document["command"]:
        parts.append(block(document["command"]))
    settings = {**document["settings"], **document["environment"]}
    parts.append(_table(["setting", "value"], [[code(k), escape(words.value(v))] for k, v in settings.items()]))
    for loss in document["losses"]:
        parts += [f"{code(loss['path'])}, sha256 {code(loss['sha256'])}", block(loss["source"])]
    return "\n\n".join(part for part in parts if part) + "\n"


def _arms(document: dict, arms: Sequence[dict]) -> str:
    rows = [[code(arm["name"]), *map(escape, text.row(arm, document)[1:]), escape(arm["verdict"])] for arm in arms]
    return _table(OTHERS, rows)


def _scores(document: dict) -> str:
    names = list(dict.fromkeys(name for arm in document["arms"] for name in arm["scores"]))
    return _table(
        ["loss", *map(code, names)],
        [[code(arm["name"]), *(words.score(arm["scores"].get(name)) for name in names)] for arm in document["arms"]],
    )


def _seeds(document: dict) -> str:
    seeds = words.seeds(document)
    rows = [[code(arm["name"]), *(escape(words.of_seed(arm, seed)) for seed in seeds)] for arm in document["arms"]]
    return _table(["nll, nats/token", *(f"seed {escape(seed)}" for seed in seeds)], rows)


def _samples(document: dict) -> list[str]:
    parts = []
    for arm in document["arms"]:
        for sample in arm["samples"][:1]:
            parts += [code(arm["name"]), block(sample["prompt"] + continuation(sample))]
    return parts


def continuation(sample: dict) -> str:
    """What the model wrote after the prompt, whether or not the text repeats the prompt."""
    return sample["text"].removeprefix(sample["prompt"])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
