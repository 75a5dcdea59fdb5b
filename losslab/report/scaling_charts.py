"""The charts of a scaling law: multipliers, the law with its runs, residuals, parabolas."""

import math

from losslab.report import marks
from losslab.words import both_ends

MOST_BUDGETS = 30


def titles(document: dict) -> dict[str, tuple[str, str]]:
    """Chart -> what it is, and how it is read."""
    dashed = "dashed where no run is"
    return {
        "multipliers": ("Compute multiplier", "how much compute the baseline needs for the same nll; bars and band are "
                        f"95 % intervals of one arm, the line is the trend over rungs, {dashed}"),
        "law": ("The law", _law_caption(document) + f"; the band is its 95 % interval, {dashed}"),
        "parabolas": ("Equal compute", "nll against parameters, one parabola for each budget; the mark is its minimum"),
        "residuals": ("Residuals", "observed - fitted nll of each run; a bend means that the law does not hold over "
                      "all sizes"),
    }


def _law_caption(document: dict) -> str:
    return ("runs, and the least nll at each compute" if document["form"] == "law" else "runs, and the fitted curve")


def charts(document: dict) -> dict[str, dict]:
    """Name -> specification; a chart without data to show is left out."""
    made = {
        "multipliers": _multipliers(document.get("multipliers", ())),
        "law": _curve(document),
        "parabolas": _parabolas(document) if document["form"] == "isoflop" else None,
        "residuals": _residuals(document),
    }
    return {key: marks.plain(chart) for key, chart in made.items() if chart is not None}


def log_axis(field: str, title: str, values: list[float]):
    """A logarithmic axis that ends a little beyond its values."""
    import altair as alt

    low, high = min(values), max(values)
    space = max(1.15, (high / low) ** 0.03)
    scale = alt.Scale(type="log", domain=[low / space, high * space], nice=False)
    ticks = _decades(low / space, high * space)
    names = ", ".join(f"'{tick:.0e}': '{_power(tick)}'" for tick in ticks)
    axis = alt.Axis(values=ticks, labelExpr=f"{{{names}}}[replace(format(datum.value, '.0e'), /e([+-])(\\d)$/, "
                                            "'e$10$2')]")
    return alt.X(f"{field}:Q", title=title, scale=scale, axis=axis)


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten; twice and five times them, too, where there are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    within = [10.0**power for power in powers if low <= 10.0**power <= high]
    if len(within) >= 3:
        return within[:: math.ceil(len(within) / 10)]
    return [factor * 10.0**power for power in powers for factor in (1, 2, 5) if low <= factor * 10.0**power <= high]


def _power(value: float) -> str:
    """`10¹²` or `2·10¹²`."""
    digits, _, exponent = f"{value:.0e}".partition("e")
    raised = f"10{str(int(exponent)).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"
    return raised if digits == "1" else f"{digits}·{raised}"


def _ticks(low: float, high: float) -> list[float]:
    """Round multipliers between two ends, 1 among them."""
    if high > 6 * low:
        every = [factor * 10.0**power for power in range(-4, 5) for factor in (1, 2, 5)]
        return [tick for tick in every if low <= tick <= high]
    rough = (high - low) / 7
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    count = range(math.ceil((low - 1) / step), math.floor((high - 1) / step) + 1)
    return [round(1 + i * step, 10) for i in count]


def _multipliers(found):
    import altair as alt

    arms = [one["arm"] for one in found]
    rungs, band = [], []
    for one in found:
        name = both_ends(one["arm"], 40)
        rungs += [{"arm": name, **{key: each[key] for key in ("flops", "value", "low", "high")},
                   "shown": each["sentence"]} for each in one["rungs"] if each["value"]]
        band += [{"arm": name, **{key: each[key] for key in ("flops", "value", "low", "high")},
                  "beyond": bool(each["extrapolated"])}
                 for each in one["band"] if None not in (each["value"], each["low"], each["high"]) and each["low"]]
    if not rungs:
        return None
    # an interval without an end must not flatten all others: what leaves the plot is clipped
    seen = [abs(math.log(row["value"])) for row in rungs + band]
    ends = [min(abs(math.log(row[end])), 3 * max(seen) + 0.1) for row in rungs + band for end in ("low", "high")
            if row[end]]
    reach = max([*seen, *ends, 0.02])
    shown = [math.log(row[end]) for row in rungs + band for end in ("low", "value", "high") if row[end]]
    low_end = math.exp(max(-reach, min([*shown, -0.01])) - 0.06 * reach)
    high_end = math.exp(min(reach, max([*shown, 0.01])) + 0.06 * reach)
    for row in rungs:
        if row["low"] is None and row["high"] is None:
            row["low"] = row["high"] = row["value"]  # one seed: a point without a bar
        row["low"], row["high"] = row["low"] or low_end / 2, row["high"] or high_end * 2
    _edges(band, "arm")
    names = list(dict.fromkeys(both_ends(arm, 40) for arm in arms))
    color = alt.Color("arm:N", scale=alt.Scale(domain=names, range=_colors(len(names))),
                      legend=None if len(names) == 1 else alt.Legend(
                          orient="top", title=None, labelColor="var(--ink)", labelFontSize=12, labelLimit=400,
                          symbolOpacity=1, symbolType="circle"))
    y_scale = alt.Scale(type="log", domain=[low_end, high_end], nice=False)
    x = log_axis("flops", "compute of the arm, FLOP", [row["flops"] for row in rungs + band])
    y = alt.Y("value:Q", title="times the compute", scale=y_scale,
              axis=alt.Axis(format=".4~g", values=_ticks(low_end, high_end)))
    low = alt.Y("low:Q", scale=y_scale, title="times the compute")
    points, curve = alt.Chart(alt.InlineData(values=rungs)), alt.Chart(alt.InlineData(values=band))
    layers = [alt.Chart(alt.InlineData(values=[{}])).mark_rule(color="var(--ink)", strokeWidth=1).encode(
        y=alt.YDatum(1, scale=y_scale))]
    if band:
        layers.append(curve.mark_area(opacity=0.14, clip=True).encode(x=x, y=low, y2="high:Q", color=color))
        layers += _solid_and_dashed(curve, x=x, y=y, color=color)
    layers += [
        points.mark_rule(strokeWidth=1.5, clip=True).encode(x=x, y=low, y2="high:Q", color=color),
        points.mark_point(filled=True, size=70, opacity=1, clip=True).encode(
            x=x, y=y, color=color, tooltip=[alt.Tooltip("arm:N"), alt.Tooltip("shown:N", title="rung")]),
    ]
    told = "; ".join(one["headline"] for one in found)
    return alt.layer(*layers).properties(width="container", height=340, description=f"Compute multipliers. {told}")


def _colors(count: int) -> list[str]:
    return [f"var(--arm-{i % marks.COLORS + 1})" for i in range(count)]


def _solid_and_dashed(curve, **encoding) -> list:
    """A line, dashed beyond the runs; the two meet in the last point among them."""
    return [curve.mark_line(strokeWidth=2, clip=True).transform_filter("!datum.beyond").encode(**encoding),
            curve.mark_line(strokeWidth=1.5, strokeDash=[5, 4], clip=True).transform_filter(
                "datum.beyond || datum.edge").encode(**encoding)]


def _edges(rows: list[dict], of: str = "") -> None:
    """Mark the points among the runs that are next to one beyond them."""
    for i, row in enumerate(rows):
        near = [other for other in rows[max(0, i - 1) : i + 2] if not of or other[of] == row[of]]
        row["edge"] = any(other["beyond"] for other in near)


def _curve(document: dict):
    import altair as alt

    lines = document.get("frontier") or document.get("curve")
    if not lines or "points" not in document:
        return None
    over = document.get("over", "flops")
    rows = [{"x": one.get("flops", one.get("x")), "value": one["nll"]["value"], "low": one["nll"]["low"],
             "high": one["nll"]["high"], "beyond": bool(one["extrapolated"])} for one in lines]
    _edges(rows)
    points = [{"x": x, "nll": one["nll"], "num_params": one["num_params"], "num_tokens": one["num_tokens"]}
              for one, x in zip(document["points"], document.get("x") or [one["flops"] for one in document["points"]],
                                strict=True)]
    title = {"flops": "compute, FLOP", "num_params": "parameters", "num_tokens": "tokens",
             "other_nll": "the other loss, nats/token"}[over]
    values = [row["x"] for row in rows + points]
    x = log_axis("x", title, values) if over != "other_nll" else alt.X(
        "x:Q", title=title, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=6))
    scale = alt.Scale(type="log", nice=False, padding=12)
    y = alt.Y("value:Q", title="nll, nats/token", scale=scale, axis=alt.Axis(format=".3~g", tickCount=6))
    curve = alt.Chart(alt.InlineData(values=rows))
    layers = []
    if rows[0]["low"] is not None:
        layers.append(curve.mark_area(opacity=0.16, color="var(--arm-1)").encode(
            x=x, y=alt.Y("low:Q", scale=scale, title="nll, nats/token"), y2="high:Q"))
    layers += [line.encode(color=alt.value("var(--arm-1)")) for line in _solid_and_dashed(curve, x=x, y=y)]
    layers.append(alt.Chart(alt.InlineData(values=points)).mark_point(
        filled=True, size=34, opacity=0.55, color="var(--arm-0)").encode(
            x=x, y=alt.Y("nll:Q", scale=scale, title="nll, nats/token"),
            tooltip=[alt.Tooltip("num_params:Q", format=".3~s"), alt.Tooltip("num_tokens:Q", format=".3~s"),
                     alt.Tooltip("nll:Q", format=".4f")]))
    return alt.layer(*layers).properties(width="container", height=340, description=(
        f"nll of {len(points)} runs against {title}, and {document['formula']} fitted to them"))


def _residuals(document: dict):
    import altair as alt

    points = document.get("points")
    if not points:
        return None
    rows = [{key: one[key] for key in ("flops", "residual", "num_params", "num_tokens")} for one in points]
    x = log_axis("flops", "compute, FLOP", [row["flops"] for row in rows])
    y = alt.Y("residual:Q", title="observed - fitted, nats/token", axis=alt.Axis(tickCount=5, labelExpr=marks.SIGNED))
    layers = [
        alt.Chart(alt.InlineData(values=[{}])).mark_rule(color="var(--ink)", strokeWidth=1).encode(y=alt.YDatum(0)),
        alt.Chart(alt.InlineData(values=rows)).mark_point(filled=True, size=34, opacity=0.55, color="var(--arm-2)")
        .encode(x=x, y=y, tooltip=[alt.Tooltip("num_params:Q", format=".3~s"),
                                   alt.Tooltip("num_tokens:Q", format=".3~s"),
                                   alt.Tooltip("residual:Q", format="+.4f")]),
    ]
    return alt.layer(*layers).properties(width="container", height=240, description=(
        f"Residuals of {len(rows)} runs against compute; root mean square "
        f"{document['residuals']['root_mean_square']:.3g} nats/token"))


def _parabolas(document: dict):
    import altair as alt

    points, lines, minima = [], [], []
    for i, budget in enumerate(document["budgets"][:MOST_BUDGETS]):
        sizes = [one["num_params"] for one in budget["points"]]
        points += [{"budget": i, "flops": budget["flops"], **one} for one in budget["points"]]
        low, high = math.log10(min(sizes)), math.log10(max(sizes))
        a, b, c = budget["curve"]
        for step in range(25):
            at = low + (high - low) * step / 24
            lines.append({"budget": i, "flops": budget["flops"], "num_params": 10**at, "nll": (a * at + b) * at + c})
        if not budget["problem"]:
            minima.append({"budget": i, "flops": budget["flops"], "num_params": budget["num_params"],
                           "nll": budget["nll"]})
    x = log_axis("num_params", "parameters", [row["num_params"] for row in points])
    y = alt.Y("nll:Q", title="nll, nats/token", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=6))
    detail = alt.Detail("budget:N")
    tips = [alt.Tooltip("flops:Q", format=".3~e"), alt.Tooltip("num_params:Q", format=".3~s"),
            alt.Tooltip("nll:Q", format=".4f")]
    layers = [
        alt.Chart(alt.InlineData(values=lines)).mark_line(strokeWidth=1.5, color="var(--arm-1)").encode(
            x=x, y=y, detail=detail),
        alt.Chart(alt.InlineData(values=points)).mark_point(filled=True, size=26, opacity=0.5, color="var(--arm-0)")
        .encode(x=x, y=y, tooltip=tips),
        alt.Chart(alt.InlineData(values=minima)).mark_point(
            shape="diamond", filled=True, size=90, opacity=1, color="var(--arm-2)").encode(x=x, y=y, tooltip=tips),
    ]
    return alt.layer(*layers).properties(width="container", height=380, description=(
        f"nll against parameters at {len(document['budgets'])} budgets, with parabolas and their minima"))
