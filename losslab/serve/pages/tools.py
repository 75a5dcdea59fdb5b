"""Calculators: units of a score, compute-optimal plans, seeds that a difference takes, and the audit of one row."""

import math
import re

from starlette.requests import Request
from starlette.responses import Response

from losslab.config.numbers import check, shown, whole
from losslab.progress import duration
from losslab.report import words
from losslab.scaling import plan as plans
from losslab.scaling.law import NAMED
from losslab.serve import frame
from losslab.serve.frame import Gone
from losslab.serve.site import parameter
from losslab.stats.planning import detectable_difference, seeds_needed
from losslab.tables import Column, Table, left
from losslab.units import audit as audits
from losslab.units import claims, columns
from losslab.units import convert as units

TOOLS = {"units": "Units", "plan": "Compute", "seeds": "Seeds", "audit": "Audit"}
RATIOS = {"bytes_per_token": "bytes per token", "tokens_per_word": "tokens per word",
          "characters_per_byte": "characters per byte"}
START = {"flops": "FLOPs", "params": "parameters", "tokens": "tokens"}
MOST_PAIRS = 40
LEVELS = (1e-6, 0.5)  # of a test that somebody would make; beyond, the search for seeds takes seconds
MOST_POWER = 0.9999


def show(request: Request) -> Response:
    """The page of one calculator, filled in by the address."""
    name = request.path_params.get("name", "units")
    if name not in TOOLS:
        raise Gone(f"there is no calculator {name[:60]}; there are {', '.join(TOOLS)}")
    given = {key: value.strip() for key, value in request.query_params.items()}
    answer, mistake = {}, ""
    try:
        answer = {"units": _units, "plan": _plan, "seeds": _seeds, "audit": _audit}[name](given)
    except (ValueError, OverflowError) as error:
        mistake = _on_a_page(str(error))
    return frame.fill(request, section="/tools")(
        "tools.html.j2", {}, {}, name=name, tools=TOOLS, given=given, answer=answer, mistake=mistake, ratios=RATIOS,
        units=[unit.name for unit in units.UNITS.values()], laws={key: law.source for key, law in NAMED.items()},
        devices=list(plans.DEVICES), starts=START, columns=columns.describe() if name == "audit" else "",
        asked=parameter(request, "row"))


def _on_a_page(sentence: str) -> str:
    """A sentence for the command line, with its flags as the fields that they are here."""
    return re.sub(r"(?<![\w-])--([a-z][a-z-]*)", lambda found: found[1].replace("-", " "), sentence)


def _units(given: dict) -> dict:
    source = units.unit(given.get("unit") or "nats/token")
    value = number("the value", given.get("value") or "1.83")
    ratios = {key: number(title, given[key]) if given.get(key) else None for key, title in RATIOS.items()}
    found = units.convert(value, source, **ratios)
    rows = [(line.unit.name, "–" if line.missing else f"{line.value:.6g}",
             f"needs {' and '.join(RATIOS[one] for one in line.missing)}" if line.missing else line.arithmetic)
            for line in found]
    return {"table": Table((left("unit"), Column("value"), left("arithmetic")), rows)}


def _plan(given: dict) -> dict:
    start = given.get("start") if given.get("start") in START else "flops"
    amount = number(START[start], given.get("amount") or "1e19")
    law = given.get("law") or plans.DEFAULT
    if law not in NAMED:  # a name, never a file of this machine
        raise ValueError(f"no constants are called {shown(law)}; there are {', '.join(NAMED)}")
    machine = plans.machine(given.get("device") or None, devices=_count("devices", given.get("devices") or "1"),
                            utilization=number("utilization", given.get("utilization") or f"{plans.UTILIZATION}"),
                            price=number("price", given["price"]) if given.get("price") else None,
                            ) if given.get("device") else None
    named = {"flops": "flops", "params": "num_params", "tokens": "num_tokens"}[start]
    found = plans.plan(NAMED[law], **{named: amount}, on=machine, extrapolate="extrapolate" in given)
    rows = plans.table(NAMED[law], found.flops, on=machine, extrapolate="extrapolate" in given)
    return {"plan": found, "table": _plans(rows, machine), "warnings": [*map(_on_a_page, plans.warnings(found))],
            "time": duration(found.seconds) if machine else "", "machine": machine}


def _plans(rows: list[plans.Plan], machine: plans.Machine | None) -> Table:
    """Computes around the one that was asked for."""
    priced = machine is not None and machine.price is not None
    titles = [*map(Column, ("FLOP", "parameters", "tokens", "tokens/param")), Column("nll", "nats/token"),
              *([Column("time")] if machine else []), *([Column("cost")] if priced else [])]
    return Table(titles, [
        (f"{row.flops:.3g}", f"{row.num_params:.3g}", f"{row.num_tokens:.3g}", f"{row.ratio:.1f}", f"{row.nll:.4f}",
         *([duration(row.seconds)] if machine else []), *([f"{row.cost:,.2f}"] if priced else [])) for row in rows])


def _seeds(given: dict) -> dict:
    sd = number("the spread", given.get("sd") or "0.004")
    difference = number("the difference", given.get("difference") or "0.005")
    alpha, power = (number(key, given.get(key) or usual) for key, usual in (("level", "0.05"), ("power", "0.9")))
    check("the level", alpha, *LEVELS)
    check("the power", power, 0.0, MOST_POWER, "more takes ever more seeds")
    needed = seeds_needed(sd, difference, alpha, power)
    counts = sorted({n for n in (2, 3, 4, 5, 8, 10, 16, 20, needed) if 2 <= n <= 100_000})
    rows = [(f"{n:,}", words.number(detectable_difference(sd, n, alpha=alpha, power=power), 3)) for n in counts]
    return {"needed": needed, "table": Table((Column("seeds"), Column("shown with this power", "nats/token")), rows)}


def _audit(given: dict) -> dict:
    text = given.get("row") or "val_loss=3.28, val_ppl=24"
    pairs = re.split(r"[,;\n](?!\d{3}\b)", text)
    if len(pairs) > MOST_PAIRS:
        raise ValueError(f"a row has at most {MOST_PAIRS} columns here")
    row = {}
    for pair in filter(None, map(str.strip, pairs)):
        key, equals, value = pair.partition("=")
        if not equals:
            raise ValueError(f"write a row as column=value, column=value, got {shown(pair)}")
        row[key.strip()] = value.strip()
    table = claims.table([row], source="the row")
    return {"findings": audits.audit(table.claims), "notes": table.notes, "text": text}


def _count(what: str, text: str) -> int:
    value = number(what, text)
    if value != int(value):
        raise ValueError(f"{what} should be a whole number, such as 8, and is {shown(text)}")
    return int(value)


def number(what: str, text: str) -> float:
    """A number as people write it: 1e19, 124M, 1,000.

    Raises:
        ValueError: for anything else, or what is not finite.
    """
    for read in (lambda given: float(given.replace(",", "")), whole):
        try:
            value = float(read(text))
        except (ValueError, OverflowError, TypeError):
            continue
        if math.isfinite(value):
            return value
    raise ValueError(f"{what} should be a number, such as 1.83 or 124M, and is {shown(text)}")
