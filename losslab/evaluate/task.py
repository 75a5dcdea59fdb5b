"""What a task is told, and what it gives back."""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from losslab.config import DataConfig, EvaluateConfig
from losslab.evaluate.requests import PREFIXES
from losslab.evaluate.sharing import Ranks
from losslab.evaluate.summing import Summing
from losslab.progress import Progress, silent
from losslab.stats import Score


@dataclass(frozen=True)
class Settings:
    """What a user may set; a task takes what concerns it."""

    benchmarks: Path | None = None  # a folder with benchmark files; None: fetched from the hub where that works
    limit: int = 0  # items of each task, 0 for all; a limited result is not evidence
    progress: Progress = silent  # is told how far the task is
    data: DataConfig | None = None  # the corpus that is scored, and whose `train` and `tune` are known
    split: str = "val"  # the part of it that is scored; `tune` while training
    text: Path | None = None  # a text file that is scored whole, in place of that part
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)  # its stride, batch size and tokens of `tune`
    seq_len: int = 0  # tokens in a window of a text, as in training; 0: as many as the model has positions
    prefix: str = "none"  # before the text of a question or passage: none, as lm-evaluation-harness, or end-of-text
    partial: Path | None = None  # a folder where a long pass over a text is kept, so that it can resume

    def __post_init__(self):
        if self.prefix not in PREFIXES:
            raise ValueError(f"prefix must be {' or '.join(PREFIXES)}, got {self.prefix!r}")

    def summing(self, progress: Callable[[int, int], None]) -> Summing:
        """How a pass over a text is done: shared by the ranks, and kept in `partial`."""
        return Summing(Ranks.here(), self.partial, progress)


@dataclass(frozen=True)
class TaskResult:
    """What a model scored on one task."""

    name: str
    scores: dict[str, Score]  # named with their normalizer or denominator; a score has its n and standard error
    counts: dict[str, int]  # items, cut, tied, skipped, ...
    notes: list[str] = field(default_factory=list)  # sentences that belong to the numbers
    parts: list["TaskResult"] = field(default_factory=list)  # of a task that has several
    items: list[dict] = field(default_factory=list)  # one row per item
    is_evidence: bool = True  # False where a limit was set
    tables: dict[str, list[dict]] = field(default_factory=dict)  # what a chart or a table of the page is drawn from

    def to_dict(self, *, with_items: bool = False) -> dict:
        """JSON-able."""
        document = {
            "name": self.name, "scores": {name: score.to_dict() for name, score in self.scores.items()},
            "counts": self.counts, "notes": self.notes, "is_evidence": self.is_evidence, "tables": self.tables,
            "parts": [part.to_dict(with_items=with_items) for part in self.parts],
        }
        return document | ({"items": self.items} if with_items else {})


def csv_text(rows: list[dict]) -> str:
    """Items or a table as CSV, the keys of the first row as its columns.

    Example:
        >>> print(csv_text([{"document": 0, "bytes": 12}, {"document": 1, "bytes": 7}]))
        document,bytes
        0,12
        1,7
        <BLANKLINE>
    """
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()
