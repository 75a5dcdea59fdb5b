"""losslab's models inside lm-evaluation-harness. Needs the extra `eval`."""

import contextlib
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from losslab.evaluate.requests import Request, answers, prefix_note, prefixed
from losslab.evaluate.requests import request as asked
from losslab.evaluate.task import Settings, TaskResult
from losslab.generate import continuation
from losslab.progress import counting
from losslab.stats import Score
from losslab.untrusted import one_line
from losslab.words import extra

MAX_GEN_TOKS = 256  # where a task does not say, as the harness's own models have it
RESAMPLES = 1000  # of a bootstrapped error; the harness would take 100,000, for hours
Progress = Callable[[int, int], None]
OWN_TASKS = "LOSSLAB_LM_EVAL_TASKS"  # a folder of task files of one's own, which may run code
SETTINGS = {"until", "max_gen_toks", "temperature", "do_sample", "top_k"}


def model(model, tokenizer, *, end_mark_first: bool = False, progress: Progress | None = None):
    """A model of losslab as an `LM` of the harness, for `lm_eval.simple_evaluate(model=...)`.

    Args:
        model: `model(tokens) -> hidden`, `model.logits(hidden)`, `model.config.num_positions`.
        tokenizer: the model's own.
        end_mark_first: every context begins with the end mark, as the documents that a model of losslab is trained on
            begin. The harness puts it only before an empty context and before a rolling text.
        progress: told (done, of all) now and then.

    Raises:
        ModuleNotFoundError: if the harness is not installed.
    """
    return _adapted(model, tokenizer, end_mark_first, progress)


def task(name: str, model, tokenizer, settings: Settings) -> TaskResult:
    """One task of the harness as a task of losslab: `lm_eval:NAME`.

    Its data come from the hub, or from where the task files in the folder LOSSLAB_LM_EVAL_TASKS point.

    Raises:
        ModuleNotFoundError: if the harness is not installed.
        ValueError: for a task that it does not know.
        ConnectionError: if the hub is needed and out of reach.
    """
    own = own_tasks()
    try:
        found = run(
            model, tokenizer, [name], include_path=own, limit=settings.limit,
            end_mark_first=settings.prefix != "none",
            progress=counting(settings.progress, f"lm_eval:{name}", "requests"),
        )
    except (ValueError, ModuleNotFoundError):
        raise
    except Exception as error:  # the libraries that fetch its data have exceptions of their own
        where = f"the folder {own}" if own else "the hub"
        raise ConnectionError(f"the data of the task {name} could not be read from {where} ({type(error).__name__}: "
                              f"{one_line(str(error))}); connect to the network, or set {OWN_TASKS} to a folder of "
                              "task files that point at local data") from None
    whole = next(part for part in found.parts if part.name == name)
    parts = [part for part in found.parts if part is not whole]
    first = [] if settings.prefix == "none" else [prefix_note(name, settings.prefix)]
    return replace(whole, name=f"lm_eval:{name}", parts=parts, notes=[found.name, *whole.notes, *first],
                   scores=prefixed(whole.scores, settings.prefix))


def own_tasks() -> Path | None:
    """The user's folder of task files; None: the harness's own tasks."""
    return Path(found) if (found := os.environ.get(OWN_TASKS)) else None


def version() -> str:
    """Of the harness that is installed.

    Raises:
        ModuleNotFoundError: if there is none.
    """
    return _library().__version__


def run(
    model, tokenizer, tasks: Sequence[str], *, include_path: str | Path | None = None, limit: int = 0,
    num_fewshot: int | None = None, end_mark_first: bool = False, seed: int = 0, progress: Progress | None = None,
) -> TaskResult:
    """Score a model on tasks of the harness, by the harness's own definitions.

    A harness task file may run its own code (`!function`); include no folder that you have not read.

    Args:
        tasks: names of tasks or groups.
        include_path: a folder of task files of one's own; then only these are known, and nothing is fetched.
        limit: items of each task, 0 for all.
        num_fewshot: examples in the context; None as the task says.

    Returns:
        a part for each task, its scores named `metric` or `metric (filter)` as the harness prints them.

    Raises:
        ModuleNotFoundError: if the harness is not installed.
        ValueError: for a task that it does not know.
    """
    lm_eval = _library()
    from lm_eval.tasks import TaskManager

    folder = None if include_path is None else str(include_path)
    manager = TaskManager(include_path=folder, include_defaults=folder is None)
    unknown = [task for task in tasks if task not in manager.all_tasks]
    if unknown or not tasks:
        known = ", ".join(manager.all_tasks) if folder else "those that `lm_eval ls tasks` lists"
        raise ValueError(f"lm-evaluation-harness has no task {', '.join(unknown) or 'without a name'}; it has {known}")
    seeds = dict.fromkeys(("random_seed", "numpy_random_seed", "torch_random_seed", "fewshot_random_seed"), seed)
    with _quietly():
        found = lm_eval.simple_evaluate(
            model=_adapted(model, tokenizer, end_mark_first, progress), tasks=list(tasks), task_manager=manager,
            num_fewshot=num_fewshot, limit=limit or None, bootstrap_iters=RESAMPLES, log_samples=False, **seeds,
        )
    about = f"lm-evaluation-harness {version()}"
    parts = [_part(name, found, limit) for name in found["results"]]
    return TaskResult(about, {}, {"tasks": len(parts)}, parts=parts, is_evidence=not limit)


def _part(name: str, found: dict, limit: int) -> TaskResult:
    counted = found["n-samples"].get(name, {})
    items, scores = counted.get("effective", 0), {}
    for key, value in found["results"][name].items():
        metric, _, how = key.partition(",")
        if how and isinstance(value, float | int) and not metric.endswith("_stderr"):
            stderr = found["results"][name].get(f"{metric}_stderr,{how}")
            error = float(stderr) if isinstance(stderr, float | int) and math.isfinite(stderr) else None
            scores[metric if how == "none" else f"{metric} ({how})"] = Score(float(value), error, items, _unit(metric))
    notes = [f"task version {found['versions'].get(name)}"]
    return TaskResult(name, scores, {"items": items}, notes, is_evidence=not limit)


def _unit(metric: str) -> str:
    return {"bits_per_byte": "bits/byte", "word_perplexity": "per word", "byte_perplexity": "per byte",
            "perplexity": "per continuation"}.get(metric, "share")  # fmt: skip


class Harnessed:
    """The three questions that the harness asks of a model; requests have `args`, answers are in their order."""

    def __init__(self, model, tokenizer, end_mark_first: bool = False, progress: Progress | None = None):
        super().__init__()
        self.model, self.tokenizer, self.end_mark_first, self.progress = model, tokenizer, end_mark_first, progress

    def loglikelihood(self, requests) -> list[tuple[float, bool]]:
        """Log-probability of each continuation, and whether greedy decoding would give it."""
        found = answers(self.model, [self.request(*request.args) for request in requests], progress=self.progress)
        return [(-float(answer.nats.sum()), bool(answer.is_greedy.all())) for answer in found]

    def loglikelihood_rolling(self, requests) -> list[float]:
        """Log-probability of each whole text."""
        windows = [list(self.windows(request.args[0])) for request in requests]
        found = iter(answers(self.model, [window for text in windows for window in text], progress=self.progress))
        return [-sum(float(next(found).nats.sum()) for _ in text) for text in windows]

    def generate_until(self, requests) -> list[str]:
        """What the model writes after each context, up to a stop text."""
        texts = []
        for number, request in enumerate(requests):
            texts.append(self.written(*request.args, seed=number))
            if self.progress is not None:
                self.progress(number + 1, len(requests))
        return texts

    def request(self, context: str, text: str) -> Request:
        """Both are encoded as one text and split where the context's own encoding ends; its last spaces go over."""
        return asked(self.tokenizer, context, text, "end-of-text" if self.end_mark_first else "none")

    def windows(self, text: str) -> Iterator[Request]:
        """Disjoint windows over one text behind an end mark; the last reads a full context and scores the rest."""
        context_length, tokens = self.model.config.num_positions, self.encode(text)
        stream = [self.tokenizer.eot, *tokens]
        for begin in range(0, len(tokens), context_length):
            end = min(begin + context_length, len(tokens))
            yield Request(stream[max(0, end - context_length) : begin + 1], stream[begin + 1 : end + 1])

    def written(self, context: str, settings: dict, *, seed: int = 0) -> str:
        """A continuation under the settings of a task; greedy unless it asks for samples."""
        if unknown := settings.keys() - SETTINGS:
            raise ValueError(f"generation takes {', '.join(sorted(SETTINGS))}, got {', '.join(sorted(unknown))}")
        until = settings.get("until") or []
        sampled = settings.get("do_sample", settings.get("temperature", 0) > 0)
        first = [self.tokenizer.eot] if self.end_mark_first or not context else []
        return continuation(
            self.model, self.tokenizer, first + self.encode(context), seed=seed,
            num_tokens=settings.get("max_gen_toks", MAX_GEN_TOKS),
            temperature=settings.get("temperature", 1.0) if sampled else 0.0, top_k=settings.get("top_k") or 0,
            stop=[end for end in ([until] if isinstance(until, str) else until) if end],
        )

    def encode(self, text: str) -> list[int]:
        return [int(token) for token in self.tokenizer.encode(text)]


@contextlib.contextmanager
def _quietly():
    """The harness prints where results belong, and starts one process per core to resample a list."""
    before = os.environ.get("DISABLE_MULTIPROC")
    os.environ["DISABLE_MULTIPROC"] = "1"
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        if before is None:
            del os.environ["DISABLE_MULTIPROC"]
        else:
            os.environ["DISABLE_MULTIPROC"] = before


def _adapted(model, tokenizer, end_mark_first: bool, progress: Progress | None):
    _library()
    from lm_eval.api.model import LM

    return type("Losslab", (Harnessed, LM), {})(model, tokenizer, end_mark_first, progress)


def _library():
    try:
        import lm_eval
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"lm-evaluation-harness is not installed: {extra('eval')}", name="lm_eval"
        ) from None
    return lm_eval
