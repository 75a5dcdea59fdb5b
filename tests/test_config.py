"""Settings: what is refused, what is offered instead, presets, files, and the name of a configuration."""

import dataclasses
import json

import pytest

from losslab import config as room
from losslab.config import (
    PRESETS,
    DataConfig,
    EvaluateConfig,
    ExperimentConfig,
    ModelConfig,
    TrainConfig,
    digest,
    from_dict,
    load,
    override,
    preset,
    to_dict,
)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid_and_complete(name):
    config = preset(name)
    assert config.num_steps > 0 and config.tokens_per_step == config.train.batch_size * config.model.max_seq_len
    assert from_dict(to_dict(config)) == config
    assert config.train.batch_size == config.train.grad_accum_steps * (
        config.train.micro_batch_size or config.train.batch_size
    )


def test_presets_have_the_sizes_they_are_known_by():
    sizes = {name: dataclasses.astuple(preset(name).model)[:4] for name in PRESETS}
    assert sizes["gpt2"] == (12, 12, 768, 1024) and sizes["gpt2-xl"] == (48, 25, 1600, 1024)
    assert sizes["story-3m"] == (6, 8, 64, 128)
    char = preset("char")
    assert sizes["char"] == (4, 4, 128, 64) and (char.num_steps, char.train.batch_size) == (2000, 12)


def test_an_unknown_preset_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match="unknown preset 'tinny'; did you mean tiny\\?; the presets are tiny, char"):
        preset("tinny")
    with pytest.raises(ValueError, match="unknown preset 5; the presets are tiny"):
        preset(5)


def test_every_field_has_its_meaning_beneath_it():
    from docstring_parser import parse_from_object

    for section in (DataConfig, ModelConfig, TrainConfig, EvaluateConfig):
        meaning = {p.arg_name: p.description for p in parse_from_object(section).params}
        assert all(meaning.get(field.name) for field in dataclasses.fields(section)), section


@pytest.mark.parametrize("name", PRESETS)
def test_a_configuration_survives_json(name):
    config = override(preset(name), {"seed": 7, "loss": "softcap(15) | mse"})
    assert from_dict(json.loads(json.dumps(to_dict(config)))) == config
    assert digest(json.loads(json.dumps(to_dict(config)))) == digest(to_dict(config))


def test_a_digest_names_the_value_and_not_the_order_of_its_keys():
    assert digest({"a": 1, "b": [1, 2]}) == digest({"b": (1, 2), "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})
    assert len(digest({})) == 12 and int(digest({}), 16) >= 0


def test_values_are_laid_over_and_the_rest_stays():
    config = override(preset("tiny"), {"train": {"learning-rate": 1, "betas": [0.8, 0.9]}, "data": {"corpus": "pydoc"}})
    assert config.train.learning_rate == 1.0 and type(config.train.learning_rate) is float
    assert config.train.betas == (0.8, 0.9) and config.data.corpus == "pydoc"
    assert config.train.batch_size == preset("tiny").train.batch_size and config.model == preset("tiny").model


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"train": {"learnig_rate": 1}}, r"unknown field train.learnig_rate in spec.toml; did you mean learning_"),
        ({"los": "mse"}, r"unknown field los in spec.toml; did you mean loss\?"),
        ({"zzz": 1}, "unknown field zzz in spec.toml$"),
        ({"train": 5}, "train in spec.toml is a table of settings, got 5"),
        ({"model": {"n_layer": "four"}}, "model.n_layer in spec.toml must be int, got 'four'"),
        ({"model": {"n_layer": 2.5}}, "model.n_layer in spec.toml must be int, got 2.5"),
        ({"model": {"n_layer": True}}, "model.n_layer in spec.toml must be int, got True"),
        ({"model": {"bias": 1}}, "model.bias in spec.toml must be bool, got 1"),
        ({"train": {"learning_rate": "fast"}}, "train.learning_rate in spec.toml must be float, got 'fast'"),
        ({"train": {"learning_rate": False}}, "train.learning_rate in spec.toml must be float, got False"),
        ({"loss": 3}, "loss in spec.toml must be str, got 3"),
        ({"train": {"betas": [0.9]}}, r"train.betas in spec.toml takes 2 numbers, got \[0.9\]"),
        ({"train": {"betas": 0.9}}, "train.betas in spec.toml takes 2 numbers, got 0.9"),
        ({"train": {"betas": ["a", 0.9]}}, "train.betas in spec.toml must be float, got 'a'"),
    ],
)
def test_an_unknown_field_or_a_wrong_type_is_named(values, sentence):
    with pytest.raises(ValueError, match=sentence):
        override(ExperimentConfig(), values, source="spec.toml")


def test_a_whole_number_may_be_written_as_a_float():
    layers = override(ModelConfig(), {"n_layer": 3.0}).n_layer
    assert layers == 3 and type(layers) is int


@pytest.mark.parametrize(
    ("section", "values", "sentence"),
    [
        (ModelConfig, {"n_embd": 130}, r"model.n_embd \(=130\) must be divisible by model.n_head \(=4\)"),
        (ModelConfig, {"n_layer": 0}, "must be at least 1"),
        (ModelConfig, {"max_seq_len": 0}, "must be at least 1"),
        (ModelConfig, {"dropout": 1.0}, r"model.dropout must be in \[0, 1\), got 1.0"),
        (TrainConfig, {"num_tokens": 5, "num_steps": 5}, r"num_tokens \(=5\) and train.num_steps \(=5\) both set"),
        (TrainConfig, {"num_tokens": -1}, "train.num_tokens must not be negative, got -1"),
        (TrainConfig, {"batch_size": 0}, "train.batch_size must be at least 1, got 0"),
        (TrainConfig, {"micro_batch_size": 3}, r"train.batch_size \(=16\) must be divisible by .* \(=3\)"),
        (TrainConfig, {"learning_rate": 1e-5}, r"min_learning_rate \(=0.0001\) must lie between 0 and .* \(=1e-05\)"),
        (TrainConfig, {"learning_rate": float("nan")}, "must lie between 0 and"),
        (TrainConfig, {"weight_decay": -0.1}, "train.weight_decay must not be negative, got -0.1"),
        (TrainConfig, {"grad_clip": -1.0}, "train.grad_clip must not be negative, got -1.0"),
        (TrainConfig, {"grad_clip": float("nan")}, "train.grad_clip must not be negative, got nan"),
        (TrainConfig, {"betas": (0.9, 1.0)}, r"train.betas must both be in \[0, 1\), got \[0.9, 1.0\]"),
        (TrainConfig, {"device": "gpu"}, "train.device must be auto, cpu, cuda or mps, got 'gpu'"),
        (TrainConfig, {"dtype": "float16"}, "train.dtype must be auto, float32 or bfloat16, got 'float16'"),
        (EvaluateConfig, {"stride": -1}, "evaluate.stride must not be negative, got -1"),
        (EvaluateConfig, {"batch_size": 0}, "evaluate.batch_size must be at least 1, got 0"),
        (EvaluateConfig, {"tasks_every": -1}, "evaluate.tasks_every must not be negative, got -1"),
        (EvaluateConfig, {"tasks_every": 5}, "evaluate.tasks \\(=''\\) and evaluate.tasks_every \\(=5\\) go together"),
        (EvaluateConfig, {"tasks": "blimp"}, "go together; give both, or neither"),
        (ExperimentConfig, {"seed": -1}, r"seed must be between 0 and 2\*\*32 - 1, got -1"),
        (ExperimentConfig, {"seed": 2**32}, "seed must be between 0"),
    ],
)
def test_a_value_out_of_range_is_named_with_what_would_do(section, values, sentence):
    with pytest.raises(ValueError, match=sentence):
        section(**values)


def test_settings_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        preset("tiny").train.batch_size = 3


def test_the_horizon_is_counted_in_updates():
    assert TrainConfig(num_steps=7).horizon(128) == 7
    assert TrainConfig(num_tokens=10_000, batch_size=8).horizon(100) == 12
    assert TrainConfig(num_tokens=5).horizon(128) == 1  # never none at all
    with pytest.raises(ValueError, match="the horizon is not set: give train.num_tokens or train.num_steps"):
        TrainConfig().horizon(128)


def test_the_horizon_given_last_wins_over_the_preset_s():
    assert override(preset("char"), {"train": {"num_tokens": 7680}}).num_steps == 10
    assert override(preset("tiny"), {"train": {"num_steps": 3}}).num_steps == 3
    with pytest.raises(ValueError, match="both set the horizon"):
        override(preset("tiny"), {"train": {"num_steps": 3, "num_tokens": 4}})


def test_curves_have_twenty_points_unless_said_otherwise():
    assert preset("char").evaluate_every == 100
    assert override(preset("char"), {"evaluate": {"every": 7}}).evaluate_every == 7
    assert override(preset("char"), {"train": {"num_steps": 3}}).evaluate_every == 1


def test_micro_batches_divide_the_batch():
    assert TrainConfig(batch_size=12, micro_batch_size=4).grad_accum_steps == 3
    assert TrainConfig(batch_size=12).grad_accum_steps == 1


# --- files -------------------------------------------------------------------------------------

def test_a_toml_file_starts_from_its_preset(tmp_path):
    spec = tmp_path / "spec.toml"
    spec.write_text(
        'preset = "char"\nloss = "softcap(15) | cross_entropy"\nseed = 3\n[train]\nbetas = [0.9, 0.95]\n'
        'learning-rate = 2e-3\n[data]\ncorpus = "tales"\n'
    )
    wanted = dataclasses.replace(
        preset("char"), loss="softcap(15) | cross_entropy", seed=3,
        train=dataclasses.replace(preset("char").train, betas=(0.9, 0.95), learning_rate=2e-3),
        data=dataclasses.replace(preset("char").data, corpus="tales"),
    )
    assert load(spec) == wanted == load(str(spec))


def test_a_file_without_preset_starts_from_tiny(tmp_path):
    spec = tmp_path / "spec.toml"
    spec.write_text("seed = 3\n")
    assert load(spec) == override(preset("tiny"), {"seed": 3})


def test_a_json_file_is_read_back_as_it_was_written(tmp_path):
    config = override(preset("story-3m"), {"seed": 5})
    (tmp_path / "spec.json").write_text(json.dumps(to_dict(config)))
    assert load(tmp_path / "spec.json") == config


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("spec.toml", "seed = \n", r"spec.toml is not a readable specification: Invalid value"),
        ("spec.json", "{", r"spec.json is not a readable specification: Expecting"),
        ("spec.json", "[1]", r"spec.json must hold one table of settings, got \[1\]"),
        ("spec.toml", 'preset = "tinny"\n', r"unknown preset 'tinny'; did you mean tiny\?"),
        ("spec.toml", "preset = 3\n", "unknown preset 3"),
        ("spec.toml", "[train]\nlearnig_rate = 1\n", r"unknown field train.learnig_rate in spec.toml; did you mean"),
        ("spec.toml", "[model]\nn_embd = 130\n", "must be divisible"),
    ],
)
def test_a_bad_file_is_answered_in_one_sentence(tmp_path, name, text, sentence):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=sentence):
        load(tmp_path / name)


def test_a_missing_or_unreadable_file_is_a_user_s_mistake(tmp_path):
    (tmp_path / "spec.toml").write_bytes(b"loss = '\xff'")
    for name in ("spec.toml", "none.toml"):
        with pytest.raises(room.Errors, match="none.toml|utf-8"):
            load(tmp_path / name)
