"""The charts that a ladder has besides those of its law: each task's score against size, and against the loss."""

from losslab.report import marks
from losslab.report.scaling_charts import log_axis
from losslab.words import both_ends

X = {"line": ("num_params", "parameters"), "sigmoid": ("nll", "nll, nats/token")}


def titles(document: dict) -> dict[str, tuple[str, str]]:
    """Chart -> what it is, and how it is read."""
    found = {}
    for number, one in enumerate(document["together"]):
        found[f"line-{number}"] = (f"{one['measure']} and size", "each run, and a straight line in log N")
        found[f"sigmoid-{number}"] = (f"{one['measure']} and loss", "each run, and a sigmoid of its nll")
    return found


def charts(document: dict) -> dict[str, dict]:
    """Name -> specification."""
    return {f"{form['form']}-{number}": marks.plain(_chart(document, one["measure"], form))
            for number, one in enumerate(document["together"]) for form in one["forms"] if form["form"] in X}


def _chart(document: dict, measure: str, form: dict):
    import altair as alt

    field, title = X[form["form"]]
    rows = [{"arm": both_ends(row["arm"], 40), "x": row[field], "score": row[measure], "shown": row["rung"]}
            for row in document["rows"] if row.get(measure) is not None]
    x = log_axis("x", title, [row["x"] for row in rows]) if field == "num_params" else alt.X(
        "x:Q", title=title, scale=alt.Scale(zero=False, reverse=True), axis=alt.Axis(tickCount=6))
    y = alt.Y("score:Q", title=measure, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=6))
    arms = list(dict.fromkeys(row["arm"] for row in rows))
    color = alt.Color("arm:N", legend=alt.Legend(title=None, orient="top") if len(arms) > 1 else None,
                      scale=alt.Scale(domain=arms, range=[f"var(--arm-{i % 8})" for i in range(len(arms))]))
    layers = [alt.Chart(alt.InlineData(values=rows)).mark_point(filled=True, size=40, opacity=0.7).encode(
        x=x, y=y, color=color, tooltip=[alt.Tooltip("arm:N"), alt.Tooltip("shown:N"),
                                        alt.Tooltip("score:Q", format=".4f")])]
    if form["curve"]:
        curve = [{"x": a, "score": b} for a, b in form["curve"]]
        layers.append(alt.Chart(alt.InlineData(values=curve)).mark_line(strokeWidth=1.5, color="var(--muted)").encode(
            x=x, y=y))
    return alt.layer(*layers).properties(width="container", height=280, description=(
        f"{measure} of {len(rows)} runs against {title}, {form['formula']}"))
