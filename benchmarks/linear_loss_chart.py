"""The chart of benchmarks/linear_loss.py: time relative to naive cross-entropy, one panel per size.

    python benchmarks/linear_loss_chart.py docs/results/linear-loss-cpu.csv
"""

import csv
import sys
from pathlib import Path


def draw(path: Path) -> Path:
    """Write the chart of a CSV next to it, as SVG."""
    import altair as alt
    import vl_convert

    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    values = [{"size": f"{row['tokens']} tokens, width {row['width']}, vocabulary {row['vocab']}",
               "contestant": row["contestant"], **{key: float(row[key]) for key in ("ratio", "ratio_q1", "ratio_q3")},
               "kind": kind(row["contestant"])} for row in rows]  # fmt: skip
    order = list(dict.fromkeys(row["contestant"] for row in values))
    base = alt.Chart(alt.InlineData(values=values))
    title, scale = "time / naive cross-entropy's time (log scale)", alt.Scale(type="log", nice=False)
    x = alt.X("ratio:Q", scale=scale, title=title)
    y = alt.Y("contestant:N", sort=order, title=None, axis=alt.Axis(labelLimit=260))
    color = alt.Color("kind:N", title=None, scale=alt.Scale(
        domain=["PyTorch", "ours, streamed", "ours, dense"], range=["#6b7280", "#0b67a8", "#b45309"]))
    layers = [
        base.mark_rule(strokeWidth=2).encode(
            x=alt.X("ratio_q1:Q", scale=scale, title=title), x2="ratio_q3:Q", y=y, color=color),
        base.mark_point(filled=True, size=45, opacity=1).encode(x=x, y=y, color=color),
        base.mark_rule(color="#9ca3af", strokeDash=[4, 3]).encode(x=alt.datum(1)),
    ]
    chart = alt.layer(*layers).properties(width=330, height=15 * len(order)).facet(
        alt.Facet("size:N", sort=list(dict.fromkeys(row["size"] for row in values)), title=None), columns=2)
    target = path.with_suffix(".svg")
    spec = chart.configure(background="white", font="system-ui, sans-serif").to_dict()
    target.write_text(vl_convert.vegalite_to_svg(spec), encoding="utf-8")
    return target


def kind(name: str) -> str:
    if name.startswith(("naive", "native")):
        return "PyTorch"
    return "ours, dense" if name in ("entmax15", "margin_distillation") else "ours, streamed"


if __name__ == "__main__":
    draw(Path(sys.argv[1]))
