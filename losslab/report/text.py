"""A document as a table for terminals, and as Markdown."""

import re
import textwrap
from collections.abc import Sequence

from losslab.report import words

WIDTH = 100
CONTROL = r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"  # what moves a cursor; a byte model writes any of them
COSTS = ("loss", "tokens/s", "training time", "peak memory", "loss beside cross-entropy")
HEADINGS = ("loss", "nll, nats/token", "difference [95 % interval]", "p (Holm)", "bits/byte")


def table(document: dict) -> str:
    """Aligned plain text of at most 100 columns; the verdict stands last, where a terminal's reader looks."""
    lines = [*_aligned([HEADINGS, *(_row(arm, document) for arm in document["arms"])]), ""]
    lines += [*_aligned([COSTS, *map(_cost_row, document["arms"])]), ""]
    lines += _wrapped([f"{'; '.join(words.extent(document))}; {plain(_corpus(document['corpus']))}"])
    lines += _wrapped([document["note"]] if document["note"] else [])
    lines += _wrapped(f"note: {plain(warning)}" for warning in document["warnings"])
    if document["warnings"]:
        lines.append("")
    arms = told(document)
    if len(arms) > 1:
        lines += _wrapped(plain(arm["verdict"]) for arm in arms)
        lines.append("")
    lines += _wrapped([plain(document["verdict"])])
    return "\n".join(lines)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first column to the left, a rule under the first row; names give way to numbers."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    widths[0] = min(widths[0], max(16, WIDTH - sum(widths[1:]) - 2 * len(widths[1:])))
    lines = []
    for row in rows:
        name = row[0] if len(row[0]) <= widths[0] else f"{row[0][: widths[0] - 3]}..."
        cells = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        lines.append("  ".join([name.ljust(widths[0]), *cells]).rstrip())
    lines.insert(1, "-" * (sum(widths) + 2 * len(widths[1:])))
    return lines


def _row(arm: dict, document: dict) -> tuple[str, ...]:
    if arm["name"] == document["baseline"]:
        shown = "baseline"
    else:
        shown = words.difference(arm["difference"])
    nll = words.score(arm["scores"].get(document["measure"])) if arm["scores"] else arm["status"]
    found = arm["difference"] or {}
    bits = arm["scores"].get(document["measure"].replace("nll", "bits_per_byte"))
    return plain(arm["name"]), nll, shown, words.p_value(found.get("p_holm")), words.number(bits and bits["value"])


def _cost_row(arm: dict) -> tuple[str, ...]:
    cost = arm["cost"]
    return (plain(arm["name"]), words.number(cost["tokens_per_second"], 3), words.duration(cost["train_seconds"]),
            words.size(cost["peak_memory_bytes"]), words.ratio(cost["loss_cost_ratio"]))


def _corpus(corpus: dict) -> str:
    floor = corpus["floor_bits_per_byte"]
    known = "" if floor is None else f", known floor {floor:.4f} bits/byte"
    return f"corpus {corpus['name']}, digest {corpus['digest']}, tokenizer {corpus['tokenizer']}{known}"


def told(document: dict) -> list[dict]:
    """The arms whose verdict says more than the row of the table does."""
    return [arm for arm in document["arms"] if arm["outcome"] not in ("baseline", "one seed", "not compared")]


def _wrapped(sentences) -> list[str]:
    return [line for sentence in sentences for line in textwrap.wrap(
        sentence, WIDTH, subsequent_indent="  ", break_on_hyphens=False)]


def plain(text: str) -> str:
    """One line of text without control characters: a name may not move a terminal's cursor."""
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+", " ", str(text))


# --- Markdown ----------------------------------------------------------------------------------

def markdown(document: dict) -> str:
    """The same facts for a pull request or a notebook, tables first and samples fenced."""
    parts = [
        f"# {_escape(document['verdict'])}",
        _markdown_table(
            ["loss", "nll, nats/token", "difference [95 % interval]", "p (Holm)", "bits/byte", "verdict"],
            [[_code(arm["name"]), *map(_escape, _row(arm, document)[1:]), _escape(arm["verdict"])]
             for arm in document["arms"]],
        ),
        f"{_escape('; '.join(words.extent(document)))}; {_escape(_corpus(document['corpus']))}.",
        _escape(document["note"] or ""),
    ]
    if document["warnings"]:
        parts.append("\n".join(f"- {_escape(warning)}" for warning in document["warnings"]))
    costs = [[_code(row[0]), *row[1:]] for row in map(_cost_row, document["arms"])]
    parts += ["## Scores", _scores(document), "## Cost", _markdown_table(COSTS, costs)]
    parts += ["## Samples", *_samples(document), "## Repeat it"]
    if document["command"]:
        parts.append(_fence(document["command"]))
    settings = {**document["settings"], **document["environment"]}
    rows = [[_code(key), _escape(words.value(value))] for key, value in settings.items()]
    parts.append(_markdown_table(["setting", "value"], rows))
    for loss in document["losses"]:
        parts += [f"{_code(loss['path'])}, sha256 {_code(loss['sha256'])}", _fence(loss["source"])]
    return "\n\n".join(part for part in parts if part) + "\n"


def _scores(document: dict) -> str:
    names = list(dict.fromkeys(name for arm in document["arms"] for name in arm["scores"]))
    return _markdown_table(
        ["loss", *map(_code, names)],
        [[_code(arm["name"]), *(words.score(arm["scores"].get(name)) for name in names)] for arm in document["arms"]],
    )


def _samples(document: dict) -> list[str]:
    parts = []
    for arm in document["arms"]:
        for sample in arm["samples"][:1]:
            parts += [_code(arm["name"]), _fence(sample["prompt"] + _continuation(sample))]
    return parts


def _continuation(sample: dict) -> str:
    """What the model wrote after the prompt, whether or not the text repeats the prompt."""
    return sample["text"].removeprefix(sample["prompt"])


def _markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escape(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|#&])", r"\\\1", plain(text))


def _code(text: str) -> str:
    """Inline code whose fence is longer than any run of backticks inside; a pipe would end the cell."""
    text = plain(text).replace("|", "\\|")
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _fence(text: str) -> str:
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}\n{re.sub(CONTROL, '�', text.rstrip())}\n{fence}"
