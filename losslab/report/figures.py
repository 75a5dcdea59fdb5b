"""A document as files for a paper: each chart as SVG and PNG, each table as CSV, Markdown and LaTeX, and the words."""

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from losslab.escaping import plain
from losslab.report import arm_tables, fine_tuning, match, methods, numbers, published, signals, summary, tuning, words
from losslab.report.charts import charts
from losslab.report.page import HERE
from losslab.tables import Table, left, name

WIDTH = 640  # pixels of a chart in SVG
SCALE = 2  # pixels of a PNG for one of the SVG: 370 an inch over a column of 3.5 inches
BOOKTABS = "% Goes into a table or table*; the preamble takes \\usepackage{booktabs}.\n"
WITH_LEGEND = ("curves", "gaps", "perplexities", "tuning")  # the others name each arm next to its mark


def write(document: dict, folder: str | Path) -> list[Path]:
    """Write the figures of a comparison into a folder, which is made where it is missing.

    Args:
        document: of `report.document`.
        folder: files of earlier figures in it are written over.

    Returns:
        the files: `NAME.svg` and `NAME.png` of each chart; `NAME.csv`, `NAME.md` and `NAME.tex` of each table;
        `numbers.csv`, `verdict.txt` and `METHODS.md`.

    Raises:
        ValueError: for a folder that cannot be written, such as the path of a file.
    """
    folder = place(folder)
    files: dict[str, str | bytes] = {}
    for chart, spec in charts(document).items():
        drawn = figure(spec, legend=chart in WITH_LEGEND)
        files |= {f"{chart}.svg": svg(drawn), f"{chart}.png": png(drawn)}
    for stem, table in tables(document).items():
        files |= {f"{stem}.csv": table.csv(), f"{stem}.md": f"{table.markdown()}\n",
                  f"{stem}.tex": f"{BOOKTABS}{table.latex()}\n"}
    files |= {"numbers.csv": numbers.csv(document), "verdict.txt": f"{plain(document['verdict'])}\n",
              "METHODS.md": methods.markdown(document)}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (folder / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    except OSError as error:
        raise ValueError(f"cannot write the figures into {folder}: {error.strerror}; give a writable place") from None
    return [folder / file for file in files]


def place(folder: str | Path) -> Path:
    """The folder of figures.

    Raises:
        ValueError: where it is a file.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file, and figures are many files; give a folder, such as "
                         f"{folder.stem}-figures")
    return folder


def tables(document: dict) -> dict[str, Table]:
    """Name -> table; those without a row are left out."""
    found = {
        "arms": arm_tables.arms(document, [*document["arms"], *document["others"]], page=True),
        "every-arm": summary.table(document), "seeds": arm_tables.seeds(document),
        "scores": arm_tables.scores(document), "costs": arm_tables.costs(document),
        "curves": arm_tables.curves(document), "perplexities": arm_tables.quantiles(document),
        "signals": signals.summary(document), "settings": settings(document),
    }
    if document["matching"]:
        found["matching"] = match.table(document["matching"])
    if document["published"]:
        found["published"] = published.table(document)
    if tuning.tuned(document):
        found |= {"tuning": tuning.summary(document), "trials": tuning.trials(document)}
    if fine_tuning.told(document):
        found["fine-tuning"] = fine_tuning.table(document)
    return {stem: table for stem, table in found.items() if table.rows}


def settings(document: dict) -> Table:
    """The settings that all arms share, and the environment."""
    found = {**document["settings"], **document["environment"]}
    rows = [(str(key), words.value(value)) for key, value in found.items()]
    return Table((name("setting"), left("value")), rows)


# --- charts ------------------------------------------------------------------------------------

def figure(spec: dict, *, legend: bool = False, width: int = WIDTH) -> dict:
    """A chart of a page as it stands alone: on white, in colors in the place of the page's variables.

    Args:
        spec: of `charts.charts`.
        legend: whether the lines are named above the chart, as the page does beside it.
        width: in pixels.
    """
    drawn = resolved(copy.deepcopy(spec), colors())
    drawn["width"] = width
    drawn["config"]["background"] = "white"
    drawn["config"]["axis"] |= {"gridColor": colors()["band"], "gridOpacity": 1}  # a layer for each line takes seconds
    if "layer" in drawn:  # points that only answer a pointer are left out: each would be drawn, and takes seconds
        drawn["layer"] = [layer for layer in drawn["layer"] if layer["mark"].get("opacity") != 0]
    if legend:
        for layer in drawn.get("layer", [drawn]):
            for channel in ("color", "strokeDash"):
                if (found := layer.get("encoding", {}).get(channel, {})).get("field") == "arm":
                    found |= {"legend": {"orient": "top", "title": None, "labelLimit": width // 2, "columns": 2,
                                         "symbolSize": 300, "symbolStrokeWidth": 2, "symbolOpacity": 1,
                                         "symbolType": "stroke", "labelColor": colors()["ink"]}}
    return drawn


def colors() -> dict[str, str]:
    """Name of a variable of the page -> its color on paper."""
    light = re.search(r":root \{(.*?)\n\}", (HERE / "page.css").read_text("utf-8"), flags=re.DOTALL)
    assert light is not None
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", light[1]))


def resolved(part: Any, known: Mapping[str, str]) -> Any:
    """A specification with colors for `var(--name)`."""
    if isinstance(part, dict):
        return {key: resolved(value, known) for key, value in part.items()}
    if isinstance(part, list):
        return [resolved(value, known) for value in part]
    return re.sub(r"var\(--([\w-]+)\)", lambda found: known[found[1]], part) if isinstance(part, str) else part


def svg(drawn: dict) -> str:
    import vl_convert

    return vl_convert.vegalite_to_svg(drawn)


def png(drawn: dict) -> bytes:
    import vl_convert

    return vl_convert.vegalite_to_png(drawn, scale=SCALE)
