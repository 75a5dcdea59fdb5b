"""Benchmarks as hidden metrics: what the weights of a run can do, asked by the host when the run is over.

`word_order` is made of the text of the challenge; the others are files in the folder `LOSSLAB_BENCHMARKS`, or come from
the hub.
"""

import os
from pathlib import Path

from losslab import checkpoint, formula
from losslab import tokenizer as tokenizers
from losslab.arena.challenge import BENCHMARKS, Challenge
from losslab.config import ModelConfig
from losslab.evaluate import order, tasks
from losslab.evaluate.task import Settings
from losslab.model import initialized

SCORES = ("accuracy", "accuracy_sum")  # of a task, the one that is the metric; `acc` of lm-evaluation-harness
SMALL = ModelConfig(n_layer=1, n_head=1, n_embd=8, num_positions=4096)


def asked(challenge: Challenge) -> list[str]:
    """The benchmarks among the hidden metrics."""
    return [name for name in challenge.hidden if name in BENCHMARKS]


def check(challenge: Challenge) -> None:
    """Ask each benchmark one item of an untrained model, so that what is missing is known before anything is trained.

    Raises:
        ValueError: naming the benchmark and what would do.
    """
    names = [name for name in asked(challenge) if name != order.NAME]  # which needs the text alone
    if not names:
        return
    tokenizer = tokenizers.make("bytes")
    model = initialized(SMALL, tokenizer.vocab_size, 0, ())
    for name in names:
        try:
            tasks.run(name, model, tokenizer, settings(challenge, limit=1))
        except (ValueError, OSError, ModuleNotFoundError) as error:
            raise ValueError(f"the hidden metric {name} of {challenge.name} cannot be had here: {error}; set "
                             "LOSSLAB_BENCHMARKS to a folder of benchmarks") from None


def scores(challenge: Challenge, experiment, weights: Path, sha256: str) -> dict[str, dict]:
    """Name -> score (`value`, `stderr`, `n`, `unit`) of the weights of a run.

    Args:
        challenge: whose hidden metrics are asked.
        experiment: the plan of the run, which says what its model is.
        weights: a file of safetensors.
        sha256: of the bytes that were scored before; others are an error.
    """
    names = asked(challenge)
    if not names:
        return {}
    tensors, found = checkpoint.read_weights(weights)
    if found != sha256:
        raise ValueError(f"the weights {weights} are not those that were scored; run it again")
    tokenizer = experiment.corpus.tokenizer
    model = checkpoint.model_from(tensors, experiment.config.model, tokenizer.vocab_size,
                                  formula.transforms(experiment.objective.transform_text), str(weights))
    model = model.to(experiment.config.train.device)
    results = {name: tasks.run(name, model, tokenizer, settings(challenge)) for name in names}
    return {name: next(result.scores[score] for score in SCORES if score in result.scores).to_dict()
            for name, result in results.items()}


def settings(challenge: Challenge, limit: int = 0) -> Settings:
    """Of a task: the text and windows of the challenge, and where the host has its benchmarks."""
    folder = os.environ.get("LOSSLAB_BENCHMARKS")
    config = challenge.config
    return Settings(benchmarks=Path(folder).expanduser() if folder else None, limit=limit, data=config.data,
                    split="val", evaluate=config.evaluate, seq_len=config.seq_len)
