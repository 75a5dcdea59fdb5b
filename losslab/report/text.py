"""A document as a table for terminals."""

import textwrap
from collections.abc import Sequence

from losslab.report import words
from losslab.report.escaping import plain

WIDTH = 100
COSTS = ("loss", "tokens/s", "training time", "peak memory", "loss beside cross-entropy")
HEADINGS = ("loss", "nll, nats/token", "difference [95 % interval]", "p (Holm)", "bits/byte")


def table(document: dict) -> str:
    """Aligned plain text of at most 100 columns; the verdict stands last, where a terminal's reader looks."""
    lines = [*_aligned([HEADINGS, *(row(arm, document) for arm in document["arms"])]), ""]
    if document["others"]:
        lines[-1:] = [f"and {words.plural(len(document['others']), 'more arm')}, listed in the report", ""]
    lines += [*_aligned([COSTS, *map(cost_row, document["arms"])]), ""]
    lines += _wrapped([f"{'; '.join(words.extent(document))}; {plain(corpus(document))}"])
    lines += _wrapped(f"corpus: {plain(told)}" for told in document["corpus"]["notes"])
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
        name = _shortened(row[0], widths[0])
        cells = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        lines.append("  ".join([name.ljust(widths[0]), *cells]).rstrip())
    lines.insert(1, "-" * (sum(widths) + 2 * len(widths[1:])))
    return lines


def _shortened(name: str, most: int) -> str:
    """Both ends of a long name: a formula begins it, and what tells it from another may end it."""
    tail = (most - 3) // 2
    return name if len(name) <= most else f"{name[: most - 3 - tail]}...{name[len(name) - tail:]}"


def row(arm: dict, document: dict) -> tuple[str, ...]:
    """The cells under `HEADINGS`."""
    if arm["name"] == document["baseline"]:
        shown = "baseline"
    else:
        shown = words.difference(arm["difference"])
    nll = words.score(arm["scores"].get(document["measure"])) if arm["scores"] else arm["status"]
    found = arm["difference"] or {}
    bits = arm["scores"].get(document["measure"].replace("nll", "bits_per_byte"))
    return (plain(arm["name"]), plain(nll), shown, words.p_value(found.get("p_holm")),
            words.number(bits and bits["value"]))


def cost_row(arm: dict) -> tuple[str, ...]:
    """The cells under `COSTS`."""
    cost = arm["cost"]
    return (plain(arm["name"]), words.number(cost["tokens_per_second"], 3), words.duration(cost["train_seconds"]),
            words.size(cost["peak_memory_bytes"]), words.ratio(cost["loss_cost_ratio"]))


def corpus(document: dict) -> str:
    """The corpora of the arms, in words; of one corpus also what is known of it."""
    one, every = document["corpus"], document["corpora"]
    if len(every) > 1:
        each = [f"{c['name']} {c['digest']} (tokenizer {c['tokenizer']})" for c in every]
        more = f" and {len(each) - 3} others" if len(each) > 3 else ""
        return f"several corpora: {', '.join(each[:3])}{more}"
    floor = one["floor_bits_per_byte"]
    known = "" if floor is None else f", known floor {floor:.4f} bits/byte"
    return f"corpus {one['name']}, digest {one['digest']}, tokenizer {one['tokenizer']}{known}"


def told(document: dict) -> list[dict]:
    """The arms whose verdict says more than the row of the table does."""
    return [arm for arm in document["arms"] if arm["outcome"] not in ("baseline", "one seed", "not compared")]


def _wrapped(sentences) -> list[str]:
    return [line for sentence in sentences for line in textwrap.wrap(
        sentence, WIDTH, subsequent_indent="  ", break_on_hyphens=False)]
