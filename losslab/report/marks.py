"""How an arm looks in every chart, and the pieces that charts are made of."""

from losslab import escaping

SHAPES = ("circle", "square", "triangle-up", "diamond", "triangle-down", "cross")
DASHES = ([], [6, 3], [2, 2], [8, 3, 2, 3], [10, 4], [4, 2, 1, 2])
COLORS = 6  # --arm-1 ... --arm-6; the baseline is --arm-0, in ink
ROW = 46  # pixels of one arm
BAND = "max(width * 0.36, min(150, width * 0.44))"  # pixels of the names of arms; on a phone nearly half
FONT = "system-ui, sans-serif"
NUMBER = "format(datum.value, '~g')"  # as a format of the axis, ~g would keep too few digits: 1e+1 for 10
SIGNED = "datum.value === 0 ? '0' : format(datum.value, '+~g')"
BEYOND = 8.0  # an arm this many times further out than the one before it would flatten all others
CONFIG = {
    "background": "transparent", "font": FONT, "autosize": {"type": "fit-x", "contains": "padding"},
    "view": {"stroke": None, "continuousWidth": 300, "continuousHeight": 300},
    "axis": {
        "domainColor": "var(--rule)", "gridColor": "var(--rule)", "tickColor": "var(--rule)",
        "labelColor": "var(--muted)", "titleColor": "var(--muted)", "labelFontSize": 11.5, "titleFontSize": 12,
        "titleFontWeight": "normal", "titlePadding": 10, "gridOpacity": 0.7, "labelFlush": False, "labelOverlap": True,
    },
}  # fmt: skip


def styles(document: dict) -> dict[str, dict]:
    """Arm -> color, shape and dash, the same in every chart; neighbors differ in all three."""
    found, index = {}, 0
    for name in sorted(arm["name"] for arm in document["arms"]):
        if name == document["baseline"]:
            found[name] = {"color": "var(--arm-0)", "shape": SHAPES[0], "dash": DASHES[0]}
            continue
        index += 1
        found[name] = {  # six colors against five shapes: thirty arms before two look alike
            "color": f"var(--arm-{(index - 1) % COLORS + 1})",
            "shape": SHAPES[(index - 1) % (len(SHAPES) - 1) + 1],
            "dash": DASHES[(index - 1) % (len(DASHES) - 1) + 1],
        }
    return found


def beyond(document: dict) -> list[str]:
    """Arms so far from the baseline that a scale that shows them shows nothing else."""
    distances = sorted((abs(arm["difference"]["value"]), arm["name"]) for arm in document["arms"] if arm["difference"])
    reach = max(document["noise_band"] or 0, document["margin"])
    for i, (distance, _) in enumerate(distances):
        if distance > BEYOND * reach and i:
            return [name for _, name in distances[i:]]
        reach = max(reach, distance)
    return []


# --- pieces of charts ---------------------------------------------------------------------------

def rows_axis(count: int, head: float = 0.5):
    """One row per arm, the first below `head` empty rows."""
    import altair as alt

    return alt.Y("row:Q", scale=alt.Scale(domain=[count - 0.5, -head], nice=False, zero=False), axis=None)


def next_to_names(**options):
    """The scale of a chart with one row per arm: its names and numbers stand to the left, where nothing is drawn."""
    import altair as alt

    return alt.Scale(rangeMin=alt.expr(f"{BAND} + 14"), rangeMax=alt.expr("width"), nice=False, **options)


def names(base, y, field: str) -> list:
    """The name of each arm and its number below it, on both sides of the height of its marker."""
    import altair as alt

    def lines(text: str, color: str, size: float, **place):
        mark = base.mark_text(align="left", fontSize=size, limit=alt.expr(BAND), color=f"var(--{color})", **place)
        return mark.encode(x=alt.value(0), y=y, text=f"{text}:N")

    return [lines("loss", "ink", 12.5, baseline="bottom", dy=1), lines(field, "muted", 12, baseline="top", dy=3)]


def direction(text: str, side: str, dx: int):
    import altair as alt

    return alt.Chart(alt.InlineData(values=[{}])).mark_text(
        text=text, align="left" if side == "right" else "right", baseline="top", dx=-dx * 2, dy=4, fontSize=11,
        color="var(--muted)",
    ).encode(x=alt.XDatum(0), y=alt.value(0))


def by_arm(document: dict):
    return _mapped(document, "color", "Color")


def by_shape(document: dict):
    return _mapped(document, "shape", "Shape")


def by_dash(document: dict):
    return _mapped(document, "dash", "StrokeDash")


def _mapped(document: dict, style: str, channel: str):
    import altair as alt

    found = styles(document)
    scale = alt.Scale(domain=list(found), range=[look[style] for look in found.values()])
    return getattr(alt, channel)("arm:N", scale=scale, legend=None)


def sized(chart, count: float, description: str):
    return chart.properties(width="container", height=round(ROW * count), description=description)


def plain(chart) -> dict:
    """The chart as a dictionary with the page's fonts and colors, and without the address of a schema."""
    spec = chart.to_dict()
    spec.pop("$schema", None)
    return finished(spec)


def finished(spec: dict) -> dict:
    """A specification with the page's fonts and colors."""
    return _printable({**spec, "config": {**spec.get("config", {}), **CONFIG}})


def _printable(part):
    """Without control characters: the program that draws ends at once, with all its process, where a text has one."""
    if isinstance(part, dict):
        return {key: _printable(value) for key, value in part.items()}
    if isinstance(part, list):
        return [_printable(value) for value in part]
    return escaping.plain(part) if isinstance(part, str) else part
