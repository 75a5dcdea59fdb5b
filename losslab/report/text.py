"""A document as a table for terminals."""

import textwrap

from losslab.escaping import plain
from losslab.report import arm_tables, fine_tuning, signals, summary, tuning, words

WIDTH = 100
MOST_ROWS = 40  # of a table of arms; of more arms those that are drawn


def table(document: dict) -> str:
    """Aligned plain text of at most 100 columns; the verdict stands last, where a terminal's reader looks."""
    rows = summary.rows(document)
    rows = rows if len(rows) <= MOST_ROWS else document["arms"]
    left_out = len(document["arms"]) + len(document["others"]) - len(rows)
    arms = arm_tables.arms(document, rows)
    shown = arms.only("loss", "nll", "difference [95 % interval]", "p (Holm)", "bits/byte")
    lines = [*_wrapped([plain(asked(document))] if asked(document) else []), shown.text(WIDTH, rule=True), ""]
    if left_out:
        lines[-1:] = [f"and {words.plural(left_out, 'more arm')}, listed in the report", ""]
    if summary.is_long(document) or tuning.tuned(document):
        every = summary.table(document, rows).only("loss", *summary.TITLES)
        lines += [every.text(WIDTH, rule=True), *_wrapped([summary.CAPTION]), ""]
    else:
        lines += [arm_tables.brief_costs(document).text(WIDTH, rule=True), ""]
    lines += _wrapped([f"{'; '.join(words.extent(document))}; {plain(corpus(document))}"])
    lines += _wrapped(f"corpus: {plain(told)}" for told in document["corpus"]["notes"])
    lines += _wrapped([document["note"]] if document["note"] else [])
    lines += _wrapped(map(plain, [*tuning.brief(document), *fine_tuning.brief(document),
                                  *signals.brief(document)]))
    lines += _wrapped(f"note: {plain(warning)}" for warning in document["warnings"])
    if document["warnings"]:
        lines.append("")
    verdicts = told(document)
    if len(verdicts) > 1 and not summary.is_long(document):
        lines += _wrapped(plain(arm["verdict"]) for arm in verdicts)
        lines.append("")
    lines += _wrapped([plain(document["verdict"])])
    return "\n".join(lines)


def asked(document: dict) -> str:
    """The name of the study and its question; nothing where runs are compared without one."""
    return ": ".join(filter(None, (document["name"], document["question"])))


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
