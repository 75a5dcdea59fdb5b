"""The tasks by name, what they are told, and what they give back."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from losslab.stats import Score

# name -> room, which has `run(model, tokenizer, settings) -> TaskResult`. Another row is another task.
# `room:function` names another function, `room:function:word` gives it a last argument.
TASKS = {
    "core": "losslab.evaluate.core:run",
    "short_seven": "losslab.evaluate.core:run_short",
    **{name: f"losslab.evaluate.questions:run:{name}" for name in (
        "arc_easy", "arc_challenge", "commonsense_qa", "copa", "hellaswag", "openbookqa", "piqa", "social_i_qa",
        "winogrande",
    )},
}


@dataclass(frozen=True)
class Settings:
    """What a user may set; a task takes what concerns it."""

    benchmarks: Path | None = None  # a folder with benchmark files; None: fetched from the hub where that works
    limit: int = 0  # items of each task, 0 for all; a limited result is not evidence
    progress: Callable[[str], None] = lambda line: None  # lines for people: done, of all, rate, time left


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

    def to_dict(self, *, with_items: bool = False) -> dict:
        """JSON-able."""
        document = {
            "name": self.name, "scores": {name: score.to_dict() for name, score in self.scores.items()},
            "counts": self.counts, "notes": self.notes, "is_evidence": self.is_evidence,
            "parts": [part.to_dict(with_items=with_items) for part in self.parts],
        }
        return document | ({"items": self.items} if with_items else {})


def run(name: str, model, tokenizer, settings: Settings) -> TaskResult:
    """One task of a model.

    Raises:
        ValueError: for a name that is none of `TASKS`.
    """
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}; the tasks are {', '.join(TASKS)}")
    room, _, place = TASKS[name].partition(":")
    function, *arguments = place.split(":") if place else ["run"]
    return getattr(importlib.import_module(room), function)(model, tokenizer, settings, *arguments)
