"""Curves of runs while they train, as rows and as one chart that takes new rows without being drawn again."""

from collections.abc import Iterable, Mapping, Sequence

from losslab.comparison.curves import curve
from losslab.report import marks
from losslab.serve.folding import Condition, watched
from losslab.serve.frame import plain
from losslab.serve.logs import Logs
from losslab.words import both_ends

MOST_ARMS, MOST_SEEDS = 6, 12  # that one chart draws
USUAL = ("tune/nll", "train/nll", "train/objective", "tune/bits_per_byte", "grad_norm", "learning_rate")
UNITS = {"nll": "nats/token", "bits_per_byte": "bits/byte"}


def keys(lines: Iterable[Mapping]) -> list[str]:
    """What the lines of logs measure, the usual first."""
    found = {key for line in lines for key in line} - {"step", "tokens", "seconds"}
    found = {key for key in found if not key.startswith(("signal/", "diverged/", "cost/"))}
    return [key for key in USUAL if key in found] + sorted(found.difference(USUAL))


def look(names: Sequence[str]) -> dict[str, dict]:
    """Name -> color, shape and dash; the first as a baseline is drawn."""
    return marks.styles({"arms": [{"name": name} for name in names], "baseline": names[0] if names else ""})


def rows(conditions: Sequence[Condition], logs: Logs, key: str) -> list[dict]:
    """The mean of each condition with the range of its seeds, and a line for each seed that still trains."""
    found = []
    for condition in conditions[:MOST_ARMS]:
        runs = [watched(row, logs) for row in condition.rows]
        about = {"arm": condition.name, "loss": both_ends(condition.name, 60)}
        line = curve(runs, key)
        if line["n"] > 1 or not any(run.status == "running" for run in runs):
            found += [{**about, "of": "mean", "seed": f"mean of {line['n']}", "tokens": tokens, "value": mean,
                       "low": low, "high": high}
                      for tokens, mean, low, high in zip(*(line[part] for part in ("tokens", "mean", "low", "high")),
                                                         strict=True) if _drawn(tokens, mean)]
        going = {run.seed for run in runs if run.status == "running"}
        for one in [each for each in line["seeds"] if each["seed"] in going][:MOST_SEEDS]:
            found += [{**about, "of": "seed", "seed": f"seed {one['seed']}", "tokens": tokens, "value": value}
                      for tokens, value in zip(one["tokens"], one["values"], strict=True) if _drawn(tokens, value)]
    return found


def _drawn(tokens: float, value: float) -> bool:
    return tokens > 0 and abs(value) < 1e300  # no chart has a place for nan and infinity


def chart(found: Sequence[dict], key: str, names: Sequence[str], *, height: int = 300) -> dict:
    """The specification; its data have the name `rows`, under which a page gives it newer ones."""
    looks = look(names)
    domain = {"domain": list(looks)}
    color = {"field": "arm", "type": "nominal", "legend": None,
             "scale": {**domain, "range": [one["color"] for one in looks.values()]}}
    dash = {"field": "arm", "type": "nominal", "legend": None,
            "scale": {**domain, "range": [one["dash"] for one in looks.values()]}}
    seen = [row["tokens"] for row in found]
    log = bool(seen) and max(seen) > 10 * min(seen)
    x = {"field": "tokens", "type": "quantitative", "title": "training tokens",
         "axis": {"format": "~s", "tickCount": 5},
         "scale": {"type": "log", "nice": False} if log else {"zero": False, "nice": False}}
    unit = UNITS.get(key.rpartition("/")[2], "")
    y = {"field": "value", "type": "quantitative", "title": f"{key}, {unit}" if unit else key,
         "scale": {"zero": False}, "axis": {"tickCount": 6, "labelExpr": marks.NUMBER}}
    tips = [{"field": "loss", "type": "nominal"}, {"field": "seed", "type": "nominal"},
            {"field": "tokens", "type": "quantitative", "format": ",d"},
            {"field": "value", "type": "quantitative", "format": ".4f", "title": key}]
    layers = [
        _layer({"type": "area", "opacity": 0.16}, "datum.of === 'mean'", x=x, color=color, y2={"field": "high"},
               y={**y, "field": "low", "stack": None}),
        _layer({"type": "line", "strokeWidth": 2}, "datum.of === 'mean'", x=x, y=y, color=color, strokeDash=dash),
        _layer({"type": "line", "strokeWidth": 1.25, "opacity": 0.75}, "datum.of === 'seed'", x=x, y=y, color=color,
               detail={"field": "seed", "type": "nominal"}),
        _layer({"type": "point", "size": 60, "filled": True, "opacity": 0}, "true", x=x, y=y, tooltip=tips),
    ]
    last = {row["loss"]: row for row in found}
    told = "; ".join(f"{name} {row['value']:.4g}" for name, row in last.items())
    return plain({
        "data": {"name": "rows"}, "datasets": {"rows": list(found)}, "layer": layers, "width": "container",
        "height": height, "description": f"{key} against training tokens: the mean over seeds with a band from the "
        f"lowest to the highest, and thin lines for seeds that train. Last: {told or 'nothing yet'}"})


def _layer(mark: dict, of: str, **encoding) -> dict:
    return {"mark": {**mark, "clip": True}, "transform": [{"filter": of}], "encoding": encoding}


def single(lines: Sequence[Mapping], key: str, name: str) -> dict:
    """The chart of one run's own log."""
    found = [{"arm": name, "loss": both_ends(name, 60), "of": "seed", "seed": "this run", "tokens": line["tokens"],
              "value": line[key]} for line in thinned([line for line in lines if key in line]) if
             _drawn(line["tokens"], line[key])]
    return chart(found, key, [name], height=260)


def thinned(points: Sequence, most: int = 600) -> list:
    """At most so many points, the last among them."""
    if len(points) <= most:
        return list(points)
    last = len(points) - 1
    return [points[round(i * last / (most - 1))] for i in range(most)]
