"""Task scores of chosen models side by side, with their errors, and GPT-2's published figures beside them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from losslab.report import words
from losslab.serve import frame, references
from losslab.serve.catalog import address
from losslab.serve.folding import row_name
from losslab.serve.pages import measured
from losslab.serve.pages.measured import Key, Measured
from losslab.serve.site import Site, listed, of, parameter
from losslab.tables import Column, Table, left
from losslab.words import both_ends

MOST_MODELS = 12
ERRORS = 2.0  # standard errors of a bar, to each side


def show(request: Request) -> Response:
    """The page of the models that the address names; without any, of those that have task scores."""
    site = of(request)
    site.catalog.refresh()
    able = site.once(("measured", site.catalog.version), lambda: _able(site))
    asked = listed(request, "runs")
    places = (asked or [place for place, _ in able])[:MOST_MODELS]
    every = measured.models(site, places)
    found = [one for one in every if one.scores]
    keys = measured.keys(found)
    key = _asked(keys, parameter(request, "metric"))
    known = {one: references.of(one.task, one.score, one.text, one.tokenizer) for one in keys}
    drawn = {"scores": _chart(found, key, keys[key], known[key])} if key else {}
    sources = list(dict.fromkeys(each.source for figures in known.values() for each in figures))
    models = [name for name in references.MODELS.values() if any(each.model == name for figures in known.values()
                                                                 for each in figures)]
    return frame.fill(request, section="/metrics")(
        "metrics.html.j2", {}, drawn, able=able[:500], asked=places, models=found, keys=list(keys.values()),
        key=keys[key] if key else "", sources=sources, table=_table(found, keys, known, models),
        doubtful=[one.name for one in found if not one.is_evidence], more=len(able) > len(places),
        problems=[(one.name, one.problem) for one in every if one.problem])


def _asked(keys: Mapping[Key, str], metric: str) -> Key | None:
    """The score that an address names, by its label or by task and score alone; the first where it names none."""
    return next((key for key, label in keys.items() if label == metric), None) or next(
        (key for key in keys if key.name == metric), next(iter(keys), None))


def _able(site: Site) -> list[tuple[str, str]]:
    """Address and name of each run that has task scores next to it."""
    return [(address(folder, row), f"{row_name(row)}, seed {row.seed}") for folder, row in site.catalog.rows()
            if row.status in ("finished", "imported") and (Path(row.path) / "evaluation.json").is_file()]


def _table(found: Sequence[Measured], keys: Mapping[Key, str], known: dict, models: Sequence[str]) -> Table:
    rows = []
    for key, label in keys.items():
        published = {each.model: each.value for each in known[key]}
        rows.append((label, _unit(found, key), *(_shown(one.scores.get(key)) for one in found),
                     *(words.number(published.get(model), 4) for model in models)))
    return Table((left("score"), left("unit"), *(Column(one.name) for one in found),
                  *(Column(model, "published") for model in models)), rows)


def _unit(found: Sequence[Measured], key: Key) -> str:
    return next((one.scores[key]["unit"] for one in found if key in one.scores), "")


def _shown(score: dict | None) -> str:
    if score is None:
        return "–"
    try:
        return words.score(score) if score["n"] else words.number(score["value"])
    except (LookupError, TypeError, ValueError, ArithmeticError):
        return words.number(score["value"])


def _chart(found: Sequence[Measured], key: Key, label: str, known: Sequence[references.Reference]) -> dict:
    rows = [_point(one.name, one.scores[key], "here") for one in found if key in one.scores]
    rows += [_point(each.model, {"value": each.value, "stderr": None}, "published") for each in known]
    names = list(dict.fromkeys(row["model"] for row in rows))
    unit = _unit(found, key)
    x = {"field": "value", "type": "quantitative", "title": f"{label}, {unit}" if unit else label,
         "scale": {"zero": False}, "axis": {"tickCount": 6, "format": "~g"}}
    y = {"field": "model", "type": "nominal", "sort": names, "title": None,
         "axis": {"labelLimit": 260, "labelColor": "var(--ink)", "labelFontSize": 12.5, "ticks": False,
                  "domain": False}}
    color = {"field": "of", "type": "nominal", "legend": None,
             "scale": {"domain": ["here", "published"], "range": ["var(--arm-1)", "var(--arm-2)"]}}
    shape = {"field": "of", "type": "nominal", "legend": None,
             "scale": {"domain": ["here", "published"], "range": ["circle", "diamond"]}}
    tips = [{"field": "model", "type": "nominal"}, {"field": "shown", "type": "nominal", "title": label},
            {"field": "of", "type": "nominal", "title": "measured"}]
    told = "; ".join(f"{row['model']} {row['shown']}" for row in rows)
    return frame.plain({
        "data": {"name": "rows"}, "datasets": {"rows": rows}, "width": "container", "height": 30 * max(2, len(names)),
        "description": f"{label} of each model: {told}",
        "layer": [
            {"mark": {"type": "rule", "strokeWidth": 2}, "transform": [{"filter": "isValid(datum.low)"}],
             "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "y": y, "color": color}},
            {"mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
             "encoding": {"x": x, "y": y, "color": color, "shape": shape, "tooltip": tips}},
        ]})


def _point(name: str, score: dict, of_whom: str) -> dict:
    value, error = score["value"], score["stderr"]
    row = {"model": both_ends(name, 40), "value": value, "of": of_whom,
           "shown": _shown(score) if of_whom == "here" else words.number(value, 4)}
    low, high = (measured.number(value + side * ERRORS * error) if error else None for side in (-1, 1))
    return row if low is None or high is None else row | {"low": low, "high": high}
