"""Task scores of chosen models side by side, with their errors, and GPT-2's published figures beside them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from losslab import records, untrusted
from losslab.report import words
from losslab.serve import frame, references
from losslab.serve.catalog import address
from losslab.serve.folding import row_name
from losslab.serve.pages.run import documents
from losslab.serve.site import Site, listed, of, parameter
from losslab.tables import Column, Table, left
from losslab.words import both_ends

MOST_MODELS = 12
FIRST = (("core", "core_v1"), ("core", "core_v2"), ("core", "short_seven"), ("blimp", "accuracy"),
         ("likelihood", "nll"), ("likelihood", "bits_per_byte"), ("likelihood", "perplexity"))
ERRORS = 2.0  # standard errors of a bar, to each side


@dataclass(frozen=True)
class Measured:
    """One model with what was measured of it."""

    name: str
    place: str
    """The address of its run."""
    corpus: str
    scores: dict[tuple[str, str], dict]
    """(task, score) -> value, stderr, n and unit."""
    is_evidence: bool


def show(request: Request) -> Response:
    """The page of the models that the address names; without any, of those that have task scores."""
    site = of(request)
    site.catalog.refresh()
    able = site.once(("measured", site.catalog.version), lambda: _able(site))
    asked = listed(request, "runs")
    places = (asked or [place for place, _ in able])[:MOST_MODELS]
    found = [_measured(site, place) for place in places]
    keys = _keys(found)
    metric = parameter(request, "metric")
    key = next((one for one in keys if ": ".join(one) == metric), keys[0] if keys else None)
    known = {one: references.of(*one, found[0].corpus if found else "") for one in keys}
    drawn = {"scores": _chart(found, key, known[key])} if key else {}
    sources = list(dict.fromkeys(each.source for figures in known.values() for each in figures))
    models = [name for name in references.MODELS.values() if any(each.model == name for figures in known.values()
                                                                 for each in figures)]
    return frame.fill(request, section="/metrics")(
        "metrics.html.j2", {}, drawn, able=able[:500], asked=places, models=found,
        keys=[": ".join(one) for one in keys], key=": ".join(key) if key else "", sources=sources,
        table=_table(found, keys, known, models),
        doubtful=[one.name for one in found if not one.is_evidence], more=len(able) > len(places))


def _able(site: Site) -> list[tuple[str, str]]:
    """Address and name of each run that has task scores next to it."""
    return [(address(folder, row), f"{row_name(row)}, seed {row.seed}") for folder, row in site.catalog.rows()
            if row.status in ("finished", "imported") and (Path(row.path) / "evaluation.json").is_file()]


def _measured(site: Site, place: str) -> Measured:
    _, row = site.run(place)
    scores, evidence = {}, True
    record = records.read(row.path)
    for name, score in record.scores.items():
        scores["likelihood", name] = score
    if "evaluation.json" in documents(Path(row.path)):
        try:
            document = untrusted.read_object(Path(row.path) / "evaluation.json")
            for task in document["tasks"]:
                for name, score in task["scores"].items():
                    if isinstance(score.get("value"), int | float):
                        scores[str(task["name"]), str(name)] = score
            evidence = document.get("is_evidence") is True
        except (ValueError, OSError, LookupError, TypeError, AttributeError):
            evidence = False
    return Measured(f"{row_name(row)}, seed {row.seed}", place, row.corpus or "", scores, evidence)


def _keys(found: Sequence[Measured]) -> list[tuple[str, str]]:
    every = dict.fromkeys(key for one in found for key in one.scores)
    return [key for key in FIRST if key in every] + sorted(key for key in every if key not in FIRST)


def _table(found: Sequence[Measured], keys: Sequence[tuple[str, str]], known: dict, models: Sequence[str]) -> Table:
    rows = []
    for key in keys:
        unit = next((str(one.scores[key].get("unit", "")) for one in found if key in one.scores), "")
        published = {each.model: each.value for each in known[key]}
        rows.append((": ".join(key), unit, *(_shown(one.scores.get(key)) for one in found),
                     *(words.number(published.get(model), 4) for model in models)))
    return Table((left("score"), left("unit"), *(Column(one.name) for one in found),
                  *(Column(model, "published") for model in models)), rows)


def _shown(score: dict | None) -> str:
    try:
        return words.score(score)
    except (LookupError, TypeError, ValueError):
        return "–"


def _chart(found: Sequence[Measured], key: tuple[str, str], known: Sequence[references.Reference]) -> dict:
    rows = [_point(one.name, one.scores[key], "here") for one in found if key in one.scores]
    rows += [_point(each.model, {"value": each.value}, "published") for each in known]
    rows = [row for row in rows if row]
    names = list(dict.fromkeys(row["model"] for row in rows))
    unit = next((str(one.scores[key].get("unit", "")) for one in found if key in one.scores), "")
    x = {"field": "value", "type": "quantitative", "title": f"{': '.join(key)}{f', {unit}' if unit else ''}",
         "scale": {"zero": False}, "axis": {"tickCount": 6, "format": "~g"}}
    y = {"field": "model", "type": "nominal", "sort": names, "title": None,
         "axis": {"labelLimit": 260, "labelColor": "var(--ink)", "labelFontSize": 12.5, "ticks": False,
                  "domain": False}}
    color = {"field": "of", "type": "nominal", "legend": None,
             "scale": {"domain": ["here", "published"], "range": ["var(--arm-1)", "var(--arm-2)"]}}
    shape = {"field": "of", "type": "nominal", "legend": None,
             "scale": {"domain": ["here", "published"], "range": ["circle", "diamond"]}}
    tips = [{"field": "model", "type": "nominal"}, {"field": "shown", "type": "nominal", "title": ": ".join(key)},
            {"field": "of", "type": "nominal", "title": "measured"}]
    told = "; ".join(f"{row['model']} {row['shown']}" for row in rows)
    return frame.plain({
        "data": {"name": "rows"}, "datasets": {"rows": rows}, "width": "container", "height": 30 * max(2, len(names)),
        "description": f"{': '.join(key)} of each model: {told}",
        "layer": [
            {"mark": {"type": "rule", "strokeWidth": 2}, "transform": [{"filter": "isValid(datum.low)"}],
             "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "y": y, "color": color}},
            {"mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
             "encoding": {"x": x, "y": y, "color": color, "shape": shape, "tooltip": tips}},
        ]})


def _point(name: str, score: dict, of_whom: str) -> dict | None:
    value, error = score.get("value"), score.get("stderr")
    if not isinstance(value, int | float) or not math.isfinite(value):
        return None
    row = {"model": both_ends(name, 40), "value": value, "of": of_whom, "shown": _shown(score) if of_whom == "here" else
           words.number(value, 4)}
    if isinstance(error, int | float) and math.isfinite(error) and error > 0:
        row |= {"low": value - ERRORS * error, "high": value + ERRORS * error}
    return row
