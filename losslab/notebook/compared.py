"""A comparison in Python: what `losslab compare` says, as an object that a notebook shows."""

from dataclasses import fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from losslab import comparison
from losslab.config.numbers import shown as quoted
from losslab.notebook import shown
from losslab.words import nearest

if TYPE_CHECKING:
    import altair
    import pandas


class Comparison(comparison.Comparison):
    """Conditions over the same seeds, the verdict on them, and ways to look at both.

    `verdict` is the sentence, `arm(name)` one arm with its `difference`, `warnings` what to know before believing it.
    All numbers come from `losslab.comparison`; nothing is computed here.

    Example:
        >>> import losslab as ll
        >>> found = ll.compare(["cross_entropy", "squentropy"], corpus="tales", seeds=5)  # doctest: +SKIP
        >>> found.verdict, found.chart("curves"), found.save("report.html")  # doctest: +SKIP
    """

    @classmethod
    def of(cls, found: comparison.Comparison) -> "Comparison":
        """The same comparison as one of these."""
        return cls(**{field.name: getattr(found, field.name) for field in fields(found)})

    @cached_property
    def document(self) -> dict[str, Any]:
        """All that a page says, as plain dictionaries, lists, strings and numbers."""
        from losslab import report

        return report.document(self)

    def table(self) -> list[dict[str, object]]:
        """A dictionary of plain values for each arm, best first: scores, differences with intervals, p, costs."""
        from losslab.report import numbers

        return numbers.rows(self.document)

    def to_pandas(self) -> "pandas.DataFrame":
        """The same as a data frame.

        Raises:
            ModuleNotFoundError: where pandas is not installed.
        """
        return shown.frame(self.table())

    @cached_property
    def charts(self) -> tuple[str, ...]:
        """The names that `chart` takes."""
        return tuple(self._specs)

    @cached_property
    def _specs(self) -> dict[str, dict[str, Any]]:
        from losslab.report.charts import charts

        return charts(self.document)

    def chart(self, name: str = "differences") -> "altair.TopLevelMixin":
        """A chart of the page as one of Altair's.

        Args:
            name: one of `charts`, such as `differences`, `curves`, `gaps` or `finals`.

        Raises:
            ValueError: for a chart that this comparison does not have.
        """
        from losslab.report.figures import WITH_LEGEND

        if name not in self._specs:
            there = f"this comparison has {', '.join(self.charts)}" if self.charts else "this comparison has none"
            raise ValueError(f"there is no chart {quoted(name)}{nearest(name, self.charts)}; {there}")
        return shown.chart(self._specs[name], legend=name in WITH_LEGEND)

    def save(self, path: str | Path) -> Path:
        """Write the page, or the figures for a paper.

        Args:
            path: `NAME.html` for the page, with its Markdown and JSON next to it; a name without a suffix for a folder
                of figures and tables, as `losslab report --figures` writes it.

        Returns:
            the path.

        Raises:
            ValueError: for another suffix, or a place that cannot be written.
        """
        from losslab import report
        from losslab.report import figures

        path = Path(path)
        if path.suffix.lower() in (".html", ".htm"):
            return report.write(self.document, path)
        if path.suffix:
            raise ValueError(f"save takes NAME.html for the page, or a folder, such as figures, for all figures and "
                             f"tables; got {quoted(str(path))}")
        figures.write(self.document, path)
        return path

    def __str__(self) -> str:
        """The table and the verdict, as on a terminal."""
        from losslab import report

        return report.table(self.document)

    def __repr__(self) -> str:
        return f"<Comparison: {self.verdict}>"

    def _repr_html_(self) -> str:
        """The verdict, the table of arms and the chart of differences."""
        from losslab.report import arm_tables

        arms = arm_tables.arms(self.document, self.document["arms"], page=True)
        parts = [shown.text(self.verdict, "h4"), shown.table(arms, "Table of arms")]
        if "differences" in self._specs:
            parts.append(shown.drawing(self._specs["differences"], legend=False))
        if warnings := self.document["warnings"]:
            parts.append(f"<ul>{''.join(shown.text(warning, 'li') for warning in warnings)}</ul>")
        return "\n".join(parts)
