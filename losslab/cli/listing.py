"""The runs of a store as a table: which columns, and how it fits a terminal."""

import os
import shutil
import sys
from collections.abc import Sequence

from losslab.records.choosing import COLUMNS, value
from losslab.tables import Column, Table
from losslab.words import printable

NARROWEST = {"loss": 14, "run": 16, "corpus": 8, "tags": 8, "condition": 6}  # columns that may be cut; numbers are not
COLOURS = {"finished": "32", "diverged": "31", "failed": "31", "unreadable": "31", "running": "33"}
NUMBERS = ("nll", "seed")


def table(runs: Sequence[dict], *, columns: int | None, colour: bool) -> str:
    """Lines with a heading; `columns` is the width of a terminal, None where nothing is to be cut."""
    titles = {key: key for key in ("status", "nll", "seed", "loss")}
    titles |= _differing(runs)
    titles |= {key: key for key in ("corpus", "condition", "tags", "run") if key != "tags" or
               any(run["tags"] for run in runs)}
    of = {}
    for run in runs:
        of.setdefault(run["corpus"], set()).add(run["digest"])
    runs = [run | {"corpus": f"{run['corpus']} {run['digest']}"} if len(of[run["corpus"]]) > 1 else run
            for run in runs]  # one name, several texts

    def column(key: str, title: str) -> Column:
        numbers = key not in COLUMNS and all(isinstance(value(run, key), int | float | None) for run in runs)
        return Column(title, right=key in NUMBERS or numbers, least=NARROWEST.get(key, 0))

    def paint(column: Column, cell: str) -> str:
        return f"\033[{COLOURS[cell]}m{cell}\033[0m" if column.title == "status" and cell in COLOURS else cell

    rows = [[_cell(key, value(run, key)) for key in titles] for run in runs]
    found = Table([column(key, title) for key, title in titles.items()], rows)
    return found.text(columns, paint=paint) if colour else found.text(columns)


def terminal() -> tuple[int | None, bool]:
    """Columns of the terminal that standard output is, None elsewhere, and whether it takes colours."""
    if not sys.stdout.isatty():
        return None, False
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return shutil.get_terminal_size((100, 24)).columns, not plain


def _differing(runs: Sequence[dict]) -> dict[str, str]:
    """Settings in which these runs differ -> the shortest title that names one alone."""
    settings = list({id(run["settings"]): run["settings"] for run in runs if run["status"] != "unreadable"}.values())
    keys = dict.fromkeys(key for own in settings for key in own if key != "data.corpus")  # that has a column
    differ = [key for key in keys if any(own.get(key) != settings[0].get(key) for own in settings)]
    last = [key.rpartition(".")[2] for key in differ]
    taken = [*last, *COLUMNS]
    return {key: printable(short if taken.count(short) == 1 else key) for key, short in zip(differ, last, strict=True)}


def _cell(key: str, found) -> str:
    if found is None or found == "":
        return "-"
    if key == "nll":
        return f"{found:.4f}"
    if isinstance(found, float):
        return f"{found:.6g}"
    if isinstance(found, list):
        return printable(",".join(map(str, found))) or "-"
    return printable(str(found))
