"""Trials of tuning while they are run: nll on `tune` against what is searched, for each loss."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from losslab import records, stats
from losslab.records.index import Row
from losslab.report import words
from losslab.serve import curves, folding, frame
from losslab.serve.catalog import address
from losslab.serve.folder import Folder
from losslab.serve.frame import Gone
from losslab.serve.site import Site, of, parameter
from losslab.tables import Column, Table, left
from losslab.words import both_ends

USUAL = "train.learning_rate"


@dataclass(frozen=True)
class Trial:
    """What was tried: one setting of one loss, over its seeds."""

    loss: str
    settings: dict
    statuses: tuple[str, ...]
    tune_nll: float | None
    """The mean over seeds; None where one of them has none."""
    place: str


def show(request: Request) -> Response:
    """The trials of one study; of the first that has some unless the address names another."""
    site = of(request)
    site.catalog.refresh()
    stores = [each for each in site.catalog.stores() if each.kind == "trials" and each.rows]
    if not stores:
        return frame.fill(request, section="/tuning", lists=True)("tuning.html.j2", {}, {}, stores=[], store="")
    name = parameter(request, "store") or stores[0].name
    folder = next((each for each in stores if each.name == name), None)
    if folder is None:
        raise Gone(f"{name[:80]} has no trials; {', '.join(each.name for each in stores)[:200]} has")
    trials = site.once(("trials", name, site.catalog.version), lambda: _trials(site, folder))
    searched = _searched(trials)
    key = key if (key := parameter(request, "setting")) in searched else (searched or [USUAL])[0]
    losses = list(dict.fromkeys(trial.loss for trial in trials))
    drawn = _chart(trials, key, losses)
    return frame.fill(request, section="/tuning", lists=True)(
        "tuning.html.j2", {}, {"tuning": drawn} if drawn else {}, stores=[each.name for each in stores], store=name,
        study=name.rpartition("/")[0], key=key, searched=searched, looks=curves.look(losses),
        table=_table(trials, searched),
        done=sum(set(trial.statuses) <= {"finished", "diverged", "failed"} for trial in trials), total=len(trials))


def _trials(site: Site, folder: Folder) -> list[Trial]:
    found = []
    for one in folding.fold(site.catalog.rows([folder])):
        values = [_tune_nll(row) for row in one.rows]
        mean = stats.mean_score(values).value if values and None not in values else None
        found.append(Trial(one.rows[0].loss, one.rows[0].settings, tuple(row.status for row in one.rows), mean,
                           address(folder, one.rows[0])))
    return found


def _tune_nll(row: Row) -> float | None:
    if row.status != "finished":
        return None
    try:
        result = records.record.read_result(Path(row.path))
    except (ValueError, OSError):
        return None
    names = [name for name in result.get("scores", {}) if name.startswith("tune_nll")]
    value = result["scores"][min(names, key=len)]["value"] if names else None
    return value if value is not None and math.isfinite(value) else None


def _searched(trials: Sequence[Trial]) -> list[str]:
    """The settings of which several values were tried for one loss, the learning rate first."""
    values: dict[tuple[str, str], set] = {}
    for trial in trials:
        for key, value in trial.settings.items():
            values.setdefault((trial.loss, key), set()).add(str(value))
    found = list(dict.fromkeys(key for (_, key), seen in values.items() if len(seen) > 1))
    return sorted(found, key=lambda key: key != USUAL)


def _chart(trials: Sequence[Trial], key: str, losses: Sequence[str]) -> dict | None:
    rows = sorted(({"arm": trial.loss, "loss": both_ends(trial.loss, 60), "value": trial.settings[key],
                    "nll": trial.tune_nll} for trial in trials
                   if trial.tune_nll is not None and isinstance(trial.settings.get(key), int | float)),
                  key=lambda row: row["value"])
    if not rows:
        return None
    looks, values = curves.look(losses), [row["value"] for row in rows]
    best = {loss: min(row["nll"] for row in rows if row["arm"] == loss) for loss in {row["arm"] for row in rows}}
    rows = [row | {"best": row["nll"] == best[row["arm"]]} for row in rows]
    log = min(values) > 0 and max(values) > 3 * min(values)
    title = key.rpartition(".")[2].replace("_", " ")
    x = {"field": "value", "type": "quantitative", "title": title,
         "axis": {"format": "~g", "values": sorted(set(values))},
         "scale": {"type": "log", "nice": False} if log else {"zero": False, "nice": False}}
    y = {"field": "nll", "type": "quantitative", "title": "nll on tune, nats/token", "scale": {"zero": False},
         "axis": {"tickCount": 6}}
    domain = list(looks)
    color = {"field": "arm", "type": "nominal", "legend": None,
             "scale": {"domain": domain, "range": [one["color"] for one in looks.values()]}}
    dash = {"field": "arm", "type": "nominal", "legend": None,
            "scale": {"domain": domain, "range": [one["dash"] for one in looks.values()]}}
    tips = [{"field": "loss", "type": "nominal"}, {"field": "value", "type": "quantitative", "title": title},
            {"field": "nll", "type": "quantitative", "format": ".4f"}]
    return frame.plain({
        "data": {"name": "rows"}, "datasets": {"rows": rows}, "width": "container", "height": 300,
        "description": f"nll on tune against {title}, one line for each loss; a ring marks its best so far",
        "layer": [
            {"mark": {"type": "line", "strokeWidth": 2},
             "encoding": {"x": x, "y": y, "color": color, "strokeDash": dash}},
            {"mark": {"type": "point", "filled": True, "size": 40, "opacity": 1},
             "encoding": {"x": x, "y": y, "color": color, "tooltip": tips}},
            {"mark": {"type": "point", "filled": False, "size": 190, "strokeWidth": 2},
             "transform": [{"filter": "datum.best"}], "encoding": {"x": x, "y": y, "color": color, "tooltip": tips}},
        ]})


def _table(trials: Sequence[Trial], searched: Sequence[str]) -> Table:
    order = sorted(trials, key=lambda trial: (trial.loss, trial.tune_nll is None, trial.tune_nll or 0.0))
    return Table((left("loss"), *(Column(key.rpartition(".")[2].replace("_", " ")) for key in searched), left("state"),
                  Column("nll on tune", "nats/token")),
                 [(trial.loss, *(words.value(trial.settings.get(key, "–")) for key in searched),
                   ", ".join(dict.fromkeys(trial.statuses)), words.number(trial.tune_nll)) for trial in order])
