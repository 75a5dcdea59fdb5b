"""One table for terminals, files and pages: columns with a heading, a unit and a side, and rows of cells.

`Table.text`, `markdown`, `latex` and `csv` print it here; `report/tables.html.j2` does on a page.
"""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from losslab import escaping
from losslab.escaping import code, escape, latex, latex_code
from losslab.words import both_ends, printable, width

Cell = str | tuple[str, ...]  # of a tuple the first stands large, the others below it, or behind it where that is all


@dataclass(frozen=True)
class Column:
    """One column.

    Args:
        title: its heading.
        unit: of its numbers; in the heading behind a comma, on a page below the title.
        right: whether cells end below each other, as numbers do.
        least: the width to which it may be cut where a terminal is narrow; 0 where its cells are shown whole.
        code: whether its cells are names that Markdown shows as code.
    """

    title: str
    unit: str = ""
    right: bool = True
    least: int = 0
    code: bool = False

    @property
    def heading(self) -> str:
        return f"{self.title}, {self.unit}" if self.unit else self.title


def name(title: str, least: int = 0) -> Column:
    """The column that names a row: to the left, and as code."""
    return Column(title, right=False, least=least, code=True)


def left(title: str) -> Column:
    """A column of words."""
    return Column(title, right=False)


@dataclass(frozen=True)
class Table:
    """Rows of text below columns.

    Example:
        >>> print(Table((left("loss"), Column("nll", "nats/token")), [("mse", "1.5"), ("brier", "11.25")]).text())
        loss   nll, nats/token
        mse                1.5
        brier            11.25
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]

    def only(self, *titles: str) -> "Table":
        """The same with these columns alone."""
        kept = [i for i, column in enumerate(self.columns) if column.title in titles]
        return Table([self.columns[i] for i in kept], [[row[i] for i in kept] for row in self.rows])

    def text(
        self, columns: int | None = None, *, heading: bool = True, rule: bool = False, indent: str = "",
        paint: Callable[[Column, str], str] = lambda column, cell: cell,
    ) -> str:
        """Aligned lines for a terminal, two columns between cells.

        Args:
            columns: of the terminal; columns that may be cut are, the widest first, until a line fits or none can.
            heading: whether the titles stand above.
            rule: whether a line stands below them.
            indent: before each line.
            paint: adds what has no width, such as a color, to a cell.
        """
        lines = [[printable(column.heading) for column in self.columns]] if heading else []
        lines += [[printable(_joined(cell)) for cell in row] for row in self.rows]
        widths = [max(map(width, cells)) for cells in zip(*lines, strict=True)]
        if columns:
            self._fit(widths, columns - len(indent))
        shown = []
        for number, line in enumerate(lines):
            cells = []
            for column, cell, wide in zip(self.columns, line, widths, strict=True):
                cell = both_ends(cell, wide)
                space = " " * (wide - width(cell))
                cell = paint(column, cell) if number or not heading else cell
                cells.append(space + cell if column.right else cell + space)
            shown.append((indent + "  ".join(cells)).rstrip())
        if rule:
            shown.insert(1, indent + "-" * (sum(widths) + 2 * (len(widths) - 1)))
        return "\n".join(shown)

    def _fit(self, widths: list[int], columns: int) -> None:
        for i in sorted(range(len(widths)), key=lambda i: -widths[i]):
            over, least = sum(widths) + 2 * (len(widths) - 1) - columns, self.columns[i].least
            if least and over > 0:
                widths[i] = max(min(least, widths[i]), widths[i] - over)

    def markdown(self) -> str:
        """Lines of a Markdown table; every cell reads as it is and is no markup."""
        forms = [code if column.code else escape for column in self.columns]
        rows = [[form(_joined(cell)) for form, cell in zip(forms, row, strict=True)] for row in self.rows]
        heading = [escape(column.heading) for column in self.columns]
        return "\n".join(f"| {' | '.join(row)} |" for row in [heading, ["---"] * len(heading), *rows])

    def latex(self) -> str:
        """A `tabular` with the rules of booktabs, to be put into a `table`; every cell reads as it is."""
        forms = [latex_code if column.code else latex for column in self.columns]
        rows = [[form(_joined(cell)) for form, cell in zip(forms, row, strict=True)] for row in self.rows]
        heading, *body = [f"{' & '.join(row)} \\\\" for row in [[latex(c.heading) for c in self.columns], *rows]]
        sides = "".join("r" if column.right else "l" for column in self.columns)
        return "\n".join([rf"\begin{{tabular}}{{{sides}}}", r"\toprule", heading, r"\midrule", *body, r"\bottomrule",
                          r"\end{tabular}"])

    def csv(self) -> str:
        """Comma-separated values, the heading first; a cell is quoted where it has to be, and none is a formula."""
        out = io.StringIO()
        rows = [[column.heading for column in self.columns], *([_joined(cell) for cell in row] for row in self.rows)]
        csv.writer(out, lineterminator="\n").writerows(map(escaping.cell, row) for row in rows)
        return out.getvalue()


def pairs(found: Iterable[tuple[object, str]], indent: str = "  ") -> str:
    """Names and their values, a line each."""
    return Table((left(""), left("")), [(str(one), value) for one, value in found]).text(heading=False, indent=indent)


def _joined(cell: Cell) -> str:
    return cell if isinstance(cell, str) else f"{cell[0]} ({', '.join(cell[1:])})" if len(cell) > 1 else cell[0]
