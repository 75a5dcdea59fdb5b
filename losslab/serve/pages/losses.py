"""The family of losses, and what one of them is: its curves while its parameters are moved, and its whole anatomy.

A query is a formula over the family. It is parsed, never run: a path of a loss file, which a formula may hold
elsewhere, is refused here.
"""

import ast
import inspect
import math
from dataclasses import replace
from functools import cache
from importlib import resources
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from losslab import formula
from losslab.formula import Call, Formula
from losslab.report import anatomy_page, marks
from losslab.serve import frame, sliders
from losslab.serve.frame import Gone
from losslab.serve.site import of, parameter
from losslab.words import nearest

LONGEST, MOST_TERMS, MOST_ITEMS = 300, 8, 16
TERM_WEIGHT = 1e-4  # of a term that is no loss alone
FOLDERS = {"loss": "losslab.losses", "transform": "losslab.transforms"}


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
    moved = sliders.moved(parsed, request.query_params)
    mistake, found = "", None
    try:
        found = of(request).once(("curves", str(moved)), lambda: sliders.drawn(str(moved)))
    except ArithmeticError as error:
        mistake = f"{moved} cannot be computed with these numbers ({error})"
    except (ValueError, RuntimeError) as error:
        mistake = _said(moved) or str(error)
    if found and parameter(request, "whole"):
        whole = of(request).once(("anatomy", str(moved)), lambda: _whole(str(moved)))
        return anatomy_page.html(whole, frame.fill(request, section="/losses", trail=[
            ("Losses", "/losses"), (str(moved), f"/inspect?{urlencode({'formula': str(moved)})}")]))
    drawn = {key: _curve(found, key, title) for key, title in (
        ("value", "value"), ("gradient_norm", "norm of the gradient"))} if found and found["curves"] else {}
    return frame.fill(request, section="/losses", trail=[("Losses", "/losses")])(
        "inspect.html.j2", {}, drawn, formula=text, moved=str(moved), sliders=sliders.of(parsed, moved),
        mistake=mistake, found=found, names=[str(call) for _, call in moved.terms],
        docs=[(call.name, inspect.getdoc(formula.load("losslab.losses", call.name))) for _, call in moved.terms])


def _said(asked: Formula) -> str:
    """What terms say of their numbers themselves; alone they are refused for being no whole loss, which is no news."""
    if any(_read("losslab.losses", call.name)[1] == "whole" for _, call in asked.terms):
        return ""
    try:
        sliders.drawn(str(replace(asked, terms=((1.0, Call("cross_entropy")), *asked.terms))))
    except (ValueError, RuntimeError, ArithmeticError) as error:
        return str(error)
    return ""


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
    if (misplaced := [call for _, call in parsed.terms if call.name in transforms]):
        _offer(parsed, misplaced)
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


def _offer(parsed: Formula, misplaced: list[Call]) -> None:
    """Say that a transform is no loss, and which formula has it where it belongs."""
    rest = tuple(term for term in parsed.terms if term[1] not in misplaced) or ((1.0, Call("cross_entropy")),)
    meant = str(replace(parsed, terms=rest, transforms=(*parsed.transforms, *misplaced)))
    raise Gone(f"{misplaced[0].name} is a transform of the logits, and a loss follows it behind a bar: {meant}", 400,
               [(meant, {"formula": meant})])


# --- what is computed --------------------------------------------------------------------------

def _whole(text: str) -> dict:
    from losslab import anatomy

    with sliders.one_at_a_time:
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
