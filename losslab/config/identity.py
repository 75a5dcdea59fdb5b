"""The identity of a run: what its replicates share, named so that later settings and later defaults do not change it.

`sections` says of each field whether it belongs to the identity. The identity holds the values that differ from
`DEFAULTS`: the defaults on the day when its version began, or when the field was added. The table may grow and never
changes. Where a default in `sections` moves away from it, the runs with the new default say so in their identity.
"""

import dataclasses
from collections.abc import Iterator
from functools import cache

from losslab.config.sections import ExperimentConfig

VERSION = 2  # 1 was a digest over all settings, whether they mattered or not

DEFAULTS: dict[str, object] = {
    "model.n_layer": 4, "model.n_head": 4, "model.n_embd": 128, "model.num_positions": 128, "model.dropout": 0.0,
    "model.bias": True, "model.tied": True, "model.init_seed": None, "data.seed": None, "model.activation": "gelu_tanh",
    "model.position_embedding": "learned", "model.norm": "layer", "model.qk_norm": False, "model.zero_init": False,
    "model.vocab_multiple": 1, "model.padding": "masked",
    "train.seq_len": 0, "train.batch_size": 16, "train.micro_batch_size": 0,
    "train.learning_rate": 1e-3, "train.min_learning_rate": 1e-4, "train.warmup_steps": 100,
    "train.weight_decay": 0.1, "train.betas": (0.9, 0.99), "train.grad_clip": 1.0, "train.skip_spikes": False,
    "train.device": "auto", "train.dtype": "auto", "train.numerics": "reference",
    "train.optimizer": "adamw", "train.momentum": 0.95, "train.embedding_rate_ratio": 1.0,
    "train.head_rate_ratio": 1.0, "train.vector_rate_ratio": 1.0, "train.schedule": "cosine", "train.decay_share": 0.4,
    "train.initial_batch_size": 0, "train.batch_warmup_steps": 0,
    "data.curriculum": "", "data.hardest_first": False, "data.pacing": "linear", "data.pacing_start": 0.1,
    "data.pacing_end": 0.5, "data.pacing_stairs": 5,
    "data.mask_prompts": True, "data.packing": "auto", "data.too_long": "truncate",
    "evaluate.tune_tokens": 32_768, "evaluate.split": "val", "evaluate.stride": 0,
}  # fmt: skip


def identity(
    config: ExperimentConfig, *, objective: str, corpus: str, weights: str = "", reference: str = ""
) -> dict[str, object]:
    """What names a run besides its seed; its `digest` is the condition.

    Args:
        config: the settings, with the device and the dtype that are used.
        objective: the formula with every default written out, and the hashes of its loss files.
        corpus: its digest.
        weights: sha256 of those that training starts from; nothing where they are new.
        reference: sha256 of the weights whose nll orders the documents of a curriculum; nothing where there is none.

    Raises:
        ValueError: if the configuration has no horizon.
    """
    fixed = {"identity": VERSION, "loss": objective, "corpus": corpus, "num_steps": config.num_steps}
    own = settings(config)
    lowest = config.train.min_learning_rate  # as a rate, which earlier versions had as a setting
    if lowest != DEFAULTS["train.min_learning_rate"]:
        own["train.min_learning_rate"] = lowest
    if config.train.numerics == "fast" and config.model.dropout:
        own["dropout_bits"] = 16  # of each draw; before, PyTorch drew
    if config.seq_len == config.model.num_positions:  # said or not
        own.pop("train.seq_len", None)
    told = {"start": weights, "data.curriculum_model": reference}
    return fixed | {name: value for name, value in told.items() if value} | own


def settings(config, prefix: str = "") -> dict[str, object]:
    """Dotted name -> value of the settings that belong to the identity and are not as `DEFAULTS` has them."""
    found = {}
    for name, field, value in _fields(config, prefix):
        default = DEFAULTS.get(name, field.default)
        if not field.metadata.keys() & {"outside", "instead"} and value != default:
            found[name] = float(value) if isinstance(default, float) else value  # 1 and 1.0 are one rate
    return found


@cache
def outside() -> frozenset[str]:
    """Dotted names of the settings that change neither the weights of a run nor a score."""
    return frozenset(name for name, field, _ in _fields(ExperimentConfig()) if "outside" in field.metadata)


@cache
def instead() -> frozenset[str]:
    """Dotted names of the settings that the identity has in another form, such as a path by what lies there."""
    return frozenset(name for name, field, _ in _fields(ExperimentConfig()) if "instead" in field.metadata)


def _fields(config, prefix: str = "") -> Iterator[tuple[str, dataclasses.Field, object]]:
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from _fields(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", field, value
