"""Benchmarks as hidden metrics: what the weights of a run can do, asked by the host when the run is over.

`word_order` is made of the text of the challenge; the others are files in the folder `LOSSLAB_BENCHMARKS`, or come from
the hub.
"""

import os
from collections.abc import Callable
from pathlib import Path

from losslab import checkpoint, formula
from losslab import tokenizer as tokenizers
from losslab.arena.challenge import Challenge
from losslab.config import ModelConfig
from losslab.evaluate import order, tasks
from losslab.evaluate.task import Settings
from losslab.model import initialized

SCORES = ("accuracy", "accuracy_sum")  # of a task, the one that is the metric; `acc` of lm-evaluation-harness
CANNOT = (ValueError, OSError, ModuleNotFoundError)  # of a benchmark that is not to be had
SMALL = ModelConfig(n_layer=1, n_head=1, n_embd=8, num_positions=4096)


def check(challenge: Challenge) -> None:
    """Ask each benchmark one item of an untrained model, so that what is missing is known before anything is trained.

    Raises:
        ValueError: naming the benchmark and what would do.
    """
    names = [name for name in challenge.benchmarks if name != order.NAME]  # which needs the text alone
    if not names:
        return
    tokenizer = tokenizers.make("bytes")
    model = initialized(SMALL, tokenizer.vocab_size, 0, ())
    for name in names:
        try:
            tasks.run(name, model, tokenizer, settings(challenge, limit=1))
        except CANNOT as error:
            raise ValueError(f"the hidden metric {name} of {challenge.name} cannot be had here: {error}; set "
                             "LOSSLAB_BENCHMARKS to a folder of benchmarks") from None


def scores(
    challenge: Challenge, experiment, weights: Path, sha256: str, tell: Callable[[str], None] = lambda text: None,
) -> dict[str, dict]:
    """Name -> score (`value`, `stderr`, `n`, `unit`) of the weights of a run.

    A benchmark that cannot be had any more is left out and told: the training before it is worth more.

    Args:
        challenge: whose hidden metrics are asked.
        experiment: the plan of the run, which says what its model is.
        weights: a file of safetensors.
        sha256: of the bytes that were scored before; others are an error.
        tell: takes sentences for people.
    """
    if not challenge.benchmarks:
        return {}
    tensors, read = checkpoint.read_weights(weights)
    if read != sha256:
        raise ValueError(f"the weights {weights} are not those that were scored; run it again")
    tokenizer, found = experiment.corpus.tokenizer, {}
    model = checkpoint.model_from(tensors, experiment.config.model, tokenizer.vocab_size,
                                  formula.transforms(experiment.objective.transform_text), str(weights))
    model = model.to(experiment.config.train.device)
    for name in challenge.benchmarks:
        try:
            result = tasks.run(name, model, tokenizer, settings(challenge))
            found[name] = next(result.scores[score] for score in SCORES if score in result.scores).to_dict()
        except CANNOT as error:
            tell(f"the hidden metric {name} is left out: {error}")
    return found


def settings(challenge: Challenge, limit: int = 0) -> Settings:
    """Of a task: the text and windows of the challenge, and where the host has its benchmarks."""
    folder = os.environ.get("LOSSLAB_BENCHMARKS")
    config = challenge.config
    return Settings(benchmarks=Path(folder).expanduser() if folder else None, limit=limit, data=config.data,
                    split="val", evaluate=config.evaluate, seq_len=config.seq_len)
