"""What a loss is, as one self-contained HTML file or as drawings. Takes the dictionary of an anatomy."""

import re
from pathlib import Path

from losslab import __version__
from losslab.report import anatomy_text, marks, page
from losslab.tables import Table, left

CHARTS = {
    "value": "Value against P(correct)",
    "gradient": "Norm of the gradient against P(correct)",
    "bias": "A truth, and the softmax of the minimizer",
}


def write(found: dict, path: str | Path) -> Path:
    """Write the page of an anatomy; return its path."""
    return page.save(path, html(found))


def html(found: dict, fill=page.filled) -> str:
    return fill(
        "anatomy.html.j2", found, charts(found), version=__version__, titles=CHARTS,
        findings=Table((left("finding"), left("")), anatomy_text.findings(found)), proper=anatomy_text.proper(found),
        tables=[("where training ends", anatomy_text.ends(found)), *anatomy_text.tables(found)],
    )


def drawings(found: dict) -> dict[str, str]:
    """Chart -> SVG that stands alone, in the colors of the page for light and for dark."""
    style = (page.HERE / "page.css").read_text("utf-8")
    colors = "\n".join(re.findall(r"^(?::root|@media screen and \(prefers-color-scheme: dark\)) \{.*?^\}", style,
                                  flags=re.MULTILINE | re.DOTALL))
    return {name: re.sub(r"(<svg[^>]*>)", rf"\1<style>{colors} svg {{ background: var(--paper) }}</style>",
                         page.still(spec), count=1) for name, spec in charts(found).items()}


def charts(found: dict) -> dict[str, dict]:
    """Name -> specification; colors are variables of the page."""
    three = [one for one in found["minimizers"] if len(one["truth"]) == 3]
    made = {"bias": _bars(found, three)} if three else {}
    if found["curves"]:
        made |= {"value": _curve(found, "value", "value"),
                 "gradient": _curve(found, "gradient_norm", "norm of the gradient")}
    return {name: marks.plain(made[name]) for name in CHARTS if name in made}


def _curve(found: dict, key: str, title: str):
    import altair as alt

    rows = [{"classes": f"{curve['vocab_size']:,} classes", "p": p, "shown": value, "slope": slope}
            for curve in found["curves"]
            for p, value, slope in zip(curve["p_correct"], curve[key], curve["target_gradient"], strict=True)
            if value is not None and p is not None]
    names = [f"{curve['vocab_size']:,} classes" for curve in found["curves"]]
    tips = [alt.Tooltip("classes:N"), alt.Tooltip("p:Q", title="P(correct)", format=".3f"),
            alt.Tooltip("shown:Q", title=title, format=".4g"),
            alt.Tooltip("slope:Q", title="d value / d target logit", format=".4g")]
    x = alt.X("p:Q", title="P(correct)", scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(tickCount=5))
    y = alt.Y("shown:Q", title=title)
    base = alt.Chart(alt.InlineData(values=rows))
    line = base.mark_line(strokeWidth=2).encode(
        x=x, y=y, color=_colored("classes", names, [1, 2, 3], "stroke"), strokeDash=alt.StrokeDash(
            "classes:N", legend=_legend("stroke"), scale=alt.Scale(domain=names, range=[[], [6, 3], [2, 2]])))
    # points that nobody sees answer the pointer anywhere near the line
    touch = base.mark_point(size=60, filled=True, opacity=0).encode(x=x, y=y, tooltip=tips)
    return alt.layer(line, touch).properties(
        width="container", height=280, description=f"{title} of {found['inspected']} against P(correct), "
        f"at {', '.join(names)}")


def _bars(found: dict, shown: list[dict]):
    import altair as alt

    names = ["truth", "softmax of the minimizer"]
    if not shown[0]["found"]:
        names[1] = "where training was last"
    rows = [{"truth": f"truth {i + 1}", "class": "abc"[k], "of": name, "p": one[key][k]}
            for i, one in enumerate(shown) for key, name in zip(("truth", "softmax"), names, strict=True)
            for k in range(3) if one[key][k] is not None]
    for row in rows:
        row["place"] = f"{row['truth']} {row['class']}"
    x = alt.X("place:N", title="class a, b, c of three truths", sort=None,
              axis=alt.Axis(labelExpr="slice(datum.value, -1)", labelAngle=0))
    y = alt.Y("p:Q", title="probability", scale=alt.Scale(domain=[0, 1]))
    tips = [alt.Tooltip("truth:N"), alt.Tooltip("class:N"), alt.Tooltip("of:N"), alt.Tooltip("p:Q", format=".4f")]
    bars = alt.Chart(alt.InlineData(values=rows)).mark_bar(cornerRadiusEnd=2).encode(
        x=x, xOffset=alt.XOffset("of:N", sort=names), y=y, color=_colored("of", names, [0, 2], "square"), tooltip=tips)
    told = "; ".join(f"{row['place']}, {row['of']}: {row['p']:.3f}" for row in rows)
    return bars.properties(width="container", height=260, description=f"Truth and minimizer of {found['inspected']}. "
                           f"{told}")


def _colored(field: str, names: list[str], arms: list[int], symbol: str):
    import altair as alt

    scale = alt.Scale(domain=names, range=[f"var(--arm-{arm})" for arm in arms[:len(names)]])
    return alt.Color(f"{field}:N", scale=scale, legend=_legend(symbol))


def _legend(symbol: str):
    """The same for the color and the dashes of a line: so it is one legend, and shows both."""
    import altair as alt

    return alt.Legend(orient="top", title=None, labelColor="var(--ink)", labelFontSize=12, symbolType=symbol,
                      symbolStrokeWidth=3)
