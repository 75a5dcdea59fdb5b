"""The tasks by name, what they are told, and what they give back."""

import csv
import importlib
import io
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from losslab import machine
from losslab.config import DataConfig, EvaluateConfig
from losslab.evaluate.requests import PREFIXES
from losslab.evaluate.sweep import Sweep
from losslab.stats import Score
from losslab.words import nearest

# name -> room, which has `run(model, tokenizer, settings) -> TaskResult`. Another row is another task.
# `room:function` names another function, `room:function:word` gives it a last argument.
TASKS = {
    "likelihood": "losslab.evaluate.likelihood",
    "blimp": "losslab.evaluate.pairs",
    "lambada": "losslab.evaluate.lambada",
    "wikitext2": "losslab.evaluate.wikitext",
    "core": "losslab.evaluate.core",
    "short_seven": "losslab.evaluate.core:run_short",
    **{name: f"losslab.evaluate.questions:run:{name}" for name in (
        "arc_easy", "arc_challenge", "commonsense_qa", "copa", "hellaswag", "openbookqa", "piqa", "social_i_qa",
        "winogrande",
    )},
}
# whose setting `prefix` is
PREFIXED = ("lambada", *(name for name, room in TASKS.items() if ".questions:" in room))


@dataclass(frozen=True)
class Settings:
    """What a user may set; a task takes what concerns it."""

    benchmarks: Path | None = None  # a folder with benchmark files; None: fetched from the hub where that works
    limit: int = 0  # items of each task, 0 for all; a limited result is not evidence
    progress: Callable[[str], None] = lambda line: None  # lines for people: done, of all, rate, time left
    data: DataConfig | None = None  # the corpus that is scored, and whose `train` and `tune` are known
    split: str = "val"  # the part of it that is scored; `tune` while training
    text: Path | None = None  # a text file that is scored whole, in place of that part
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)  # its stride, batch size and tokens of `tune`
    prefix: str = "none"  # before the text of a question or passage: none, as lm-evaluation-harness, or end-of-text
    partial: Path | None = None  # a folder where a long pass over a text is kept, so that it can go on

    def __post_init__(self):
        if self.prefix not in PREFIXES:
            raise ValueError(f"prefix must be {' or '.join(PREFIXES)}, got {self.prefix!r}")

    def sweep(self, progress: Callable[[int, int], None]) -> Sweep:
        return Sweep(machine.rank(), machine.world_size(), self.partial, progress)


@dataclass(frozen=True)
class TaskResult:
    """What a model scored on one task."""

    name: str
    scores: dict[str, Score]  # named with their normalizer or denominator; a score has its n and standard error
    counts: dict[str, int]  # items, cut, tied, skipped, ...
    notes: list[str] = field(default_factory=list)  # sentences that belong beside the numbers
    parts: list["TaskResult"] = field(default_factory=list)  # of a task that has several
    items: list[dict] = field(default_factory=list)  # a row an item, for those who want to look
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


def run(name: str, model, tokenizer, settings: Settings) -> TaskResult:
    """One task of a model.

    Raises:
        ValueError: for a name that is none of `TASKS`.
    """
    room, _, place = TASKS[check(name)].partition(":")
    function, *arguments = place.split(":") if place else ["run"]
    return getattr(importlib.import_module(room), function)(model, tokenizer, settings, *arguments)


def check(name: str) -> str:
    """The name, if it is one of a task."""
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}{nearest(name, TASKS)}; the tasks are {', '.join(TASKS)}")
    return name


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


def lines(
    tell: Callable[[str], None], what: str, unit: str, *, every_seconds: float = 5.0
) -> Callable[[int, int], None]:
    """What turns (done, of all) into a line for people now and then: how much, how fast, how long still."""
    begun = last = time.monotonic()
    first = None

    def progress(done: int, total: int) -> None:
        nonlocal last, first
        first = done if first is None else first  # what was done before this process is not its speed
        now = time.monotonic()
        if now - last < every_seconds or done == first:
            return
        last, rate = now, (done - first) / (now - begun)
        tell(f"{what}: {done:,} of {total:,} {unit}, {rate:,.0f} {unit}/s, {(total - done) / rate:.0f} s left")

    return progress
