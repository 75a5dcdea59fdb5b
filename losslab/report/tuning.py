"""What tuning tried and chose, as tables and charts; only of a comparison whose arms were tuned."""

from losslab.report import marks, words
from losslab.tables import Column, Table, left, name
from losslab.words import both_ends

LOSS = name("loss", least=16)
HORIZON = "train.num_tokens"  # of a trial of successive halving: how far its longest run went


def tuned(document: dict) -> list[dict]:
    """The drawn arms that have trials."""
    return [arm for arm in document["arms"] if arm["trials"]]


def searched(document: dict) -> list[str]:
    """The dotted names of all settings that were searched."""
    return list(dict.fromkeys(key for arm in tuned(document) for key in arm["tuned"]))


def summary(document: dict) -> Table:
    """Each arm's chosen settings, how sure the choice is, and what a wrong learning rate costs."""
    def row(arm: dict) -> tuple[str, ...]:
        told, lost = arm["tuning"], arm["tuning"]["sensitivity"]
        again = told["chosen_again"]
        return (arm["name"], chosen(arm), str(len(arm["trials"])), "–" if again is None else f"{100 * again:.0f} %",
                *(_lost(lost.get(factor)) for factor in ("2", "4")), "yes" if told["edge"] else "no")

    titles = ("trials", "chosen again", "lost within factor 2", "lost within factor 4", "at the edge")
    return Table((LOSS, left("chosen"), *map(Column, titles)), list(map(row, tuned(document))))


def _lost(found: float | str | None) -> str:
    return found if isinstance(found, str) else words.number(found, 3)


def chosen(arm: dict) -> str:
    return ", ".join(f"{_short(key)} {words.value(value)}" for key, value in arm["tuned"].items())


def brief(document: dict) -> list[str]:
    """One sentence for a terminal: what was chosen for each arm; nothing without tuning."""
    told = [f"{arm['name']} {chosen(arm)}{' (at the edge of what was tried)' if arm['tuning']['edge'] else ''}"
            for arm in tuned(document)]
    return [f"chosen by tuning: {'; '.join(told)}"] if told else []


def trials(document: dict) -> Table:
    """Every trial of the drawn arms."""
    keys = list(dict.fromkeys(key for arm in tuned(document) for trial in arm["trials"] for key in trial["settings"]))
    rows = []
    for arm in tuned(document):
        for trial in arm["trials"]:
            rows.append((arm["name"], *(words.value(trial["settings"].get(key, "–")) for key in keys), trial["status"],
                         words.number(trial["tune_nll"]), "chosen" if _is_chosen(trial, arm) else ""))
    return Table((LOSS, *(Column(_short(key)) for key in keys), left("status"), Column("nll on tune"), left("")), rows)


def _is_chosen(trial: dict, arm: dict) -> bool:
    return (all(trial["settings"].get(key) == value for key, value in arm["tuned"].items())
            and trial["settings"].get(HORIZON, 0) == max(each["settings"].get(HORIZON, 0) for each in arm["trials"]))


def importance(document: dict) -> Table:
    """Which searched setting explains how much, of each arm."""
    keys = searched(document)
    return Table((LOSS, *(Column(_short(key)) for key in keys)),
                 [(arm["name"], *(words.number(arm["tuning"]["importance"].get(key), 2) for key in keys))
                  for arm in tuned(document)])


def charts(document: dict) -> dict:
    """`tuning`: the curve of each arm over the one number that was searched, or all settings next to each other."""
    if not tuned(document):
        return {}
    keys = searched(document)
    return {"tuning": _curve(document, keys[0]) if len(keys) == 1 else _parallel(document, keys)}


def _curve(document: dict, key: str):
    import altair as alt

    rows = [{"arm": arm["name"], "loss": both_ends(arm["name"], 60), "value": trial["settings"][key],
             "nll": trial["tune_nll"], "tokens": trial["settings"].get(HORIZON), "chosen": _is_chosen(trial, arm)}
            for arm in tuned(document) for trial in arm["trials"]
            if trial["tune_nll"] is not None and isinstance(trial["settings"].get(key), int | float)]
    if not rows:
        return None
    values = [row["value"] for row in rows]
    log = min(values) > 0 and max(values) > 3 * min(values)
    x = alt.X("value:Q", title=_short(key), axis=alt.Axis(format="~g", values=sorted(set(values))),
              scale=alt.Scale(type="log", nice=False) if log else alt.Scale(zero=False, nice=False))
    y = alt.Y("nll:Q", title="nll on tune, nats/token", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=6))
    base = alt.Chart(alt.InlineData(values=rows))
    tips = [alt.Tooltip("loss:N"), alt.Tooltip("value:Q", title=_short(key), format="~g"),
            alt.Tooltip("nll:Q", format=".4f"), *([alt.Tooltip("tokens:Q", format=",")] if rows[0]["tokens"] else [])]
    color = marks.by_arm(document)
    layers = [
        base.mark_line(strokeWidth=2).encode(x=x, y=y, color=color, strokeDash=marks.by_dash(document),
                                             detail="tokens:N"),  # runs of unlike length are not one curve
        base.mark_point(filled=True, size=40).encode(x=x, y=y, color=color, tooltip=tips),
        base.transform_filter("datum.chosen").mark_point(filled=False, size=190, strokeWidth=2).encode(
            x=x, y=y, color=color, tooltip=tips),
    ]
    told = "; ".join(f"{arm['name']}: {chosen(arm)}" for arm in tuned(document))
    return alt.layer(*layers).properties(width="container", height=300, description=(
        f"nll on tune against {_short(key)}, one line per arm, the chosen value with a ring. {told}"))


def _parallel(document: dict, keys: list[str]):
    import altair as alt

    every = [(arm, trial) for arm in tuned(document) for trial in arm["trials"] if trial["tune_nll"] is not None]
    axes = {_short(key): [trial["settings"].get(key) for _, trial in every] for key in keys}
    axes["nll on tune"] = [trial["tune_nll"] for _, trial in every]
    rows = []
    for axis, values in axes.items():
        places = _places(values)
        rows += [{"axis": axis, "place": places[i], "value": words.value(values[i]), "trial": i, "arm": arm["name"],
                  "loss": both_ends(arm["name"], 60)} for i, (arm, _) in enumerate(every) if places[i] is not None]
    if not rows:
        return None
    base = alt.Chart(alt.InlineData(values=rows))
    x = alt.X("axis:N", sort=list(axes), title=None, axis=alt.Axis(labelAngle=0, grid=True))
    y = alt.Y("place:Q", title="from the lowest to the highest that was tried",
              axis=alt.Axis(labels=False, ticks=False))
    tips = [alt.Tooltip(f"{key}:N") for key in ("loss", "axis", "value")]
    layers = [
        base.mark_line(strokeWidth=1.5, opacity=0.6).encode(
            x=x, y=y, detail="trial:N", color=marks.by_arm(document), strokeDash=marks.by_dash(document)),
        base.mark_point(filled=True, size=35).encode(x=x, y=y, color=marks.by_arm(document), tooltip=tips),
    ]
    return alt.layer(*layers).properties(width="container", height=300, description=(
        f"{len(every)} trials, one line each, over {', '.join(axes)}; low is better on the last axis"))


def _places(values: list) -> list[float | None]:
    """The rank of each value among those that were tried, from 0 to 1: no scale is taken for granted."""
    order = sorted({value for value in values if value is not None}, key=lambda v: (isinstance(v, str), v))
    last = max(1, len(order) - 1)
    return [None if value is None else order.index(value) / last for value in values]


def _short(key: str) -> str:
    return key.rpartition(".")[2].replace("_", " ")
