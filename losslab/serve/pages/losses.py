"""The family of losses, and what one of them is: its curves while its parameters are moved, and its whole anatomy.

A query is a formula over the family. It is parsed, never run: a path of a loss file, which a formula may hold
elsewhere, is refused here.
"""

import ast
import inspect
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from losslab import formula
from losslab.formula import Call, Formula
from losslab.report import anatomy_page, marks
from losslab.serve import frame
from losslab.serve.frame import Gone
from losslab.serve.site import of, parameter
from losslab.words import nearest

SIZES = (27, 4_096)  # classes of the curves that follow a slider; the whole anatomy has GPT-2's vocabulary, too
LONGEST, MOST_TERMS, MOST_ITEMS = 300, 8, 16
TERM_WEIGHT = 1e-4  # of a term that is no loss alone
FOLDERS = {"loss": "losslab.losses", "transform": "losslab.transforms"}
_one_at_a_time = threading.Lock()  # what is computed takes a core


@dataclass(frozen=True)
class Slider:
    """A number of a formula that can be moved."""

    key: str
    """`0.gamma` for a parameter of the first term, `1.weight` for the weight of the second."""
    title: str
    value: float
    low: float
    high: float
    step: float
    scale: str = "linear"
    """`log`: low, high and step are of the logarithm to base 10."""


def family(request: Request) -> Response:
    """The list of losses and transforms."""
    return frame.fill(request, section="/losses")("losses.html.j2", {}, {}, family=_family())


@cache
def _family() -> list[tuple[str, str, str, str]]:
    """(kind, name, what it is, a formula that can be drawn) of each."""
    found = []
    for kind, package in FOLDERS.items():
        for name in formula.names(package):
            line, role = _read(package, name)
            shown = {"loss": name, "term": f"cross_entropy + {TERM_WEIGHT}*{name}",
                     "transform": f"{name} | cross_entropy"}[kind if role == "whole" else role]
            found.append((kind if role == "whole" else role, name, line, shown))
    return found


def _read(package: str, name: str) -> tuple[str, str]:
    """The first line on a loss or transform, and its role; read and not run, for that would load torch."""
    tree = ast.parse(resources.files(package).joinpath(f"{name}.py").read_text("utf-8"))
    line, role = "", "whole"
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=found) if found == name:
                line = (ast.get_docstring(node) or "").partition("\n")[0]
            case ast.Assign(targets=[ast.Name("ROLE")], value=ast.Constant(str(found))):
                role = found
    return line, role


def show(request: Request) -> Response:
    """The curves of a formula, with a slider for each number in it."""
    text = parameter(request, "formula") or "focal"
    parsed = _parsed(text)
    moved = _moved(parsed, request.query_params)
    mistake, found = "", None
    try:
        found = of(request).once(("curves", str(moved)), lambda: _drawn(str(moved)))
    except (ValueError, ArithmeticError, RuntimeError) as error:
        mistake = str(error)
    if found and parameter(request, "whole"):
        whole = of(request).once(("anatomy", str(moved)), lambda: _whole(str(moved)))
        return anatomy_page.html(whole, frame.fill(request, section="/losses", trail=[
            ("Losses", "/losses"), (str(moved), f"/inspect?{urlencode({'formula': str(moved)})}")]))
    drawn = {key: _curve(found, key, title) for key, title in (
        ("value", "value"), ("gradient_norm", "norm of the gradient"))} if found and found["curves"] else {}
    return frame.fill(request, section="/losses", trail=[("Losses", "/losses")])(
        "inspect.html.j2", {}, drawn, formula=text, moved=str(moved), sliders=_sliders(parsed, moved), mistake=mistake,
        found=found, names=[str(call) for _, call in moved.terms],
        docs=[(call.name, inspect.getdoc(formula.load("losslab.losses", call.name))) for _, call in moved.terms])


def _parsed(text: str) -> Formula:
    """The formula, of the family alone.

    Raises:
        Gone: for what is none, with the nearest name.
    """
    if len(text) > LONGEST:
        raise Gone(f"a formula has at most {LONGEST} characters here", 400)
    known = formula.names("losslab.losses")
    try:
        parsed = formula.parse(text)
    except ValueError as error:
        raise Gone(str(error), 400) from None
    transforms = formula.names("losslab.transforms")
    every = [(call, known) for _, call in parsed.terms] + [(call, transforms) for call in parsed.transforms]
    for call, names in every:
        if call.name not in names:
            raise Gone(f"{call.name[:60]} is none of the family{nearest(call.name, names)}; loss files are inspected "
                       "on the command line, by losslab inspect", 400)
        values = [*call.positional, *(value for _, value in call.keywords)]
        if any(isinstance(value, tuple | list) and len(value) > MOST_ITEMS for value in values):
            raise Gone(f"a list in a formula has at most {MOST_ITEMS} items here", 400)
    if len(parsed.terms) > MOST_TERMS or len(parsed.transforms) > MOST_TERMS:
        raise Gone(f"a formula has at most {MOST_TERMS} terms here", 400)
    return parsed


# --- sliders -----------------------------------------------------------------------------------

def _numbers(call: Call) -> dict[str, float]:
    """The parameters of a call that are numbers, with their values."""
    parameters = list(inspect.signature(formula.load("losslab.losses", call.name)).parameters.values())[1:]
    given = dict(zip((each.name for each in parameters), call.positional, strict=False)) | dict(call.keywords)
    found = {each.name: given.get(each.name, each.default) for each in parameters}
    return {name: value for name, value in found.items()
            if isinstance(value, int | float) and not isinstance(value, bool)}


def _moved(parsed: Formula, query: Mapping[str, str]) -> Formula:
    """The formula with the numbers that the address gives."""
    terms = []
    for number, (weight, call) in enumerate(parsed.terms):
        weight = _given(query, f"{number}.weight", weight)
        own = {name: _given(query, f"{number}.{name}", value) for name, value in _numbers(call).items()
               if f"{number}.{name}" in query}
        if own:
            parameters = list(inspect.signature(formula.load("losslab.losses", call.name)).parameters)[1:]
            kept = dict(zip(parameters, call.positional, strict=False)) | dict(call.keywords) | own
            call = Call(call.name, (), tuple(kept.items()))
        terms.append((weight, call))
    return replace(parsed, terms=tuple(terms))


def _given(query: Mapping[str, str], key: str, value: float) -> float:
    try:
        found = float(query.get(key, value))
    except ValueError:
        return value
    if not math.isfinite(found):
        return value
    return round(found) if isinstance(value, int) and found == round(found) else found


def _sliders(parsed: Formula, moved: Formula) -> list[Slider]:
    found = []
    for number, ((weight, call), (now, other)) in enumerate(zip(parsed.terms, moved.terms, strict=True)):
        if len(parsed.terms) > 1 and weight > 0 and number:
            found.append(Slider(f"{number}.weight", f"weight of {call.name}", now, -6, 1, 0.05, "log"))
        values = _numbers(other)
        for name, start in _numbers(call).items():
            low, high = _range(call, name, start)
            step = 1 if isinstance(start, int) and start == 0 else 10 ** math.floor(math.log10((high - low) / 100))
            found.append(Slider(f"{number}.{name}", f"{name} of {call.name}", values[name], low, high, step))
    return found


@cache
def _range(call: Call, name: str, start: float) -> tuple[float, float]:
    """From 0 to four times the value, or as far as the loss takes it."""
    def takes(value: float) -> bool:
        kept = {key: each for key, each in (*_numbers(call).items(), *call.keywords)} | {name: value}
        try:
            _drawn(str(Formula(((1.0, Call("cross_entropy")), (1.0, Call(call.name, (), tuple(kept.items())))), ())))
        except (ValueError, ArithmeticError, RuntimeError):
            return False
        return True

    size = abs(start) or 4.0
    tried = (4 * size, 2 * size, 1.0, 1.5 * size, size)
    high = next((value for value in tried if value >= start and takes(value)), size)
    low = next((value for value in (-high if start < 0 else 0.0, start / 100, start / 2) if takes(value)), start)
    return (low, high) if low < high else (start - 1, start + 1)


# --- what is computed --------------------------------------------------------------------------

def _drawn(text: str) -> dict:
    from losslab import anatomy

    with _one_at_a_time:
        return anatomy.shapes(text, sizes=SIZES)


def _whole(text: str) -> dict:
    from losslab import anatomy

    with _one_at_a_time:
        return anatomy.inspect(text, measure=False).to_dict()


def _curve(found: dict, key: str, title: str) -> dict:
    names = [f"{curve['vocab_size']:,} classes" for curve in found["curves"]]
    rows = [{"classes": name, "p": p, "value": value} for name, curve in zip(names, found["curves"], strict=True)
            for p, value in zip(curve["p_correct"], curve[key], strict=True)
            if p is not None and value is not None and math.isfinite(value)]
    scale = {"domain": names, "range": [f"var(--arm-{number})" for number in (1, 2, 3)][: len(names)]}
    x = {"field": "p", "type": "quantitative", "title": "P(correct)", "scale": {"domain": [0, 1]},
         "axis": {"tickCount": 5}}
    y = {"field": "value", "type": "quantitative", "title": title, "axis": {"tickCount": 6, "labelExpr": marks.NUMBER}}
    tips = [{"field": "classes", "type": "nominal"}, {"field": "p", "type": "quantitative", "format": ".3f"},
            {"field": "value", "type": "quantitative", "format": ".4g", "title": title}]
    legend = {"orient": "top", "title": None, "labelColor": "var(--ink)", "symbolType": "stroke",
              "symbolStrokeWidth": 3}
    classes = {"field": "classes", "type": "nominal", "legend": legend}  # one legend shows both color and dashes
    color = {**classes, "scale": scale}
    dash = {**classes, "scale": {**scale, "range": [[], [6, 3], [2, 2]]}}
    return frame.plain({
        "data": {"name": "rows"}, "datasets": {"rows": rows}, "width": "container", "height": 280,
        "description": f"{title} of {found['inspected']} against the probability of the right class, at "
                       f"{' and '.join(names)}",
        "layer": [{"mark": {"type": "line", "strokeWidth": 2},
                   "encoding": {"x": x, "y": y, "color": color, "strokeDash": dash}},
                  {"mark": {"type": "point", "size": 60, "filled": True, "opacity": 0},
                   "encoding": {"x": x, "y": y, "tooltip": tips}}]})
