"""The tasks by name."""

from collections.abc import Callable
from functools import partial

from losslab.evaluate import core, lambada, likelihood, pairs, questions, wikitext
from losslab.evaluate.task import Settings, TaskResult
from losslab.words import nearest

# another line is another task
TASKS: dict[str, Callable[..., TaskResult]] = {  # of model, tokenizer and settings
    "likelihood": likelihood.run,
    "blimp": pairs.run,
    "lambada": lambada.run,
    "wikitext2": wikitext.run,
    "core": core.run,
    "short_seven": core.run_short,
    **{name: partial(questions.run, name=name) for name in questions.BENCHMARKS},
}
PREFIXED = ("lambada", *questions.BENCHMARKS)  # whose setting `prefix` is


def run(name: str, model, tokenizer, settings: Settings) -> TaskResult:
    """One task of a model.

    Raises:
        ValueError: for a name that is none of `TASKS`.
    """
    return TASKS[check(name)](model, tokenizer, settings)


def check(name: str) -> str:
    """The name, if it is one of a task."""
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}{nearest(name, TASKS)}; the tasks are {', '.join(TASKS)}")
    return name
