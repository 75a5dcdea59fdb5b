"""Sizes, recipes and data, each chosen apart, and the presets: a name for one of each.

A size is a model. A recipe says how each size that it knows is trained: optimizer, rates, batches and number of tokens.
Data are a corpus, its tokenizer, and how much of it is used.
"""

from collections.abc import Mapping
from typing import NamedTuple

from losslab.config.numbers import shown
from losslab.config.sections import DataConfig, EvaluateConfig, ExperimentConfig, ModelConfig, TrainConfig
from losslab.words import nearest


def _gpt2(n_layer: int, n_head: int, n_embd: int) -> ModelConfig:
    return ModelConfig(n_layer=n_layer, n_head=n_head, n_embd=n_embd, num_positions=1024)


SIZES: dict[str, ModelConfig] = {
    "tiny": ModelConfig(n_layer=2, n_head=4, n_embd=96, num_positions=128),
    "char": ModelConfig(n_layer=4, n_head=4, n_embd=128, num_positions=64, bias=False, activation="gelu"),
    "story-3m": ModelConfig(n_layer=6, n_head=8, n_embd=64, num_positions=128),
    "gpt2": _gpt2(12, 12, 768),
    "gpt2-medium": _gpt2(24, 16, 1024),
    "gpt2-large": _gpt2(36, 20, 1280),
    "gpt2-xl": _gpt2(48, 25, 1600),
}


_PUBLISHED = {"num_tokens": 10_000_000_000, "batch_size": 480, "micro_batch_size": 12, "warmup_steps": 700,
              "betas": (0.9, 0.95), "checkpoint_every": 1000}  # of the GPT-2 sizes
RECIPES: dict[str, Mapping[str, TrainConfig]] = {
    # AdamW, a linear warm-up and a cosine to a tenth of the peak
    "classic": {
        "tiny": TrainConfig(learning_rate=4e-3, num_tokens=1_000_000, batch_size=8),
        "char": TrainConfig(learning_rate=1e-3, num_steps=2000, batch_size=12, warmup_steps=100),
        "story-3m": TrainConfig(learning_rate=2e-3, num_tokens=10_000_000, batch_size=32),
        "gpt2": TrainConfig(learning_rate=6e-4, **_PUBLISHED),
        "gpt2-medium": TrainConfig(learning_rate=3e-4, **_PUBLISHED),
        "gpt2-large": TrainConfig(learning_rate=2.5e-4, **_PUBLISHED),
        "gpt2-xl": TrainConfig(learning_rate=2e-4, **_PUBLISHED),
    },
}


class Data(NamedTuple):
    text: DataConfig
    evaluate: EvaluateConfig = EvaluateConfig()


DATA: dict[str, Data] = {
    "tales-small": Data(DataConfig(max_bytes=4_000_000, val_bytes=200_000, tune_bytes=100_000),
                        EvaluateConfig(tune_tokens=8192)),
    "tales-characters": Data(DataConfig(tokenizer="char")),
    "tinystories": Data(DataConfig(corpus="tinystories", tokenizer="gpt2")),
    "openwebtext": Data(DataConfig(corpus="openwebtext", tokenizer="gpt2", max_bytes=40_000_000_000)),
}


class Preset(NamedTuple):
    """A name in each of `SIZES`, `RECIPES` and `DATA`."""

    size: str
    recipe: str
    data: str


PRESETS: dict[str, Preset] = {
    "tiny": Preset("tiny", "classic", "tales-small"),  # the demo: half a minute a run on one core
    "char": Preset("char", "classic", "tales-characters"),  # nanoGPT's CPU run on Shakespeare's characters
    "story-3m": Preset("story-3m", "classic", "tinystories"),  # a small story model with GPT-2's vocabulary
    "gpt2": Preset("gpt2", "classic", "openwebtext"),
    "gpt2-medium": Preset("gpt2-medium", "classic", "openwebtext"),
    "gpt2-large": Preset("gpt2-large", "classic", "openwebtext"),
    "gpt2-xl": Preset("gpt2-xl", "classic", "openwebtext"),
}


def preset(name: str) -> ExperimentConfig:
    """The named preset; an unknown name is answered with the nearest one."""
    return combined(*_find("preset", name, PRESETS))


def combined(size: str, recipe: str, data: str) -> ExperimentConfig:
    """A model of this size, trained by this recipe on these data.

    Raises:
        ValueError: for an unknown name, or a size that the recipe does not know.

    Example:
        >>> combined("tiny", "classic", "tinystories").data.tokenizer
        'gpt2'
    """
    model, known, chosen = _find("size", size, SIZES), _find("recipe", recipe, RECIPES), _find("data", data, DATA)
    if size not in known:
        raise ValueError(f"the recipe {recipe} does not say how the size {size} is trained; it says it for "
                         f"{', '.join(known)}")
    return ExperimentConfig(model=model, train=known[size], data=chosen.text, evaluate=chosen.evaluate)


def _find(kind: str, name: object, among: Mapping):
    if not isinstance(name, str) or name not in among:
        are = "data are" if kind == "data" else f"{kind}s are"
        raise ValueError(f"unknown {kind} {shown(name)}{nearest(str(name), among)}; the {are} {', '.join(among)}")
    return among[name]
