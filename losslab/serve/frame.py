"""Templates -> answers: the pages of `report` and those of this folder, within the frame of the live page."""

import csv
import hashlib
import io
import json
import math
import re
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from urllib.parse import quote, urlencode

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from losslab import __version__
from losslab.escaping import CONTROL_IN_LINES, cell
from losslab.report import marks, page, words

HERE = Path(__file__).parent
FORMS = {"svg": "image/svg+xml", "png": "image/png", "csv": "text/csv; charset=utf-8",
         "json": "application/json"}
WIDTH = 760  # pixels of an exported chart
SHARPER = 2  # times as many pixels in a PNG
LIGHT = re.compile(r"--([\w-]+): (#\w{6})")
NAVIGATION = (("/", "Runs"), ("/tuning", "Tuning"), ("/ladders", "Ladders"), ("/metrics", "Metrics"),
              ("/boards", "Boards"), ("/losses", "Losses"), ("/tools", "Tools"), ("/lesson", "Lesson"))


class Gone(Exception):
    """What was asked for is not to be had; one sentence that says what would do.

    Args:
        sentence: for the reader.
        status: of the answer.
        choices: what may have been meant: a text, and the values of the query that say it.
    """

    def __init__(self, sentence: str, status: int = 404, choices: Sequence[tuple[str, dict[str, str]]] = ()):
        super().__init__(sentence)
        self.status, self.choices = status, choices


def fill(request: Request, *, draws: bool = True, **more):
    """What `report` calls to make a page: takes a template, a document, its charts and values; gives an answer.

    Where the address asks for it with `draw=NAME.svg`, a chart is given in place of the page: as `svg`, `png`, `csv`
    (its data) or `json` (its specification).

    Args:
        request: that is answered.
        draws: whether a chart is given where the address asks for it.
        more: values of the frame: `section` (an address of the navigation), `watch` (addresses of runs), `lists`
            (whether any change is one of the page), `waits` (names of stores) and `ends`, as `live.Watch` has them,
            `status`.
    """
    def filled(template: str, document: dict, drawn: dict[str, dict], **values) -> Response:
        if draws and (asked := request.query_params.get("draw")):
            return drawing(asked, drawn)
        text = environment().get_template(template).render(
            {"section": "", "trail": [], "live": _live(**more), **more, "version": __version__, **values},
            document=document, words=words,
            charts={name: _still(request, name, spec) for name, spec in drawn.items()},
            charts_json=Markup(page.embedded(drawn)), frame="live.html.j2", alone=False, here=quote(request.url.path),
            navigation=NAVIGATION, form_key=request.scope.get("losslab.form_key", ""), assets=assets(),
        )
        return HTMLResponse(text.encode("utf-8", "replace"), more.get("status", 200))
    return filled


def _live(watch: Sequence[str] = (), lists: bool = False, waits: Sequence[str] = (), ends: bool = False, **_) -> str:
    """The address of the stream of a page; nothing where nothing of it changes by itself."""
    if not (watch or lists or waits):
        return ""
    query = [("runs", ",".join(watch)), *([("all", 1)] if lists else []), *(("store", name) for name in waits),
             *([("end", 1)] if ends else [])]
    return f"/live?{urlencode(query)}"


@cache
def environment():
    found = page.environment(HERE / "templates")
    found.finalize = _clean
    breakable = found.filters["breakable"]
    found.filters |= {"log10": math.log10, "breakable": lambda name: breakable(_clean(name))}
    return found


def _clean(value):
    """Without characters that hide, turn or move text; a run may be named by anybody."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return re.sub(CONTROL_IN_LINES, "\ufffd", value)
    return value


def _still(request: Request, name: str, spec: dict) -> Markup:
    """The chart for readers without scripts: a picture that this server draws."""
    return Markup('<img src="{}" alt="{}">').format(draw_address(request, f"{name}.svg"), spec.get("description", name))


def draw_address(request: Request, name: str) -> str:
    return address_with(request, {"draw": name})


def address_with(request: Request, values: dict[str, str]) -> str:
    """The address that is answered, with other values of its query."""
    query = [pair for pair in request.query_params.multi_items() if pair[0] not in values and pair[0] != "draw"]
    return f"{quote(request.url.path)}?{urlencode([*query, *values.items()])}"


# --- what is taken along -----------------------------------------------------------------------

def drawing(asked: str, drawn: dict[str, dict]) -> Response:
    """A chart as a file.

    Raises:
        Gone: for a chart that this page does not have, or another form.
    """
    name, _, form = asked.rpartition(".")
    if name not in drawn or form not in FORMS:
        raise Gone(f"this page has no drawing {asked[:60]}; it has {', '.join(drawn) or 'none'}, each as "
                   f"{', '.join(FORMS)}")
    spec = drawn[name]
    match form:
        case "csv":
            made = data(spec).encode()
        case "json":
            made = json.dumps(spec).encode()
        case "svg":
            made = colored(page.still(_sized(spec))).encode()
        case _:
            import vl_convert

            made = vl_convert.svg_to_png(colored(page.still(_sized(spec))), scale=SHARPER)
    return Response(made, media_type=FORMS[form], headers={
        "content-disposition": f'inline; filename="losslab-{re.sub("[^a-z0-9-]+", "-", name.lower())}.{form}"',
        "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"})  # of a lone drawing


def _sized(spec: dict) -> dict:
    return {**spec, "width": WIDTH}


def colored(svg: str) -> str:
    """An SVG with the colors of paper in the place of the variables of a page."""
    light = (page.HERE / "page.css").read_text("utf-8").partition("@media")[0]
    colors = dict(LIGHT.findall(light))
    return re.sub(r"var\(--([\w-]+)\)", lambda found: colors.get(found[1], "#000000"), svg)


def data(spec: dict) -> str:
    """The longest data of a chart as CSV."""
    found = [*spec.get("datasets", {}).values(), *_values(spec)]
    rows = max((rows for rows in found if isinstance(rows, list)), key=len, default=[])
    rows = [row for row in rows if isinstance(row, dict)]
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: cell(value) for key, value in row.items()} for row in rows)
    return out.getvalue()


def _values(part):
    if isinstance(part, dict):
        if isinstance(part.get("data"), dict) and "values" in part["data"]:
            yield part["data"]["values"]
        for inner in part.values():
            yield from _values(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _values(inner)


# --- files of the page -------------------------------------------------------------------------

STATIC = {"live.css": "text/css; charset=utf-8", "live.js": "text/javascript; charset=utf-8",
          "icon.svg": "image/svg+xml", "charts.js": "text/javascript; charset=utf-8"}


@cache
def static(name: str) -> bytes:
    """A file that pages load, by its name in `STATIC`: these are all that are served by name."""
    if name == "charts.js":
        return _bundled()
    own = (HERE / "static" / name).read_bytes()
    return (page.HERE / "page.css").read_bytes() + own if name == "live.css" else own


def _bundled() -> bytes:
    """What draws charts. To put it together takes a second or two, in which no page would be answered here."""
    code = "import sys; from losslab.report import page; sys.stdout.buffer.write(page.bundle().encode())"
    done = subprocess.run([sys.executable, "-P", "-c", code], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    return done.stdout if done.returncode == 0 else page.bundle().encode()


@cache
def assets() -> str:
    """Changes with the files, so that a browser may keep each as long as it likes."""
    own = b"".join(static(name) for name in STATIC if name != "charts.js")
    return hashlib.sha256(own + metadata.version("vl-convert-python").encode()).hexdigest()[:16]


def plain(chart: dict) -> dict:
    """A specification written by hand, with the fonts and colors of all charts."""
    return marks.finished(chart)
