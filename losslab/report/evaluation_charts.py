"""The charts of an evaluation's page: its nats by position and frequency, its calibration, and its tasks."""

from losslab.report import marks, words
from losslab.words import both_ends

TITLES = {
    "tasks": ("Accuracy of each part", "the bar is two standard errors to each side, the tick what guessing gives"),
    "position": ("nll by position", "how much it helps to have read more"),
    "frequency": ("nll by token frequency", "share of the token in the training text"),
    "confidence": ("Reliability", "accuracy against the largest probability; on the diagonal a model knows what it "
                   "knows"),
    "tokens_needed": ("How much text is enough", "standard deviation of nll over drawn sets of documents"),
}


def charts(document: dict) -> dict[str, dict]:
    """Name -> specification; a chart without data to show is left out."""
    tables = {name: rows for result in document["tasks"] for name, rows in result["tables"].items() if rows}
    made = {"tasks": _tasks(document)}
    if "position" in tables:
        made["position"] = _lines(tables["position"], "from", "tokens read before (lower end of the bin)", "nll",
                                  "nll, nats/token", log=True)
    if "frequency" in tables:
        rows = [row for row in tables["frequency"] if row["to"] > 0]
        made["frequency"] = _lines(rows, "to", "share of the training text (upper end of the bin)", "nll",
                                   "nll, nats/token", log=True)
    if "confidence" in tables:
        made["confidence"] = _reliability(tables["confidence"])
    if "tokens_needed" in tables:
        needed = tables["tokens_needed"]
        spread = next((key for key in ("sd", "nll_sd", "sd_nll") if key in needed[0]), None)
        if spread:
            made["tokens_needed"] = _lines(needed, "tokens", "tokens scored", spread, "sd of nll, nats/token", log=True)
    return {name: marks.plain(made[name]) for name in TITLES if made.get(name) is not None}


def _lines(rows: list[dict], across: str, across_title: str, up: str, up_title: str, *, log: bool):
    import altair as alt

    rows = [{**row, "x": row[across], "y": row[up], "e": 2 * (row.get("stderr") or 0)} for row in rows
            if row[up] is not None and row[across]]
    if not rows:
        return None
    rows = [{key: row[key] for key in ("x", "y")} | {"low": row["y"] - row["e"], "high": row["y"] + row["e"],
                                                     "tokens": row["tokens"]} for row in rows]
    scale = alt.Scale(type="log", nice=False) if log else alt.Scale(zero=False)
    x = alt.X("x:Q", title=across_title, scale=scale, axis=alt.Axis(format="~g", tickCount=6))
    y = alt.Y("y:Q", title=up_title, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5))
    base = alt.Chart(alt.InlineData(values=rows))
    tips = [alt.Tooltip("x:Q", title=across_title, format=".4g"), alt.Tooltip("y:Q", title=up_title, format=".4g"),
            alt.Tooltip("tokens:Q", format=",d")]
    told = "; ".join(f"{row['x']:g}: {row['y']:.4g}" for row in rows)
    low = alt.Y("low:Q", title=up_title)
    return alt.layer(
        base.mark_rule(color="var(--muted)", strokeWidth=1.5).encode(x=x, y=low, y2="high:Q"),
        base.mark_line(color="var(--arm-1)", strokeWidth=2).encode(x=x, y=y),
        base.mark_point(color="var(--arm-1)", filled=True, size=60, opacity=1).encode(x=x, y=y, tooltip=tips),
    ).properties(width="container", height=250, description=f"{up_title} against {across_title}. {told}")


def _reliability(rows: list[dict]):
    import altair as alt

    values = [{"confidence": row["confidence"], "accuracy": row["accuracy"], "tokens": row["tokens"]} for row in rows]
    domain = alt.Scale(domain=[0, 1])
    x = alt.X("confidence:Q", title="mean largest probability in the bin", scale=domain, axis=alt.Axis(tickCount=5))
    y = alt.Y("accuracy:Q", title="accuracy", scale=domain, axis=alt.Axis(tickCount=5))
    base = alt.Chart(alt.InlineData(values=values))
    diagonal = alt.Chart(alt.InlineData(values=[{"confidence": 0, "accuracy": 0}, {"confidence": 1, "accuracy": 1}]))
    tips = [alt.Tooltip("confidence:Q", format=".3f"), alt.Tooltip("accuracy:Q", format=".3f"),
            alt.Tooltip("tokens:Q", format=",d")]
    told = "; ".join(f"{row['confidence']:.2f}: {row['accuracy']:.2f}" for row in values)
    return alt.layer(
        diagonal.mark_line(color="var(--muted)", strokeWidth=1, strokeDash=[4, 3]).encode(x=x, y=y),
        base.mark_line(color="var(--arm-2)", strokeWidth=2).encode(x=x, y=y),
        base.mark_point(color="var(--arm-2)", filled=True, opacity=1).encode(
            x=x, y=y, size=alt.Size("tokens:Q", legend=None, scale=alt.Scale(range=[20, 260])), tooltip=tips),
    ).properties(width="container", height=250, description=f"Accuracy against confidence. {told}")


def _tasks(document: dict):
    """One row per part with an accuracy, in the order of its task."""
    import altair as alt

    rows = []
    for result in document["tasks"]:
        for part in result["parts"] or [result]:
            score = part["scores"].get("accuracy")
            if score is None or result["name"] == "likelihood":
                continue
            error = 2 * (score["stderr"] or 0)
            name = part["name"] if part is result else f"{result['name']}: {part['name']}"
            rows.append({"row": len(rows), "loss": both_ends(name, 60), "value": score["value"],
                         "guess": _guess(result["name"], part), "low": max(0.0, score["value"] - error),
                         "high": min(1.0, score["value"] + error), "shown": words.score(score, n=False)})
    if not rows:
        return None
    base, y = alt.Chart(alt.InlineData(values=rows)), marks.rows_axis(len(rows))
    scale = marks.next_to_names(domain=[0, 1])
    x = alt.X("value:Q", title="accuracy", scale=scale, axis=alt.Axis(tickCount=5, format="~g"))
    guessed = base.transform_filter("isValid(datum.guess)")
    layers = [
        guessed.mark_tick(color="var(--muted)", thickness=2, size=16).encode(x=alt.X("guess:Q", scale=scale), y=y),
        base.mark_rule(color="var(--arm-1)", strokeWidth=2).encode(x=alt.X("low:Q", scale=scale), x2="high:Q", y=y),
        base.mark_point(color="var(--arm-1)", filled=True, size=70, opacity=1).encode(
            x=x, y=y, tooltip=[alt.Tooltip("loss:N", title="part"), alt.Tooltip("shown:N", title="accuracy")]),
        *marks.names(base, y, "shown"),
    ]
    told = "; ".join(f"{row['loss']} {row['shown']}" for row in rows)
    return marks.sized(alt.layer(*layers), len(rows), f"Accuracies. {told}")


def _guess(task: str, part: dict) -> float | None:
    """What guessing gives, where the numbers say it: half on pairs; on CORE's tasks from the centered score."""
    if task == "blimp":
        return 0.5
    accuracy, centered = part["scores"]["accuracy"]["value"], part["scores"].get("centered_v1")
    if centered is None or accuracy == 1:
        return None
    return (accuracy - centered["value"]) / (1 - centered["value"])  # b of c = (a - b)/(1 - b)
