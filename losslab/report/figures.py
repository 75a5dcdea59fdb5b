"""A document as files for a paper: each chart as SVG and PNG, each table as CSV, Markdown and LaTeX, and the words."""

import copy
import os
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
CHARTS = ("differences", "curves", "gaps", "finals", "speed", "perplexities", "tuning")  # all that there may be
TABLES = ("arms", "every-arm", "seeds", "scores", "costs", "curves", "perplexities", "signals", "settings", "matching",
          "published", "tuning", "trials", "fine-tuning")
ALWAYS = ("numbers.csv", "verdict.txt", "METHODS.md")  # a folder with all three has figures
WITH_LEGEND = ("curves", "gaps", "perplexities", "tuning")  # the others name each arm next to its mark


def write(document: dict, folder: str | Path) -> list[Path]:
    """Write the figures of a comparison into a folder, which is made where it is missing.

    Args:
        document: of `report.document`.
        folder: earlier figures in it are replaced; those that this comparison does not have are taken away.

    Returns:
        the files: `NAME.svg` and `NAME.png` of each chart; `NAME.csv`, `NAME.md` and `NAME.tex` of each table;
        `numbers.csv`, `verdict.txt` and `METHODS.md`.

    Raises:
        ValueError: as for `place`.
    """
    folder = place(folder)
    files: dict[str, str | bytes] = dict.fromkeys(ALWAYS, "")  # written first: they say whose the others are
    for chart, spec in charts(document).items():
        drawn = figure(spec, legend=chart in WITH_LEGEND)
        files |= {f"{chart}.svg": svg(drawn), f"{chart}.png": png(drawn)}
    for stem, table in tables(document).items():
        files |= {f"{stem}.csv": table.csv(), f"{stem}.md": f"{table.markdown()}\n",
                  f"{stem}.tex": f"{BOOKTABS}{table.latex()}\n"}
    files |= {"numbers.csv": numbers.csv(document), "verdict.txt": f"{plain(document['verdict'])}\n",
              "METHODS.md": methods.markdown(document)}
    assert files.keys() <= {*names()}, "a chart or table that no list names would stay in the folder"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in names():
            if file not in files:
                (folder / file).unlink(missing_ok=True)
        for file, text in files.items():
            (folder / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    except OSError as error:
        raise ValueError(f"cannot write the figures into {folder}: {error.strerror}; give a writable place") from None
    return [folder / file for file in files]


def place(folder: str | Path) -> Path:
    """The folder of figures, as far as can be known before anything is computed: all files can be written there.

    Raises:
        ValueError: for the path of a file, or below one; a folder that cannot be written; or one with files of the
            names of figures that losslab did not write.
    """
    folder = Path(folder)
    nearest = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), Path())
    if nearest == folder and not os.path.isdir(folder):
        raise ValueError(f"{folder} is a file, and figures are many files; give a folder, such as "
                         f"{folder.stem}-figures")
    if not os.path.isdir(nearest):
        raise ValueError(f"the figures cannot be written into {folder}, because {nearest} is a file; give another "
                         "folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ValueError(f"the figures cannot be written into {folder}, because {nearest} is not writable for you; "
                         "give another folder")
    there = [file for file in names() if os.path.lexists(folder / file)]
    for file in there:
        if os.path.islink(folder / file) or not os.path.isfile(folder / file):
            raise ValueError(f"{folder / file} is no plain file, and a figure would be written there; take it away, or "
                             "give another folder")
        if not os.access(folder / file, os.W_OK):
            raise ValueError(f"{folder / file} is not writable for you, and a figure would be written there; take it "
                             "away, or give another folder")
    if there and not {*ALWAYS} <= {*there}:
        raise ValueError(f"{folder / there[0]} would be written over, and {folder} is no folder of earlier figures; "
                         f"give another folder, such as {folder / 'figures'}")
    return folder


def names() -> list[str]:
    """Every file that figures may have."""
    return [*ALWAYS, *(f"{stem}.{form}" for stem in CHARTS for form in ("svg", "png")),
            *(f"{stem}.{form}" for stem in TABLES for form in ("csv", "md", "tex"))]


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
