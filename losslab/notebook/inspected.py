"""What a loss is, in Python: the findings of `losslab inspect`, as an object that a notebook shows."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from losslab import anatomy
from losslab.config.numbers import shown as quoted
from losslab.notebook import shown
from losslab.notebook.functions import source
from losslab.tables import Table, left
from losslab.words import nearest

if TYPE_CHECKING:
    import altair


class Anatomy(anatomy.Anatomy):
    """What a loss is; its fields are those of `losslab.anatomy.Anatomy`, such as `proper`, `bias` and `convex`."""

    @classmethod
    def of(cls, found: anatomy.Anatomy) -> "Anatomy":
        """The same findings as one of these."""
        return cls(**{field.name: getattr(found, field.name) for field in fields(found)})

    @cached_property
    def document(self) -> dict[str, Any]:
        """The findings as plain dictionaries, lists and numbers."""
        return self.to_dict()

    @cached_property
    def _specs(self) -> dict[str, dict[str, Any]]:
        from losslab.report import anatomy_page

        return anatomy_page.charts(self.document)

    def chart(self, name: str = "value") -> "altair.TopLevelMixin":
        """A chart of the page as one of Altair's: `value`, `gradient` or `bias`.

        Raises:
            ValueError: for a chart that this loss does not have.
        """
        if name not in self._specs:
            raise ValueError(f"there is no chart {quoted(name)}{nearest(name, self._specs)}; this loss has "
                             f"{', '.join(self._specs) or 'none'}")
        return shown.chart(self._specs[name], legend=False)

    def save(self, path: str | Path) -> Path:
        """Write the page, one HTML file; return its path."""
        from losslab.report import anatomy_page

        return anatomy_page.write(self.document, path)

    def __str__(self) -> str:
        from losslab.report import anatomy_text

        return anatomy_text.text(self.document)

    def __repr__(self) -> str:
        return f"<Anatomy of {self.loss}>"

    def _repr_html_(self) -> str:
        from losslab.report import anatomy_text

        findings = Table((left("finding"), left("")), anatomy_text.findings(self.document))
        return "\n".join([shown.text(self.loss, "h4"), shown.table(findings, "Table of findings"),
                          *(shown.drawing(spec, legend=False) for spec in self._specs.values())])


def inspect(loss: str | os.PathLike | Callable, *, measure: bool = True) -> Anatomy:
    """Find out what a loss is: its minimizer and bias, curves, convexity, cost; nothing is trained.

    Args:
        loss: a formula, the path of a loss file, or a Python function.
        measure: whether to time it and cross-entropy, which takes a second or two.

    Raises:
        ValueError: in one sentence, for a formula that cannot be read, a loss that fails, or a function without source.
    """
    loss = os.fspath(loss) if isinstance(loss, os.PathLike) else loss
    if isinstance(loss, str):
        return Anatomy.of(anatomy.inspect(loss, measure=measure))
    text, name = source(loss), loss.__name__
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.py"
        path.write_text(text, encoding="utf-8")
        found = anatomy.inspect(str(path), measure=measure)
    return Anatomy.of(replace(found, loss=name, inspected=found.inspected.replace(str(path), name)))
