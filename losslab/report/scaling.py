"""A scaling law for people: tables for terminals, Markdown, and a page. Takes the document of a fit."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

from losslab import __version__
from losslab.escaping import code, escape, plain
from losslab.report import page, scaling_charts, words
from losslab.tables import Column, Table, left, name

WIDTH = 100
MOST_ROWS = 40  # of a table on a terminal
CONSTANTS = ("E", "A", "B", "alpha", "beta", "K", "exponent", "x0", "R_D", "R_N")
UNITS = {"E": "nats/token", "x0": "nats/token"}
FLAGS = {"": "", "outside": "outside the runs", "far": "far beyond the runs"}
X = {"num_params": "parameters", "num_tokens": "tokens", "flops": "FLOP", "other_nll": "other nll"}


def write(document: dict, path: str | Path) -> Path:
    """Write `path` (HTML), and `.md` and `.json` of the same stem next to it; return the path of the page."""
    return page.save(path, html(document), markdown(document), document)


def html(document: dict, fill=page.filled) -> str:
    """The page as text."""
    return fill(
        "scaling.html.j2", document, scaling_charts.charts(document), version=__version__, lede=lede(document),
        headlines=headlines(document), sections=sections(document), titles=scaling_charts.titles(document),
        extrapolated=any(one["extrapolated"] for part in (document, *document.get("multipliers", ()))
                         for one in part.get("forecasts", ())),
    )


def text(document: dict, told: str = "", more: Sequence[tuple[str, Table]] = ()) -> str:
    """For a terminal; with another lede, and more sections, where they are given."""
    parts = [_wrapped(line) for line in headlines(document)] + [_wrapped(told or lede(document))]
    parts += [f"{heading}\n{table.text(WIDTH, rule=True)}" for heading, table in [*sections(document), *more]
              if len(table.rows) <= MOST_ROWS]
    notes = [_wrapped(f"note: {sentence}") for sentence in document["warnings"]]
    return "\n\n".join([*parts, *(["\n".join(notes)] if notes else [])])


def markdown(document: dict, told: str = "", more: Sequence[tuple[str, Table]] = ()) -> str:
    """The same as Markdown."""
    parts = [f"# {escape(title(document))}"]
    parts += [escape(line) for line in headlines(document)] + [escape(told or lede(document))]
    for heading, table in [*sections(document), *more]:
        parts += [f"## {escape(heading[0].upper() + heading[1:])}", table.markdown()]
    if document["warnings"]:
        parts += ["## Notes", "\n".join(f"- {escape(sentence)}" for sentence in document["warnings"])]
    if document.get("command"):
        parts.append(f"Made by {code(document['command'])}.")
    return "\n\n".join(parts) + "\n"


def title(document: dict) -> str:
    return f"{document['formula']}, fitted to {document['source']}"


def headlines(document: dict) -> list[str]:
    """What stands first: the compute multipliers."""
    return [one["headline"] for one in document.get("multipliers", ())]


def lede(document: dict) -> str:
    """What was fitted, to how much, and how near it comes."""
    said = f"{document['formula']}, fitted to {words.plural(document['num_points'], 'run')} of {document['source']}"
    if document.get("baseline"):
        said += f", arm {document['baseline']}"
    if document.get("dropped_highest"):
        said += f", without the {words.plural(document['dropped_highest'], 'run')} of the highest nll"
    if "objective" in document:
        away = document["residuals"]
        said += (f". Huber's losses of the residuals of log nll sum to {document['objective']:.6g}; the runs lie "
                 f"{words.number(away['root_mean_square'], 3)} nats/token from the law (root mean square), the "
                 f"farthest {words.number(away['largest'], 3)}")
    if "resampled" in document:
        said += f". Intervals: {document['resampled']}"
    return f"{said}."


def sections(document: dict) -> list[tuple[str, Table]]:
    """Title and table of all that is shown."""
    found = []
    for one in document.get("multipliers", ()):
        found.append((f"compute multiplier of {one['arm']} against {one['baseline']}", _multiplier(one)))
    if any(key in document for key in CONSTANTS):
        found.append(("constants", _constants(document)))
    if document["form"] == "isoflop":
        found += _isoflop(document)
    elif document.get("forecasts"):
        heading = "best split of a compute" if document["form"] == "law" else "forecasts"
        found.append((heading, _optima(document) if document["form"] == "law" else _forecasts(document)))
    for arm, own in document.get("arms", {}).items():
        found.append((f"constants of {arm}", _constants(own)))
    return found


def interval(found: dict | None, digits: int = 4) -> str:
    if not found or found.get("low") is None:
        return "–"
    return f"[{large(found['low'], digits)}, {large(found['high'], digits)}]"


def large(value: float | None, digits: int = 4) -> str:
    """With an exponent where digits would not be read."""
    if value is None:
        return "–"
    return f"{value:.{digits - 1}e}" if value and not 1e-4 <= abs(value) < 1e5 else words.number(value, digits)


def _constants(document: dict) -> Table:
    without = document.get("without_smallest") or {}
    rows = [(key, large(document[key]["value"], 5), interval(document[key]),
             large(without.get(key), 5), "at its bound" if key in document["at_bounds"] else "")
            for key in CONSTANTS if key in document]
    return Table((name("constant"), Column("value"), Column("[95 %]"), Column("without the smallest rung"), left("")),
                 rows)


def _optima(document: dict) -> Table:
    rows = []
    for one in document["forecasts"]:
        if one["nll"] is None:
            rows.append((large(one["flops"], 2), "no optimum", "–", "–", "–", "–", "–", FLAGS[one["extrapolated"]]))
            continue
        size, tokens = one["num_params"], one["num_tokens"]
        rows.append((large(one["flops"], 2), large(size["value"], 3), interval(size, 3), large(tokens["value"], 3),
                     large(tokens["value"] / size["value"], 3), large(one["nll"]["value"]), interval(one["nll"]),
                     FLAGS[one["extrapolated"]]))
    return Table((Column("FLOP"), Column("parameters"), Column("[95 %]"), Column("tokens"), Column("tokens/param"),
                  Column("nll", "nats/token"), Column("[95 %]"), left("")), rows)


def _forecasts(document: dict) -> Table:
    return Table((Column(X[document["over"]]), Column("nll", "nats/token"), Column("[95 %]"), left("")), [
        (large(one["x"], 3), large(one["nll"]["value"]), interval(one["nll"]), FLAGS[one["extrapolated"]])
        for one in document["forecasts"]])


def _isoflop(document: dict) -> list[tuple[str, Table]]:
    rows = [(large(one["flops"], 2), f"{one['num_points']}", large(one["num_params"], 3), large(one["num_tokens"], 3),
             large(one["nll"]), words.number(one["residual"], 2), one["problem"]) for one in document["budgets"]]
    found = [("budgets", Table((Column("FLOP"), Column("runs"), Column("best parameters"), Column("best tokens"),
                                Column("nll", "nats/token"), Column("residual"), left("not counted")), rows))]
    if document["exponents"]:
        found.append(("growth with compute", Table(
            (name("of"), Column("exponent"), Column("[95 %]")),
            [(key, words.number(one["value"], 3), interval(one, 3)) for key, one in document["exponents"].items()])))
    if document["forecasts"]:
        found.append(("forecasts", Table(
            (Column("FLOP"), Column("best parameters"), Column("best tokens"), left("")),
            [(large(one["flops"], 2), large(one["num_params"], 3), large(one["num_tokens"], 3),
              FLAGS[one["extrapolated"]]) for one in document["forecasts"]])))
    return found


def _multiplier(one: dict) -> Table:
    rows = [(large(each["flops"], 2), large(each["num_params"], 3), large(each["num_tokens"], 3),
             f"{each['seeds']}" if each["seeds"] else "–",
             "–" if each["difference"] is None else f"{each['difference']:+.4f}", _times(each),
             words.p_value(each.get("p_holm")),
             told or each["verdict"] + (", extrapolated" if each["extrapolated"] else ""))
            for told, part in (("", "rungs"), ("", "forecasts"), ("without the smallest size", "without_smallest"))
            for each in one.get(part, ())]  # a page of an earlier losslab has no such part
    return Table((Column("FLOP"), Column("parameters"), Column("tokens"), Column("seeds"),
                  Column("difference", "nats/token"), Column("times the compute"), Column("p", "Holm"),
                  left("verdict")), rows)


def _times(each: dict) -> str:
    def told(end: str) -> str:
        if end in each["beyond"]:
            return "∞"
        return "–" if each[end] is None else f"{each[end]:.3g}"

    return told("value") if each["low"] is None else f"{told('value')} [{told('low')}, {told('high')}]"


def _wrapped(sentence: str) -> str:
    return textwrap.fill(plain(sentence), WIDTH, break_on_hyphens=False)
