"""The runs of a store in Python: a sequence of records, and tables of them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, overload

from losslab import comparison, records
from losslab.config import flatten
from losslab.config.numbers import check_margin
from losslab.notebook import given as checked
from losslab.notebook import shown
from losslab.notebook.compared import Comparison
from losslab.records import Record
from losslab.tables import Column, Table, left, name
from losslab.words import nearest

if TYPE_CHECKING:
    import pandas

KEYS = ("loss", "seed", "status", "condition")  # what `where` takes
MOST_SHOWN = 40
MARGIN = 0.002  # nats/token


def runs(store: str | Path = "runs") -> "Runs":
    """The runs of a store, or of one run folder.

    Raises:
        ValueError: for what is no path, a folder that does not exist, or a run that cannot be read.
    """
    place = checked.texts(store=store).get("store", "runs" if store is None else "")
    return Runs(records.find([place]), Path(place))


class Runs(Sequence[Record]):
    """Records of runs: each has `loss`, `seed`, `status`, `scores`, `config`, `log` and `curve("tune/nll")`.

    Args:
        found: the records.
        store: the folder that they are from.
    """

    def __init__(self, found: Sequence[Record], store: Path):
        self._records, self.store = tuple(found), store

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self._records)

    @overload
    def __getitem__(self, index: int) -> Record: ...
    @overload
    def __getitem__(self, index: slice) -> "Runs": ...
    def __getitem__(self, index: int | slice) -> "Record | Runs":
        return Runs(self._records[index], self.store) if isinstance(index, slice) else self._records[index]

    def where(self, **wanted: object) -> "Runs":
        """The runs that have these values, such as `where(loss="squentropy", status="finished")`.

        Raises:
            ValueError: for a key that is none of `loss`, `seed`, `status` and `condition`.
        """
        for key in wanted:
            if key not in KEYS:
                raise ValueError(f"where takes {', '.join(KEYS)}, got {key}{nearest(key, KEYS)}")
        return Runs([run for run in self if all(getattr(run, key) == value for key, value in wanted.items())],
                    self.store)

    def table(self) -> list[dict[str, object]]:
        """A dictionary for each run: what it is, its scores, its costs, and the settings in which runs differ."""
        flat = [flatten(run.spec["config"]) for run in self]
        names = dict.fromkeys(key for settings in flat for key in settings if key not in ("loss", "seed"))
        own = [key for key in names if any(settings.get(key) != flat[0].get(key) for settings in flat)]
        scores = list(dict.fromkeys(key for run in self for key in run.scores))
        costs = list(dict.fromkeys(key for run in self for key in run.result.get("cost", {})))
        return [{
            "run": str(run.path), "loss": run.loss, "seed": run.seed, "status": run.status, "condition": run.condition,
            "tokens": run.result.get("tokens"), **{key: run.scores.get(key, {}).get("value") for key in scores},
            **{key: run.result.get("cost", {}).get(key) for key in costs}, **{key: settings.get(key) for key in own},
        } for run, settings in zip(self, flat, strict=True)]

    def curve(self, key: str = "tune/nll") -> list[dict[str, object]]:
        """Every logged value of `key`, such as `tune/nll` or `train/objective`: a dictionary each, for a plot."""
        return [{"run": str(run.path), "loss": run.loss, "seed": run.seed, "tokens": tokens, key: value}
                for run in self for tokens, value in run.curve(key)]

    def to_pandas(self) -> "pandas.DataFrame":
        """`table` as a data frame.

        Raises:
            ModuleNotFoundError: where pandas is not installed.
        """
        return shown.frame(self.table())

    def compare(self, *, baseline: str | None = None, margin: float | None = None) -> Comparison:
        """What these runs say, as `losslab report` says it; nothing is trained.

        Of the folder of a study, with its labels and its tuning; of a store, the look is counted in its ledger; of some
        runs of a store no looks are counted.

        Args:
            baseline: the arm that others are compared with; that of the study, or `cross_entropy`.
            margin: the difference in nats/token that would matter; that of the study, or 0.002.

        Raises:
            ValueError: without a run, for a baseline that is no arm, or a margin that is none.
        """
        asked = None if margin is None else check_margin("margin", margin)
        margin = MARGIN if asked is None else asked
        if records.is_run(self.store) or len(self) < len(records.folders(self.store)):
            return Comparison.of(comparison.compare(self, baseline=baseline, margin=margin))
        if (self.store / "study.toml").is_file():
            from losslab import study

            return Comparison.of(study.again(self.store, baseline=baseline, margin=asked)[0])
        return Comparison.of(comparison.judged(self, self.store, baseline=baseline, margin=margin))

    def __repr__(self) -> str:
        return f"<{len(self)} run{'s' * (len(self) != 1)} of {self.store}>"

    def _repr_html_(self) -> str:
        from losslab.report import words

        rows = [(run.loss, str(run.seed), run.status, words.number(run.scores.get("nll", {}).get("value")),
                 str(run.path)) for run in self._records[:MOST_SHOWN]]
        more = len(self) - len(rows)
        table = Table((name("loss"), Column("seed"), left("status"), Column("nll", "nats/token"), left("run")), rows)
        return shown.table(table, "Table of runs") + (shown.text(f"and {more:,} more") if more else "")
