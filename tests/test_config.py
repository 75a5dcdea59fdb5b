"""Settings: what is refused, what is offered instead, presets, files, and the name of a configuration."""

import dataclasses
import json
import math

import pytest

from losslab.config import (
    PRESETS,
    DataConfig,
    EvaluateConfig,
    ExperimentConfig,
    ModelConfig,
    TrainConfig,
    digest,
    flatten,
    from_dict,
    override,
    preset,
    to_dict,
)
from losslab.config.numbers import LIMITS, whole
from losslab.config.synonyms import SYNONYMS
from losslab.model import GPT2


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
        ({"model": {"n_layer": "four"}}, "model.n_layer in spec.toml must be a whole number: 'four' is not"),
        ({"model": {"n_layer": 2.5}}, "model.n_layer in spec.toml must be a whole number, got 2.5"),
        ({"model": {"n_layer": True}}, "model.n_layer in spec.toml must be a whole number, got True"),
        ({"model": {"bias": 1}}, "model.bias in spec.toml must be true or false, got 1"),
        ({"train": {"learning_rate": "fast"}}, "train.learning_rate in spec.toml must be a number, got 'fast'"),
        ({"train": {"learning_rate": False}}, "train.learning_rate in spec.toml must be a number, got False"),
        ({"loss": 3}, "loss in spec.toml must be a text, got 3"),
        ({"train": {"betas": [0.9]}}, r"train.betas in spec.toml takes 2 numbers, got \[0.9\]"),
        ({"train": {"betas": 0.9}}, "train.betas in spec.toml takes 2 numbers, got 0.9"),
        ({"train": {"betas": ["a", 0.9]}}, "train.betas in spec.toml must be a number, got 'a'"),
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
        (ModelConfig, {"num_positions": 0}, "must be at least 1"),
        (ModelConfig, {"dropout": 1.0}, r"model.dropout must be in \[0, 1\), got 1.0"),
        (TrainConfig, {"num_tokens": 5, "num_steps": 5}, r"num_tokens \(=5\) and train.num_steps \(=5\) both set"),
        (TrainConfig, {"num_tokens": -1}, "train.num_tokens must not be negative, got -1"),
        (TrainConfig, {"batch_size": 0}, "train.batch_size must be at least 1, got 0"),
        (TrainConfig, {"micro_batch_size": 3}, r"train.batch_size \(=16\) must be divisible by .* \(=3\)"),
        (TrainConfig, {"min_learning_rate_ratio": 1.5}, "min_learning_rate_ratio must be at most 1"),
        (TrainConfig, {"learning_rate": float("nan")}, "train.learning_rate must be a finite number, got nan"),
        (TrainConfig, {"weight_decay": -0.1}, "train.weight_decay must not be negative, got -0.1"),
        (TrainConfig, {"grad_clip": -1.0}, "train.grad_clip must not be negative, got -1.0"),
        (TrainConfig, {"grad_clip": float("nan")}, "train.grad_clip must be a finite number, got nan"),
        (TrainConfig, {"betas": (0.9, 1.0)}, r"train.betas must both be in \[0, 1\), got \[0.9, 1.0\]"),
        (TrainConfig, {"device": "gpu"}, "train.device must be auto, cpu, cuda or mps, or cuda:N, got 'gpu'"),
        (TrainConfig, {"dtype": "float8"}, "train.dtype must be auto, float32, bfloat16 or float16, got 'float8'"),
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


@pytest.mark.parametrize(("text", "value"), [
    ("500_000", 500_000), ("100k", 100_000), ("1e6", 10**6), ("2.5M", 2_500_000), ("1.25E2", 125), ("3B", 3 * 10**9),
    ("20MB", 20 * 10**6), ("1T", 10**12), ("-4", -4), ("1.0", 1), ("0.1k", 100),
    ("9007199254740993", 2**53 + 1), ("9.007199254740993e15", 2**53 + 1),  # where a float would round
])  # fmt: skip
def test_a_whole_number_is_read_exactly(text, value):
    assert whole(text) == value and type(whole(text)) is int
    if 0 < value <= 10**14:
        assert override(TrainConfig(), {"num_tokens": text}).num_tokens == value


@pytest.mark.parametrize("text", ["1.5", "1.2345k", "", "k", "1e-3", "1__0", "_1", "0x10", "1 k", "nan", "1e999", "٣"])
def test_what_is_no_whole_number_is_refused(text):
    with pytest.raises(ValueError, match="is not a whole number|has more than 30 digits"):
        whole(text)


def test_every_number_has_bounds_and_both_ends_hold():
    fields = flatten(to_dict(ExperimentConfig()))
    numbers = {name for name, value in fields.items() if "." in name and type(value) in (int, float)}
    assert numbers == LIMITS.keys()
    for name, (low, high, why) in LIMITS.items():
        section, field = name.split(".")
        for value in (low - 1, high * 2 + 1, math.nan, math.inf):
            with pytest.raises(ValueError, match=f"{name} (in spec.json )?must"):
                from_dict({section: {field: value}})
        assert why and low < high


@pytest.mark.parametrize(("values", "sentence"), [
    ({"train": {"num_tokens": 10**15}}, "train.num_tokens must be at most 100,000,000,000,000 .more than twice the l"),
    ({"train": {"num_steps": 10**13}}, r"train.num_steps \(=10,000,000,000,000\) updates of 2,048 tokens are 2e\+16 t"),
    ({"model": {"n_layer": 100_000}}, "model.n_layer must be at most 10,000 .ten times the deepest"),
    ({"model": {"n_layer": 9000, "n_embd": 16384}}, r"has 2.9e\+13 parameters, more than the 2e\+11"),
    ({"train": {"batch_size": 2**20}, "model": {"num_positions": 2**20}}, "tokens per update, more than the 2,147,483"),
    ({"train": {"device": "cuda:x"}}, "or cuda:N, got 'cuda:x'"),
    ({"lr": 1}, r"unknown field lr in spec.json; did you mean train.learning_rate\?"),
    ({"train": {"lr": 1}}, r"unknown field train.lr in spec.json; did you mean train.learning_rate\?"),
    ({"train": {"block_size": 1}}, r"did you mean model.num_positions\?"),
])  # fmt: skip
def test_what_nobody_can_train_is_refused_with_the_reason(values, sentence):
    with pytest.raises(ValueError, match=sentence):
        from_dict(values)


def test_every_synonym_means_a_setting_that_exists_and_is_none_itself():
    fields = flatten(to_dict(ExperimentConfig()))
    taken = {"preset", *(part for name in fields for part in name.split("."))}
    for name, full in SYNONYMS.items():
        assert full in fields and name not in taken, name


@pytest.mark.parametrize("sizes", [
    {}, {"bias": False}, {"tied": False}, {"bias": False, "tied": False, "n_layer": 1, "n_head": 3, "n_embd": 21},
])  # fmt: skip
def test_parameters_are_counted_as_the_model_counts_them(sizes):
    config = ModelConfig(**{"n_layer": 3, "n_head": 2, "n_embd": 24, "num_positions": 10, **sizes})
    assert config.num_params(101) == GPT2(config, 101).num_params


def test_the_models_of_the_paper_have_the_parameters_they_are_known_by():
    known = {"gpt2": 124_439_808, "gpt2-medium": 354_823_168, "gpt2-large": 774_030_080, "gpt2-xl": 1_557_611_200}
    assert {name: preset(name).model.num_params(50257) for name in known} == known  # the weights that were published
