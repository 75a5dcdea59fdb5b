"""Settings: what is refused, what is offered instead, presets, files, and the name of a configuration."""

import dataclasses
import json
import math
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from losslab import config as module
from losslab.config import (
    PRESETS,
    DataConfig,
    EvaluateConfig,
    ExperimentConfig,
    ModelConfig,
    TrainConfig,
    combined,
    digest,
    flatten,
    from_dict,
    load,
    override,
    preset,
    to_dict,
)
from losslab.config.numbers import LIMITS, whole
from losslab.config.synonyms import SYNONYMS
from losslab.model import GPT2


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
        "train.min_learning_rate": 4e-4, "evaluate.tune_tokens": 8192,
    },
    "char": {
        "data.tokenizer": "char", "model.num_positions": 64, "model.bias": False, "model.activation": "gelu",
        "train.num_steps": 2000, "train.batch_size": 12,
    },
    "story-3m": {
        "data.corpus": "tinystories", "data.tokenizer": "gpt2", "model.n_layer": 6, "model.n_head": 8,
        "model.n_embd": 64, "train.num_tokens": 10_000_000, "train.batch_size": 32, "train.learning_rate": 2e-3,
        "train.min_learning_rate": 2e-4,
    },
    **{name: OF_GPT2 | {"model.n_layer": n_layer, "model.n_head": n_head, "model.n_embd": n_embd,
                        "train.learning_rate": rate, "train.min_learning_rate": rate / 10}
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
        (TrainConfig, {"learning_rate": 1e-5}, r"min_learning_rate \(=0.0001\) must lie between 0 and .* \(=1e-05\)"),
        (TrainConfig, {"learning_rate": float("nan")}, "train.learning_rate must be a finite number, got nan"),
        (TrainConfig, {"weight_decay": -0.1}, "train.weight_decay must not be negative, got -0.1"),
        (TrainConfig, {"grad_clip": -1.0}, "train.grad_clip must not be negative, got -1.0"),
        (TrainConfig, {"grad_clip": float("nan")}, "train.grad_clip must be a finite number, got nan"),
        (TrainConfig, {"betas": (0.9, 1.0)}, r"train.betas must both be in \[0, 1\), got \[0.9, 1.0\]"),
        (TrainConfig, {"device": "gpu"}, "train.device must be auto, cpu, cuda or mps, or cuda:N, got 'gpu'"),
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
        with pytest.raises(module.Errors, match="none.toml|utf-8"):
            load(tmp_path / name)


HOSTILE = {
    "dots.toml": (".".join("a" * 40_000) + " = 1", "a line has more than 300 dots"),
    "deep.toml": ("a = " + "[" * 50_000, "nested too deep"),
    "deep.json": ("[" * 90_000, "nested too deep"),
    "lists.toml": ("[model]\nn_layer = " + "[" * 300 + "]" * 300, "must be a whole number, got [[[["),
    "nines.toml": ("[train]\nlearning_rate = " + "9" * 400, "must be a finite number, got a number of more than 30"),
    "digits.json": ('{"seed": ' + "9" * 90_000 + "}", "is not a readable specification: Exceeds the limit"),
    "hex.toml": ("seed = 0x" + "f" * 9000, "seed must be between 0 and 2**32 - 1, got a number of more than 30 digits"),
    "inf.toml": ("[train]\nlearning_rate = 1e999", "train.learning_rate must be a finite number, got inf"),
    "nan.json": ('{"seed": NaN}', "seed in nan.json must be a whole number, got nan"),
    "large.toml": ("#" * 100_001, "has more than 100,000 bytes"),
    "surrogate.json": ('{"\\ud800": 1}', "unknown field"),
    "twice.toml": ("[train]\nbatch_size = 2\nbatch-size = 3", "train.batch_size stands twice"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_answered_in_one_short_sentence(tmp_path, name):
    text, sentence = HOSTILE[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError) as raised:
        load(tmp_path / name)
    assert sentence in str(raised.value) and len(str(raised.value)) < len(str(tmp_path)) + 300


def test_what_is_no_regular_file_is_refused_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    for path in (tmp_path / "pipe.toml", tmp_path, "/dev/zero"):
        with pytest.raises(ValueError, match="is not a file with a specification, but a folder, a pipe or a device"):
            load(path)


SECTIONS = ("data", "model", "train", "evaluate")
NAMES = ["preset", "loss", "seed", *SECTIONS, *(f for s in SECTIONS for f in to_dict(ExperimentConfig())[s])]
KEYS = st.sampled_from([*NAMES, "lr"])
NUMBERS = st.one_of(st.integers(), st.floats(), st.sampled_from([10**400, -1, 0, 2**31, 10**15, "1e6", "9" * 99]))
VALUES = st.recursive(
    st.one_of(NUMBERS, st.booleans(), st.none(), st.text(max_size=8), st.sampled_from(["tiny", "cuda:7", "1e9999"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
)
LITERALS = st.one_of(NUMBERS.map(str), st.text(max_size=9), st.sampled_from(["'1e6'", "[[1]]", "{a=1}", "1979-05-27"]))
LINES = st.lists(st.one_of(st.sampled_from([f"[{name}]" for name in SECTIONS]), st.text(max_size=9),
                           st.builds("{} = {}".format, KEYS, LITERALS)), max_size=6).map("\n".join)  # fmt: skip


@settings(max_examples=60, derandomize=True, deadline=None,
          suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
@given(st.dictionaries(KEYS, VALUES | st.dictionaries(KEYS, NUMBERS), max_size=5), LINES)
def test_whatever_stands_in_a_file_it_is_read_or_refused(tmp_path, values, text):
    whole_file = json.dumps(values)
    for name, content in [("spec.json", whole_file), ("cut.json", whole_file[:-1]), ("spec.toml", text)]:
        (tmp_path / name).write_text(content, encoding="utf-8", errors="replace")
        try:
            assert load(tmp_path / name).tokens_per_step > 0
        except module.Errors as error:
            assert 0 < len(str(error)) < 600


# --- numbers -----------------------------------------------------------------------------------

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
    numbers = {f"{name}.{field}" for name in SECTIONS for field, value in to_dict(ExperimentConfig())[name].items()
               if isinstance(value, int | float) and not isinstance(value, bool)}  # fmt: skip
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
    fields = to_dict(ExperimentConfig())
    for name, full in SYNONYMS.items():
        section, _, field = full.rpartition(".")
        assert field in (fields[section] if section else fields) and name not in NAMES, name


@pytest.mark.parametrize("sizes", [
    {}, {"bias": False}, {"tied": False}, {"bias": False, "tied": False, "n_layer": 1, "n_head": 3, "n_embd": 21},
])  # fmt: skip
def test_parameters_are_counted_as_the_model_counts_them(sizes):
    config = ModelConfig(**{"n_layer": 3, "n_head": 2, "n_embd": 24, "num_positions": 10, **sizes})
    assert config.num_params(101) == GPT2(config, 101).num_params


def test_the_models_of_the_paper_have_the_parameters_they_are_known_by():
    known = {"gpt2": 124_439_808, "gpt2-medium": 354_823_168, "gpt2-large": 774_030_080, "gpt2-xl": 1_557_611_200}
    assert {name: preset(name).model.num_params(50257) for name in known} == known  # the weights that were published
