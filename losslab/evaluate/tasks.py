"""The tasks by name."""

from collections.abc import Callable
from functools import partial

from losslab import parallel
from losslab.evaluate import core, harness, lambada, likelihood, order, pairs, questions, wikitext
from losslab.evaluate.sharing import together
from losslab.evaluate.task import Settings, TaskResult
from losslab.words import nearest

# another line is another task
TASKS: dict[str, Callable[..., TaskResult]] = {  # of model, tokenizer and settings
    "likelihood": likelihood.run,
    "blimp": pairs.run,
    order.NAME: order.run,
    "lambada": lambada.run,
    "wikitext2": wikitext.run,
    "core": core.run,
    "short_seven": core.run_short,
    **{name: partial(questions.run, name=name) for name in questions.BENCHMARKS},
}
PREFIXED = ("lambada", *questions.BENCHMARKS)  # whose setting `prefix` is
HARNESS = "lm_eval:"  # before the name of a task of lm-evaluation-harness: its definition, its data and its numbers


def run(name: str, model, tokenizer, settings: Settings) -> TaskResult:
    """One task of a model.

    Args:
        name: of `TASKS`, or `lm_eval:` and the name of a task of lm-evaluation-harness.
        model: `model(tokens) -> hidden`, `model.logits(hidden)`, `model.config.num_positions`.
        tokenizer: the model's own.
        settings: where the texts are, how many items, what to tell.

    Raises:
        ValueError: for a name of no task; under `torchrun` on all ranks, where one of them cannot run it.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from losslab import config, model, tokenizer
        >>> vocabulary = tokenizer.make("bytes")
        >>> untrained = model.initialized(config.ModelConfig(n_layer=1, n_head=1, n_embd=8), vocabulary.vocab_size, 0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "text.txt").write_text("Once upon a time")
        ...     result = run("likelihood", untrained, vocabulary, Settings(text=Path(folder, "text.txt")))
        >>> 5.4 < result.scores["nll"].value < 5.7  # about log 257
        True
    """
    task = TASKS.get(check(name)) or partial(harness.task, name.removeprefix(HARNESS))
    device = next(model.parameters()).device if parallel.world_size() > 1 else "cpu"
    return together(lambda: task(model, tokenizer, settings), device)


def check(name: str) -> str:
    """The name, if it is one of a task.

    Raises:
        ValueError: for a name that is none of `TASKS`; the harness's own names are known once it runs.

    Example:
        >>> check("blimp")
        'blimp'
    """
    if name not in TASKS and not (name.startswith(HARNESS) and name != HARNESS):
        raise ValueError(f"unknown task {name!r}{nearest(name, TASKS)}; the tasks are {', '.join(TASKS)}, and "
                         f"{HARNESS}NAME for a task of lm-evaluation-harness")
    return name
