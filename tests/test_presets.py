"""Presets: which settings they are, and sizes, recipes and data chosen apart."""

import pytest

from losslab.config import (
    PRESETS,
    SIZES,
    ExperimentConfig,
    chosen,
    combined,
    flatten,
    from_dict,
    laid_over,
    preset,
    recipes,
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


def test_a_size_with_a_recipe_and_what_is_not_given_is_as_in_its_preset():
    assert chosen() == preset("tiny") == chosen(size="tiny") == chosen(recipe="classic")
    assert chosen(size="char", recipe="classic") == preset("char") == chosen(preset="char")
    modern = chosen(size="char", recipe="modern")
    assert modern.data == preset("char").data and modern.model.n_embd == preset("char").model.n_embd
    assert (modern.model.activation, modern.train.optimizer, modern.train.schedule) == ("relu_squared", "muon", "wsd")
    with pytest.raises(ValueError, match="one word; give preset or size, recipe"):
        chosen(preset="tiny", size="tiny", recipe="modern")
    assert laid_over({"size": "char"}, preset="tiny") == {"preset": "tiny"}
    assert laid_over({"preset": "char"}, size="tiny")["data"] == "tales-characters"


@pytest.mark.parametrize("size", SIZES)
def test_modern_knows_every_size_of_classic_at_the_same_tokens_and_char_at_less_than_a_sixth(size):
    classic, modern = (chosen(size=size, recipe=recipe) for recipe in ("classic", "modern"))
    assert (classic.data, classic.evaluate) == (modern.data, modern.evaluate)
    if size == "char":  # which is there to show the time to the quality of classic
        assert 6 * modern.num_tokens < classic.num_tokens and not modern.model.tied
    else:
        assert classic.num_tokens == modern.num_tokens and modern.model.tied
    sizes = ("n_layer", "n_head", "n_embd", "num_positions")
    assert all(getattr(classic.model, name) == getattr(modern.model, name) for name in sizes)
    assert modern.model.position_embedding == "rotary" and modern.model.norm == "rms" and modern.model.qk_norm
    assert modern.model.activation == "relu_squared" and modern.model.zero_init and not modern.model.bias


MISTAKES = {
    "unknown field train.learning_rat in mine.toml; did you mean learning_rate?": "[train]\nlearning_rat = 1",
    "unknown field size.tiny.trian in mine.toml; did you mean train?": "[size.tiny.trian]\nlearning_rate = 1",
    "unknown field modle in mine.toml; did you mean model?": "[modle]\nn_layer = 1",
    "model.qk_norm in mine.toml must be true or false, got 1": "[model]\nqk_norm = 1",
    "size.tiny.model in mine.toml is a table of settings, got 3": "[size.tiny]\nmodel = 3",
    "the recipe mine does not say how the size tiny is trained; it says it for char": "[size.char]",
}


@pytest.mark.parametrize("sentence", MISTAKES)
def test_a_recipe_that_names_what_is_not_there_is_refused(sentence):
    text = MISTAKES[sentence] if "size." in MISTAKES[sentence] else f"{MISTAKES[sentence]}\n[size.tiny]\n"
    with pytest.raises(ValueError) as error:
        recipes.parse("mine", text).of("tiny", SIZES["tiny"])
    assert str(error.value) == sentence
