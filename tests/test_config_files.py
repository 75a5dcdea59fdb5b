"""Settings in TOML and JSON files: read as written, or refused in one sentence."""

import dataclasses
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from losslab import config as module
from losslab.config import (
    ExperimentConfig,
    chosen,
    load,
    override,
    preset,
    to_dict,
)


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


def test_a_file_may_name_a_size_and_a_recipe_and_the_flags_replace_what_it_names(tmp_path):
    spec = tmp_path / "spec.toml"
    spec.write_text('size = "char"\nrecipe = "modern"\nseed = 3\n')
    assert load(spec) == override(chosen(size="char", recipe="modern"), {"seed": 3})
    assert load(spec, recipe="classic") == override(preset("char"), {"seed": 3})
    assert load(spec, preset="tiny") == override(preset("tiny"), {"seed": 3})
    spec.write_text('preset = "char"\n')
    assert load(spec, recipe="modern") == chosen(size="char", recipe="modern")


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
