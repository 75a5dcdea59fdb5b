"""The charts of a page, as Vega-Lite specifications that hold their data and no color.

Every color is a CSS variable, `var(--ink)`: the page sets them for light, dark and print, and one chart serves all.
Arms are named to the left of the plot, level with their mark; no line is drawn there.
"""

import math
from collections.abc import Sequence

from losslab.report import marks, tuning, words
from losslab.words import both_ends


def charts(document: dict) -> dict[str, dict]:
    """Name -> specification; a chart without data to show is left out."""
    made = {
        "differences": differences(document),
        "curves": curves(document),
        "gaps": gaps(document),
        "finals": finals(document),
        "speed": speed(document),
        "perplexities": perplexities(document),
        **tuning.charts(document),
    }
    return {name: marks.plain(chart) for name, chart in made.items() if chart is not None}


# --- one row per arm ---------------------------------------------------------------------------

def differences(document: dict):
    """Difference from the baseline with its interval, on the noise band of the baseline's own seeds."""
    import altair as alt

    if not any(arm["difference"] for arm in document["arms"]):
        return None
    far = marks.beyond(document)
    rows = [_difference_row(i, arm, document, far) for i, arm in enumerate(document["arms"])]
    near = [row for row in rows if row["place"] is not None and not row["far"]]
    ends = [abs(row["place"]) for row in near]
    # a wide interval may leave the plot, a point may not; four times the farthest point keeps points apart
    edges = [min(abs(e), 4 * max(ends)) for row in near for e in (row["low"], row["high"]) if e is not None]
    reach = 1.12 * max([*ends, *edges, 2 * (document["noise_band"] or 0), document["margin"]])
    for row in rows:
        if row["far"]:
            row["place"] = math.copysign(0.985 * reach, row["value"])
    scale = marks.next_to_names(domain=[-reach, reach], zero=False)
    x = alt.X("place:Q", scale=scale, title=f"difference in nll from {both_ends(document['baseline'], 40)}, nats/token",
              axis=alt.Axis(labelExpr=marks.SIGNED, tickCount=5))
    y = marks.rows_axis(len(rows), head=0.8)
    base = alt.Chart(alt.InlineData(values=rows))
    tips = [alt.Tooltip(f"{key}:N") for key in ("loss", "difference", "p (Holm)", "verdict")]
    known = base.transform_filter("isValid(datum.place)")
    layers = [
        alt.Chart(alt.InlineData(values=[{}])).mark_rule(color="var(--muted)", strokeWidth=1).encode(
            x=alt.XDatum(0, scale=scale)),
        known.transform_filter("!datum.far && isValid(datum.low)").mark_rule(strokeWidth=2, clip=True).encode(
            x=alt.X("low:Q", scale=scale), x2="high:Q", y=y, color=marks.by_arm(document), tooltip=tips),
        known.mark_point(filled=True, size=90, opacity=1).encode(
            x=x, y=y, color=marks.by_arm(document), shape=marks.by_shape(document), tooltip=tips),
        *marks.names(base, y, "shown"),
    ]
    if document["noise_band"]:
        band = alt.Chart(alt.InlineData(values=[{"from": -document["noise_band"], "to": document["noise_band"]}]))
        layers.insert(0, band.mark_rect(color="var(--band)", opacity=1).encode(
            x=alt.X("from:Q", scale=scale), x2="to:Q"))
    layers += [marks.direction("◄ better", "left", 4), marks.direction("worse ►", "right", -4)]
    told = "; ".join(f"{row['loss']} {row['shown']}" for row in rows)
    return marks.sized(alt.layer(*layers), len(rows) + 0.3,
                  f"Difference in nll from {document['baseline']}, with 95 % intervals, best first. {told}")


def _difference_row(index: int, arm: dict, document: dict, far: Sequence[str]) -> dict:
    found = arm["difference"] or {}
    is_baseline = arm["name"] == document["baseline"]
    if is_baseline:
        shown = "baseline"
    elif found:
        shown = f"{found['value']:+.4f}" + (" →" if arm["name"] in far else "")
    else:
        shown = arm["status"] if arm["status"] != "finished" else "no difference measured"
    return {
        "row": index, "arm": arm["name"], "loss": both_ends(arm["name"], 60), "shown": shown.replace("-", "−"),
        "place": 0 if is_baseline and arm["scores"] else found.get("value"), "value": found.get("value"),
        "low": found.get("low"), "high": found.get("high"), "far": arm["name"] in far,
        "difference": words.difference(arm["difference"]), "p (Holm)": words.p_value(found.get("p_holm")),
        "verdict": both_ends(arm["verdict"], 120),
    }


def finals(document: dict):
    """The final number of every seed; a line joins the arms of one seed, because they are compared in pairs."""
    import altair as alt

    arms = in_finals(document)
    if not any(run["nll"] is not None for arm in arms for run in arm["runs"]):
        return None
    dots = [{"row": i, "arm": arm["name"], "loss": both_ends(arm["name"], 60), "seed": run["seed"], "nll": run["nll"]}
            for i, arm in enumerate(arms) for run in arm["runs"] if run["nll"] is not None]
    labels = [{"row": i, "loss": both_ends(arm["name"], 60),
               "shown": words.score(arm["scores"].get(document["measure"]))} for i, arm in enumerate(arms)]
    seen = [row["nll"] for row in dots]
    space = 0.06 * (max(seen) - min(seen)) or 0.01 * abs(seen[0]) or 1.0
    scale = marks.next_to_names(domain=[min(seen) - space, max(seen) + space], zero=False)
    x = alt.X("nll:Q", scale=scale, title="nll on val, nats/token (left is better)", axis=alt.Axis(tickCount=5))
    y = marks.rows_axis(len(arms))
    base, text = (alt.Chart(alt.InlineData(values=values)) for values in (dots, labels))
    tips = [alt.Tooltip("loss:N"), alt.Tooltip("seed:N"), alt.Tooltip("nll:Q", format=".4f")]
    layers = [
        base.mark_line(color="var(--muted)", strokeWidth=1, opacity=0.45).encode(
            x=x, y=y, detail="seed:N", order="row:O"),
        base.mark_point(filled=True, size=70, opacity=0.9).encode(
            x=x, y=y, color=marks.by_arm(document), shape=marks.by_shape(document), tooltip=tips),
        *marks.names(text, y, "shown"),
    ]
    told = "; ".join(f"{row['loss']} {row['shown']}" for row in labels)
    return marks.sized(alt.layer(*layers), len(arms), f"Final nll of every seed, one row per arm. {told}")


def in_finals(document: dict) -> list[dict]:
    """The arms that the chart of final numbers shows: with a mean, and on the scale of the others."""
    far = marks.beyond(document)
    return [arm for arm in document["arms"] if arm["name"] not in far and arm["scores"]]


def speed(document: dict):
    """Training tokens per second, the median over seeds."""
    import altair as alt

    arms = [arm for arm in document["arms"] if arm["cost"]["tokens_per_second"]]
    if not arms:
        return None
    speeds = [arm["cost"]["tokens_per_second"] for arm in arms]
    rows = [{"row": i, "arm": arm["name"], "loss": both_ends(arm["name"], 60), "speed": speed,
             "shown": words.number(speed, 3)} for i, (arm, speed) in enumerate(zip(arms, speeds, strict=True))]
    base, y = alt.Chart(alt.InlineData(values=rows)), marks.rows_axis(len(arms))
    x = alt.X("speed:Q", title="training tokens/s (right is faster)", stack=None,
              scale=marks.next_to_names(domain=[0, max(speeds)]),
              axis=alt.Axis(tickCount=4, format="~s"))
    tips = [alt.Tooltip("loss:N"), alt.Tooltip("shown:N", title="tokens/s")]
    layers = [
        base.mark_bar(orient="horizontal", height=8, cornerRadiusEnd=2).encode(
            x=x, y=y, color=marks.by_arm(document), tooltip=tips),
        *marks.names(base, y, "shown"),
    ]
    told = "; ".join(f"{row['loss']} {row['shown']}" for row in rows)
    return marks.sized(alt.layer(*layers), len(arms), f"Training tokens per second, median over seeds. {told}")


def perplexities(document: dict):
    """The perplexity of single documents as a distribution: a line for each arm through its quantiles."""
    import altair as alt

    rows = [{"arm": arm["name"], "loss": both_ends(arm["name"], 60), "share": float(q), "perplexity": value}
            for arm in document["arms"] for q, value in arm["document_perplexity"].items() if value and value > 0]
    if not rows:
        return None
    seen = [row["perplexity"] for row in rows]
    scale = alt.Scale(type="log", nice=False) if max(seen) > 10 * min(seen) else alt.Scale(zero=False)
    x = alt.X("perplexity:Q", title="perplexity of a document", scale=scale, axis=alt.Axis(format="~s", tickCount=6))
    y = alt.Y("share:Q", title="share of documents below", axis=alt.Axis(format="~%", tickCount=5),
              scale=alt.Scale(domain=[0, 1]))
    base = alt.Chart(alt.InlineData(values=rows))
    tips = [alt.Tooltip("loss:N"), alt.Tooltip("share:Q", format="~%"), alt.Tooltip("perplexity:Q", format=".4~g")]
    color = marks.by_arm(document)
    layers = [
        base.mark_line(strokeWidth=2).encode(
            x=x, y=y, color=color, strokeDash=marks.by_dash(document), order="share:Q"),
        base.mark_point(filled=True, size=40).encode(x=x, y=y, color=color, tooltip=tips),
    ]
    return alt.layer(*layers).properties(width="container", height=300, description=(
        "Share of validation documents below a perplexity, one line per arm through its quantiles"))


# --- lines against tokens ----------------------------------------------------------------------

def curves(document: dict):
    """`nll` on `tune` while training: the mean of the seeds, and their range as a band."""
    rows = _lines(document, "curve")
    return _against_tokens(document, rows, "nll on tune, nats/token", "nll on tune against training tokens: mean over "
                           "seeds, band from the lowest to the highest seed") if rows else None


def gaps(document: dict):
    """The same as differences from the baseline, seed by seed: arms that are one line above come apart here."""
    far = marks.beyond(document)
    rows = [row for row in _lines(document, "gap") if row["arm"] not in far]
    if not rows:
        return None
    compared = [arm["name"] for arm in document["arms"] if arm["difference"]]
    # what is far out at the first steps is clipped: the page is about where arms end
    ends = [row[end] for row in rows if row["late"] and row["arm"] in compared for end in ("low", "high")]
    low, high = min([*ends, -document["margin"]]), max([*ends, document["margin"]])
    space = 0.15 * (high - low)
    return _against_tokens(document, rows, f"difference from {both_ends(document['baseline'], 40)}, nats/token",
                           "Difference in nll on tune from the baseline against training tokens: mean over paired "
                           "seeds, band from the lowest to the highest", domain=[low - space, high + space])


def _lines(document: dict, key: str) -> list[dict]:
    rows = []
    for arm in document["arms"]:
        line = arm[key] or {"tokens": []}
        for i, tokens in enumerate(line["tokens"]):
            row = {name: line[name][i] for name in ("mean", "low", "high")}
            if tokens > 0 and None not in row.values():
                rows.append({"arm": arm["name"], "loss": both_ends(arm["name"], 60), "tokens": tokens, **row,
                             "late": 2 * tokens > line["tokens"][-1]})
    return rows


def _against_tokens(document: dict, rows: list[dict], title: str, description: str, domain: list | None = None):
    import altair as alt

    seen = [row["tokens"] for row in rows]
    scale = alt.Scale(type="log", nice=False) if max(seen) > 10 * min(seen) else alt.Scale(zero=False, nice=False)
    x = alt.X("tokens:Q", title="training tokens", scale=scale, axis=alt.Axis(format="~s", tickCount=5))
    labels = marks.NUMBER if domain is None else marks.SIGNED
    scale = alt.Scale(zero=False, domain=domain or alt.Undefined, nice=domain is None)
    y = alt.Y("mean:Q", title=title, scale=scale, axis=alt.Axis(tickCount=6, labelExpr=labels))
    base, clip = alt.Chart(alt.InlineData(values=rows)), domain is not None
    tips = [alt.Tooltip("loss:N"), alt.Tooltip("tokens:Q", format=",d"),
            *(alt.Tooltip(f"{key}:Q", format=".4f") for key in ("mean", "low", "high"))]
    layers = [
        base.mark_area(opacity=0.16, clip=clip).encode(
            x=x, y=alt.Y("low:Q", scale=scale, stack=None), y2="high:Q", color=marks.by_arm(document)),
        base.mark_line(strokeWidth=2, clip=clip).encode(
            x=x, y=y, color=marks.by_arm(document), strokeDash=marks.by_dash(document)),
        base.mark_point(size=60, filled=True, opacity=0, clip=clip).encode(x=x, y=y, tooltip=tips),
    ]
    if domain is not None:
        zero = alt.Chart(alt.InlineData(values=[{}])).mark_rule(color="var(--muted)", strokeWidth=1)
        layers.insert(0, zero.encode(y=alt.YDatum(0, scale=scale)))
    return alt.layer(*layers).properties(width="container", height=300, description=description)
