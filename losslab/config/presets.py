"""The presets: a size, a recipe and a corpus under one name."""

import typing

from losslab.config.numbers import shown
from losslab.config.sections import DataConfig, EvaluateConfig, ExperimentConfig, ModelConfig, TrainConfig
from losslab.words import nearest


def tiny() -> ExperimentConfig:
    """The demo: half a minute a run on one core."""
    return ExperimentConfig(
        model=ModelConfig(n_layer=2, n_head=4, n_embd=96, max_seq_len=128),
        train=TrainConfig(num_tokens=1_000_000, batch_size=8, learning_rate=4e-3, min_learning_rate=4e-4),
        data=DataConfig(max_bytes=4_000_000, val_bytes=200_000, tune_bytes=100_000),
        evaluate=EvaluateConfig(tune_tokens=8192),
    )


def char() -> ExperimentConfig:
    """nanoGPT's CPU run on Shakespeare's characters: 4 layers, width 128, context 64, 2,000 steps."""
    return ExperimentConfig(
        data=DataConfig(tokenizer="char"),
        model=ModelConfig(n_layer=4, n_head=4, n_embd=128, max_seq_len=64, bias=False, activation="gelu"),
        train=TrainConfig(num_steps=2000, batch_size=12, learning_rate=1e-3, min_learning_rate=1e-4, warmup_steps=100),
    )


def story_3m() -> ExperimentConfig:
    """A small story model with GPT-2's vocabulary: 6 layers, 8 heads, width 64, context 128."""
    return ExperimentConfig(
        data=DataConfig(corpus="tinystories", tokenizer="gpt2"),
        model=ModelConfig(n_layer=6, n_head=8, n_embd=64, max_seq_len=128),
        train=TrainConfig(num_tokens=10_000_000, batch_size=32, learning_rate=2e-3, min_learning_rate=2e-4),
    )


def _gpt2(n_layer: int, n_head: int, n_embd: int, learning_rate: float) -> ExperimentConfig:
    return ExperimentConfig(
        data=DataConfig(corpus="openwebtext", tokenizer="gpt2", max_bytes=40_000_000_000),
        model=ModelConfig(n_layer=n_layer, n_head=n_head, n_embd=n_embd, max_seq_len=1024),
        train=TrainConfig(
            num_tokens=10_000_000_000, batch_size=480, micro_batch_size=12, learning_rate=learning_rate,
            min_learning_rate=learning_rate / 10, warmup_steps=700, betas=(0.9, 0.95), checkpoint_every=1000,
        ),
    )


PRESETS: dict[str, typing.Callable[[], ExperimentConfig]] = {
    "tiny": tiny,
    "char": char,
    "story-3m": story_3m,
    "gpt2": lambda: _gpt2(12, 12, 768, 6e-4),
    "gpt2-medium": lambda: _gpt2(24, 16, 1024, 3e-4),
    "gpt2-large": lambda: _gpt2(36, 20, 1280, 2.5e-4),
    "gpt2-xl": lambda: _gpt2(48, 25, 1600, 2e-4),
}


def preset(name: str) -> ExperimentConfig:
    """The named preset; an unknown name is answered with the nearest one."""
    if not isinstance(name, str) or name not in PRESETS:
        near = nearest(str(name), PRESETS)
        raise ValueError(f"unknown preset {shown(name)}{near}; the presets are {', '.join(PRESETS)}")
    return PRESETS[name]()
