"""Study files: what is written is read again, and what cannot be is refused in one sentence."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from losslab import config as configuration
from losslab import study
from losslab.study import Arm, Study

FULL = """
name = "rates"
question = "Does squentropy need another rate?"
size = "tiny"
data = "tales-small"
corpus = "pydoc"
seeds = [3, 5, 8]
baseline = "slow"
margin = 0.005
race = [2, 3]
tasks = ["blimp"]
match = "time"

[settings]
train.num-tokens = 200_000
"train.batch_size" = 4
evaluate = {every = 7}

[[arm]]
loss = "cross_entropy"

[[arm]]
loss = "cross_entropy"
label = "slow"
train.learning_rate = 2e-3

[[arm]]
loss = "label_smoothing(0.2)"
space = {epsilon = [0.05, 0.2]}

[[arm]]
loss = "label_smoothing(0.2)"
train.betas = [0.9, 0.95]

[tune]
trials = 5
[tune.space]
learning_rate = {low = 1e-3, high = 1e-2, log = true}

[scales.smoke]
seeds = 2
race = []
settings.train.num_steps = 10
tune.trials = 1
[scales.full]
preset = "char"

[published]
source = "Somebody, 2023"
[[published.figures]]
label = "squentropy"
measure = "accuracy"
value = 71
unit = "%"
"""
ARM = '\n[[arm]]\nloss = "mse"\n'


def put(tmp_path, text):
    path = tmp_path / "study.toml"
    path.write_text(text)
    return path


def test_a_file_with_everything_is_read_as_it_says(tmp_path):
    found = study.read(put(tmp_path, FULL))
    assert found.seeds == (3, 5, 8) and found.margin == 0.005 and found.match == "time" and found.race == (2, 3)
    assert found.settings == {"train.num_tokens": 200_000, "train.batch_size": 4, "evaluate.every": 7}
    assert list(found.configs) == ["cross_entropy", "slow", "label_smoothing(0.2)",
                                   "label_smoothing(0.2) (betas [0.9, 0.95])"]
    base = configuration.preset("tiny")
    wanted = configuration.override(base, {
        "loss": "cross_entropy", "data": {"corpus": "pydoc"}, "evaluate": {"every": 7},
        "train": {"num_tokens": 200_000, "batch_size": 4, "learning_rate": 2e-3}})
    assert found.configs["slow"] == wanted
    assert found.configs["cross_entropy"].train.learning_rate == base.train.learning_rate
    assert found.spaces == {"label_smoothing(0.2)": {"epsilon": [0.05, 0.2]}}
    assert found.published["figures"] == [{"label": "squentropy", "measure": "accuracy", "value": 71.0, "unit": "%"}]
    found.write(tmp_path / "again.toml")
    assert study.read(tmp_path / "again.toml") == found
    assert "[tune.space]\nlearning_rate = { low = 0.001, high = 0.01, log = true }\n" in (
        tmp_path / "again.toml").read_text()


def test_settings_to_tune_may_be_named_by_tables_in_tables_and_are_written_so_that_they_can_be_read(tmp_path):
    space = "[tune]\ntrials = 3\nspace.train.learning_rate = {}\nspace.train.batch_size = [4, 8]\n"
    found = study.read(put(tmp_path, space + ARM))
    found.write(tmp_path / "again.toml")
    assert study.read(tmp_path / "again.toml") == found


def test_an_arm_may_have_a_recipe_of_its_own(tmp_path):
    arms = ["[[arm]]\nloss = 'cross_entropy'\n", "[[arm]]\nloss = 'cross_entropy'\nlabel = 'new'\nrecipe = 'modern'\n"]
    found = study.read(put(tmp_path, "preset = 'char'\n" + "".join(arms)))
    assert found.configs["new"] == configuration.combined("char", "modern", "tales-characters")
    assert found.configs["cross_entropy"] == configuration.preset("char")
    found.write(tmp_path / "again.toml")
    assert study.read(tmp_path / "again.toml") == found
    with pytest.raises(ValueError, match="unknown recipe 'moderne'; did you mean modern"):
        study.read(put(tmp_path, "".join(arms).replace("modern", "moderne")))


def test_a_scale_lays_its_own_over_the_study(tmp_path):
    found = study.read(put(tmp_path, FULL))
    smoke, full = found.at("smoke"), found.at("full")
    assert smoke.name == "rates-smoke" and smoke.seeds == (0, 1) and smoke.tune["trials"] == 1
    assert smoke.race == () and smoke.tune["space"] == found.tune["space"] and not smoke.scales
    slow = smoke.configs["slow"]
    assert slow.train.num_steps == 10 and slow.train.num_tokens == 0  # the horizon given last wins
    assert slow.train.batch_size == 4 and slow.train.learning_rate == 2e-3
    assert full.configs["slow"].model == configuration.preset("char").model and full.seeds == (3, 5, 8)
    assert full.configs["slow"].data.corpus == "pydoc"
    with pytest.raises(ValueError, match=r"has no scale 'smok'; did you mean smoke\?; its scales are smoke, full"):
        found.at("smok")


SETTINGS = st.fixed_dictionaries({}, optional={
    "train.learning_rate": st.floats(1e-6, 1), "train.batch_size": st.integers(1, 64), "train.betas":
    st.lists(st.floats(0, 0.99), min_size=2, max_size=2), "model.tied": st.booleans(), "train.num_tokens":
    st.integers(1, 10**9), "data.corpus": st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=9),
})  # min_learning_rate lies below every rate drawn
LABELS = st.lists(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=20), min_size=1,
                  max_size=4, unique=True)


@settings(max_examples=50)
@given(LABELS, SETTINGS, st.data())
def test_what_is_written_is_read_again(tmp_path_factory, labels, shared, data):
    numbered = [f"{name}; {number}" for number, name in enumerate(labels)]
    own = [data.draw(SETTINGS) | {"evaluate.every": number + 1} for number in range(len(labels))]
    shared |= {"train.min_learning_rate": 0.0}
    wanted = Study(
        arms=tuple(map(Arm, ["cross_entropy", "mse", "z_loss + mse", 'file("a b.py", k=[1, 2.0])'], numbered, own)),
        name=data.draw(st.sampled_from(["", "a", "x-1.toml"])), settings=shared, baseline=numbered[0],
        question=data.draw(st.text(st.characters(categories=["L", "P", "S"]), max_size=30)),
        seeds=tuple(data.draw(st.lists(st.integers(0, 999_999), min_size=1, max_size=9, unique=True))),
        margin=data.draw(st.floats(1e-9, 1)), tune=data.draw(st.sampled_from([{}, {
            "trials": 3, "space": {"a": {}, "b c.d": [1, 2.5], "e": {"low": 1e-3, "values": ["x", "y"]}}}])),
    )
    path = tmp_path_factory.mktemp("study") / "study.toml"
    wanted.write(path)
    assert study.read(path) == wanted and study.read(path).configs == wanted.configs


@pytest.mark.parametrize(("text", "sentence"), [
    ("", "study.toml is empty; a study has [[arm]] tables with a loss each"),
    ("seeds = 3", "study.toml: a study needs at least one arm"),
    ("[[arm]]", 'arm 1 in study.toml needs a loss, such as loss = "squentropy"'),
    ("arm = 3", "arm in study.toml is written as [[arm]] tables, got 3"),
    ("nme = 1" + ARM, "unknown key 'nme' in study.toml; did you mean name?"),
    ("lr = 3" + ARM, "unknown key 'lr' in study.toml; a setting of all arms stands in [settings], as "
                     "train.learning_rate"),
    ("[train]\nnum_steps = 1" + ARM, "unknown key 'train' in study.toml; settings of all arms stand in "
                                     "[settings.train]"),
    ("[settings]\nseed = 1" + ARM, "seed in settings of study.toml is no setting of all arms; give it as seeds"),
    ("[settings]\ntrain.num_tokens = 1\n'train.num-tokens' = 2" + ARM, "train.num_tokens stands twice in settings"),
    ("[settings]\ntrain = 1\n'train.num_tokens' = 2" + ARM, "stands in a table that is also a value"),
    ("[settings]\ntrain.learnin_rate = 1" + ARM, "unknown field train.learnin_rate in the study's settings; did you "
                                                 "mean learning_rate?"),
    (ARM + "train.lr = 1", "unknown field train.lr in the arm 'mse'; did you mean train.learning_rate?"),
    (ARM + "seed = 1", "seed in arm 1 in study.toml is not its own"),
    (ARM + "label = 3", "label in arm 1 in study.toml must be a text, got 3"),
    (ARM + 'label = "\\u001b[2J"', "label in arm 1 in study.toml must be one line of plain text"),
    (ARM + ARM, "study.toml: the arms 'mse' and 'mse' are the same; leave one out"),
    (ARM + ARM + 'label = "again"', "study.toml: the arms 'mse' and 'again' are the same; leave one out"),
    (ARM + '[[arm]]\nloss = "z_loss"\nlabel = "mse"', "two arms are named 'mse'; give one of them another label"),
    ('baseline = "mse2"' + ARM, "study.toml: the baseline 'mse2' is no arm; did you mean mse?; the arms are mse"),
    ("seeds = 0" + ARM, "seeds in study.toml must be at least 1, got 0"),
    ("seeds = [1, 1]" + ARM, "seeds in study.toml hold one twice"),
    ("seeds = [true]" + ARM, "seeds in study.toml is a number of seeds, such as 5, or a list of them"),
    ("seeds = [1_000_000]" + ARM, "kept for trials of tuning; got 1,000,000"),
    ("margin = nan" + ARM, "margin in study.toml must be a finite number, got nan"),
    ("margin = 0" + ARM, "margin must be more than 0, got 0"),
    ("race = [4, 2]" + ARM, "a race looks at growing numbers of seeds"),
    ("race = [2, 4]\nfinal = true" + ARM, "final declares one look and race several; give one of them"),
    ('match = "luck"' + ARM, "match is tokens, time or flops, got 'luck'"),
    ('name = "../up"' + ARM, "name in study.toml is the name of a folder"),
    ('preset = "tin"' + ARM, "unknown preset 'tin'; did you mean tiny?"),
    ('preset = "tiny"\nsize = "tiny"' + ARM, "give preset or size"),
    ("question = 2020-01-01" + ARM, "question in study.toml must be a text, got datetime.date(2020, 1, 1)"),
    (ARM + "[scales.smok]", "unknown key 'scales.smok' in study.toml; did you mean smoke?"),
    (ARM + '[scales.full]\nseeds = "x"', "scales.full.seeds in study.toml is a number of seeds"),
    (ARM + "[scales.full.settings]\ntrain.foo = 1", "at the scale full, unknown field train.foo"),
    (ARM + "[published]\nsorce = 1", "unknown key 'published.sorce' in study.toml; did you mean source?"),
    (ARM + "[[published.figures]]\nlabel = 'a'", "a figure of published in study.toml has no measure"),
    (ARM + "[tune" + ".a" * 200 + "]", "study.toml is nested deeper than any setting is"),
    (ARM + "[tune]\na = " + "[" * 200 + "]" * 200, "study.toml is nested deeper than any setting is"),
    ("[" * 90_000, "study.toml is not a readable study"),
    ("a = " + "[" * 90_000, "study.toml is not a readable study: its lists or tables are nested too deep"),
    ("[" * 1_000_000, "study.toml has more than 100,000 bytes"),
    ("a" + ".a" * 1000 + " = 1", "a line has more than 300 dots"),
    ("seeds = ", "study.toml is not a readable study: Invalid value"),
])
def test_what_cannot_be_is_refused_in_one_sentence(tmp_path, text, sentence):
    with pytest.raises(ValueError) as refused:
        study.read(put(tmp_path, text))
    said = str(refused.value)
    assert sentence in said and said.isprintable() and len(said) < 600


def test_what_is_no_file_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    for path in (tmp_path, tmp_path / "pipe.toml"):
        with pytest.raises(ValueError, match="is not a file with a study, but a folder, a pipe or a device"):
            study.read(path)
    with pytest.raises(FileNotFoundError, match="there is no study .*none.toml; give the path of a study.toml"):
        study.read(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'question = "\xe9"')
    with pytest.raises(ValueError, match="is not a text in utf-8"):
        study.read(tmp_path / "latin.toml")


KEYS = st.sampled_from(["name", "seeds", "arm", "settings", "tune", "scales", "published", "race", "x\x1b", ""])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(Arm) | st.just("mse"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        KEYS | st.sampled_from(["loss", "label", "space", "train", "smoke", "figures", "source", "a.b"]), inner,
        max_size=3), max_leaves=12)


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(KEYS, VALUES, min_size=1))
def test_no_table_ends_in_anything_but_a_study_or_a_sentence(values):
    try:
        study.from_dict(values, "study.toml")
    except ValueError as error:
        assert "study.toml" in str(error)
