"""Pieces of HTML that a notebook shows: a sentence, a table, a drawing. They hold no script and change no style."""

import base64
from typing import TYPE_CHECKING, Any

from losslab.tables import Table

if TYPE_CHECKING:
    import altair
    import pandas


def text(words: str, tag: str = "p") -> str:
    """One paragraph of plain text."""
    from markupsafe import escape

    return f"<{tag}>{escape(words)}</{tag}>"


def table(made: Table, label: str) -> str:
    """A table as on a page."""
    from losslab.report.page import environment

    return str(environment().get_template("tables.html.j2").module.table(made, label))


def drawing(spec: dict[str, Any], *, legend: bool) -> str:
    """A chart of a page as an image that says what it shows: its colors are its own, and it stands on white."""
    from markupsafe import escape

    from losslab.report import figures

    drawn = figures.figure(spec, legend=legend)
    data = base64.b64encode(figures.svg(drawn).encode()).decode()
    return f'<img alt="{escape(spec["description"])}" src="data:image/svg+xml;base64,{data}">'


def chart(spec: dict[str, Any], *, legend: bool) -> "altair.TopLevelMixin":
    """A chart of a page as one of Altair's, to be looked at, changed or saved."""
    import altair

    from losslab.report import figures

    return altair.Chart.from_dict(figures.figure(spec, legend=legend))


def frame(rows: list[dict[str, object]]) -> "pandas.DataFrame":
    """Rows as a data frame.

    Raises:
        ModuleNotFoundError: where pandas is not installed.
    """
    try:
        import pandas
    except ModuleNotFoundError:
        raise ModuleNotFoundError("to_pandas() makes a data frame of pandas, which is not installed; `pip install "
                                  "pandas`, or take .table(), which is plain Python", name="pandas") from None
    return pandas.DataFrame(rows)
