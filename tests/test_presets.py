"""Presets: which settings they are, and sizes, recipes and data chosen apart."""

import pytest

from losslab.config import (
    PRESETS,
    ExperimentConfig,
    combined,
    flatten,
    from_dict,
    preset,
    to_dict,
)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_and_complete(name):
    config = preset(name)
    assert config.num_steps > 0 and config.tokens_per_step == config.train.batch_size * config.model.num_positions
    assert from_dict(to_dict(config)) == config
    assert config.train.batch_size == config.train.grad_accum_steps * (
        config.train.micro_batch_size or config.train.batch_size
    )


OF_GPT2 = {
    "data.corpus": "openwebtext", "data.tokenizer": "gpt2", "data.max_bytes": 40_000_000_000,
    "model.num_positions": 1024, "train.num_tokens": 10_000_000_000, "train.batch_size": 480,
    "train.micro_batch_size": 12, "train.warmup_steps": 700, "train.betas": (0.9, 0.95), "train.checkpoint_every": 1000,
}
CHANGED = {  # what each preset sets to another value than the default: sizes, learning rates
    "tiny": {
        "data.val_bytes": 200_000, "data.tune_bytes": 100_000, "data.max_bytes": 4_000_000, "model.n_layer": 2,
        "model.n_embd": 96, "train.num_tokens": 1_000_000, "train.batch_size": 8, "train.learning_rate": 4e-3,
        "evaluate.tune_tokens": 8192,
    },
    "char": {
        "data.tokenizer": "char", "model.num_positions": 64, "model.bias": False, "model.activation": "gelu",
        "train.num_steps": 2000, "train.batch_size": 12,
    },
    "story-3m": {
        "data.corpus": "tinystories", "data.tokenizer": "gpt2", "model.n_layer": 6, "model.n_head": 8,
        "model.n_embd": 64, "train.num_tokens": 10_000_000, "train.batch_size": 32, "train.learning_rate": 2e-3,
    },
    **{name: OF_GPT2 | {"model.n_layer": n_layer, "model.n_head": n_head, "model.n_embd": n_embd,
                        "train.learning_rate": rate}
       for name, n_layer, n_head, n_embd, rate in (
           ("gpt2", 12, 12, 768, 6e-4), ("gpt2-medium", 24, 16, 1024, 3e-4), ("gpt2-large", 36, 20, 1280, 2.5e-4),
           ("gpt2-xl", 48, 25, 1600, 2e-4))},
}  # fmt: skip


def test_presets_are_these_settings():
    defaults = flatten(to_dict(ExperimentConfig()))
    assert CHANGED == {
        name: {key: value for key, value in flatten(to_dict(preset(name))).items() if value != defaults[key]}
        for name in PRESETS
    }


def test_a_size_a_recipe_and_data_are_chosen_apart():
    mixed = combined("story-3m", "classic", "tales-small")
    assert (mixed.model, mixed.train) == (preset("story-3m").model, preset("story-3m").train)
    assert (mixed.data, mixed.evaluate) == (preset("tiny").data, preset("tiny").evaluate)
    with pytest.raises(ValueError, match="unknown size 'tini'; did you mean tiny\\?; the sizes are tiny, char"):
        combined("tini", "classic", "tales-small")
    with pytest.raises(ValueError, match="unknown recipe 'classical'; did you mean classic\\?; the recipes are"):
        combined("tiny", "classical", "tales-small")
    with pytest.raises(ValueError, match="unknown data 'tales'.*; the data are tales-small, tales-characters"):
        combined("tiny", "classic", "tales")


def test_an_unknown_preset_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="unknown preset 'tinny'; did you mean tiny\\?; the presets are tiny, char"):
        preset("tinny")
    with pytest.raises(ValueError, match="unknown preset 5; the presets are tiny"):
        preset(5)
