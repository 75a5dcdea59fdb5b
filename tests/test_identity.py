"""The identity of a run: what it covers, what later settings leave alone, and runs that version 1 of it named."""

import dataclasses
import json
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from experiments import SMALL, change
from experiments import place as place
from hypothesis import given
from hypothesis import strategies as st

from losslab import checkpoint, experiment
from losslab import config as configuration
from losslab.config import ExperimentConfig, digest, identity, override, preset, rates
from losslab.evaluate import evaluator
from losslab.experiment import Experiment
from losslab.study import checks


def before(name):
    """A preset with the numerics that all runs had when these digests were made."""
    return override(preset(name), {"train": {"numerics": "reference"}})


TOLD = {"objective": "1.0*cross_entropy()", "corpus": "c0ffee"}
GOLDEN = {  # these never change: stores are full of them
    "tiny": (before("tiny"), {}, "f57903f0ff51"),
    "char": (before("char"), {}, "dc8a639eca67"),
    "gpt2": (before("gpt2"), {}, "412c975f80db"),
    "a loss with parameters": (
        before("tiny"), {"objective": "1.0*label_smoothing(epsilon=0.05) + 0.001*z_loss(center=0.0)"}, "8f09292861d6"),
    "a start": (before("tiny"), {"weights": "ab" * 32}, "521ad4f17d79"),
    "a stride": (override(before("tiny"), {"evaluate": {"stride": 64}}), {}, "248b9e12baa6"),
}


PACED = {"data": {"curriculum": "length", "pacing": "step"}}  # so that every setting of a curriculum is one of the run


@pytest.mark.parametrize("name", GOLDEN)
def test_a_digest_never_changes(name):
    config, told, expected = GOLDEN[name]
    assert digest(identity(config, **TOLD | told)) == expected
    other = dataclasses.replace(config, seed=7, loss="spelled differently", start="somewhere")
    assert digest(identity(other, **TOLD | told)) == expected  # of these the identity knows more than the name
    other = override(other, {"data": {"corpus": "moved", "max_bytes": "30M"}, "train": {"num_steps": config.num_steps}})
    assert digest(identity(other, **TOLD | told)) == expected  # one text by its digest, one horizon however it is given


def test_a_setting_in_the_identity_makes_another_digest_and_one_outside_does_not():
    config = preset("tiny")
    for name, value in configuration.flatten(configuration.to_dict(config)).items():
        if name in configuration.instead() - {"train.min_learning_rate_ratio"}:
            continue
        base = override(config, PACED) if name.startswith(("data.pacing", "data.hardest")) else config
        first, after = identity(base, **TOLD), identity(_changed(base, name, value), **TOLD)
        assert (after == first) == (name in configuration.outside()), name
        if name not in configuration.outside():
            changed = {key for key in after.keys() | first.keys() if after.get(key) != first.get(key)}
            also = {"train.min_learning_rate"} if "learning_rate" in name else {"num_steps"}
            also |= TOGETHER.get(name, {}).keys()
            assert changed - also == {name} - {"train.min_learning_rate_ratio"}
    assert configuration.outside() == {
        "seed", "train.log_every", "train.checkpoint_every", "train.ranks", "train.checkpoint_activations",
        "evaluate.every", "evaluate.batch_size", "evaluate.num_samples", "evaluate.sample_tokens", "evaluate.tasks",
        "evaluate.tasks_every", "evaluate.tasks_limit", "evaluate.benchmarks",
        "evaluate.before_and_after",
    }
    assert configuration.instead() == {
        "loss", "start", "train.num_tokens", "train.num_steps", "data.corpus", "data.tokenizer", "data.val_bytes",
        "data.tune_bytes", "data.max_bytes", "data.template", "data.curriculum_model", "train.min_learning_rate_ratio",
    }


TOGETHER = {  # settings that are only given with another
    "evaluate.tasks": {"evaluate.tasks_every": 5}, "evaluate.tasks_every": {"evaluate.tasks": "blimp"},
    "train.initial_batch_size": {"train.batch_warmup_steps": 5}, "train.head_rate_ratio": {"model.tied": False},
    "train.batch_warmup_steps": {"train.initial_batch_size": 2}, "train.momentum": {"train.optimizer": "muon"},
    "train.decay_share": {"train.schedule": "wsd"}, "model.padding": {"model.vocab_multiple": 64},
}


def _changed(config, name, value):
    """`config` with another value at the dotted `name`."""
    others = {"evaluate.split": "tune", "train.dtype": "bfloat16", "train.device": "cpu", "train.numerics": "fast",
              "model.activation": "gelu", "model.position_embedding": "rotary", "model.norm": "rms", "model.n_head": 2,
              "model.padding": "counted",
              "train.betas": (0.9, 0.95),
              "evaluate.tasks": "blimp", "evaluate.benchmarks": "there",
              "train.micro_batch_size": 4, "train.seq_len": 64, "train.optimizer": "muon", "train.schedule": "linear",
              "train.initial_batch_size": 2, "train.batch_warmup_steps": 5, "model.n_embd": 2 * 96,
              "train.batch_size": 16, "train.ranks": "sharded",
              "model.init_seed": 0, "data.seed": 0, "data.curriculum": "length", "data.pacing": "linear",
              "data.packing": "padded", "data.too_long": "leave_out"}
    other = others.get(name, not value if isinstance(value, bool) else value / 2 or 0.25 if isinstance(value, float)
                       else value + 1 if isinstance(value, int) else None)
    return override(config, checks.nested({name: other, **TOGETHER.get(name, {})}, "the test"))


def test_a_rate_written_as_a_whole_number_is_the_same_rate():
    whole, real = (dataclasses.replace(preset("tiny").train, learning_rate=one, grad_clip=2 * one) for one in (1, 1.0))
    assert len({digest(identity(ExperimentConfig(train=train), **TOLD)) for train in (whole, real)}) == 1


@pytest.mark.parametrize("section", ["", "data", "model", "train", "evaluate"])
def test_a_field_added_later_changes_no_digest_until_it_is_set(section):
    config = preset("tiny")
    old = getattr(config, section) if section else config
    later = dataclasses.make_dataclass("Later", [("later", float, dataclasses.field(default=0.5))],
                                       bases=(type(old),), frozen=True)
    first = identity(config, **TOLD)
    for value in (0.5, 0.25):
        made = later(**{f.name: getattr(old, f.name) for f in dataclasses.fields(old)}, later=value)
        now = identity(dataclasses.replace(config, **{section: made}) if section else made, **TOLD)
        assert now == (first if value == 0.5 else first | {f"{section}.later".lstrip("."): 0.25})


def test_a_default_that_changes_later_shows_in_the_identity_of_new_runs_alone():
    fields = [("warmup_steps", int, dataclasses.field(default=50))]
    later = dataclasses.make_dataclass("Later", fields, bases=(configuration.TrainConfig,), frozen=True)
    new, old = (dataclasses.replace(preset("tiny"), train=train) for train in (
        later(num_steps=10), later(num_steps=10, warmup_steps=100)))
    assert identity(new, **TOLD)["train.warmup_steps"] == 50 and "train.warmup_steps" not in identity(old, **TOLD)
    # so every field needs a line in the table on the day when it is added
    names = configuration.flatten(configuration.to_dict(ExperimentConfig())).keys()
    own = names - configuration.outside() - configuration.instead()
    assert own | {"train.min_learning_rate"} == configuration.DEFAULTS.keys()


def test_the_condition_of_an_experiment_is_the_digest_of_its_identity(place):
    made = Experiment(change(train={"dtype": "float32"}))
    told = {"objective": made.objective.explicit, "corpus": made.corpus.digest}
    assert made.condition == made.spec["condition"] == digest(identity(made.config, **told))
    assert made.spec["identity"] == configuration.VERSION


def test_a_training_sequence_may_be_shorter_than_the_table_of_positions(place):
    both = change(train={"num_steps": 2, "dtype": "float32"})
    short = change(both, model={"num_positions": 32}, train={"seq_len": 16})
    assert short.seq_len == both.seq_len == 16 and short.tokens_per_step == both.tokens_per_step
    said = change(both, train={"seq_len": 16})  # the same, written out
    assert Experiment(said).spec == Experiment(both).spec
    assert identity(short, **TOLD) == identity(both, **TOLD) | {"model.num_positions": 32, "train.seq_len": 16}
    runs = {name: experiment.run(config, place / name) for name, config in (("both", both), ("short", short))}
    assert runs["short"].result["tokens"] == runs["both"].result["tokens"] == 2 * 4 * 16
    assert runs["short"].result["counts"] == runs["both"].result["counts"]
    capped = json.loads((place / "short" / "checkpoint" / "step-00000002" / "model.json").read_text())
    assert capped["model"]["num_positions"] == 32
    path = place / "short" / "checkpoint" / "step-00000002"
    longer = evaluator.measure(path, short.data, short.evaluate)
    as_trained = evaluator.measure(path, short.data, short.evaluate, seq_len=16)
    assert as_trained["scores"] == runs["short"].scores != longer["scores"]  # whose windows have 32 tokens


def test_a_sequence_that_is_longer_than_the_table_is_refused(place):
    with pytest.raises(ValueError, match=r"train.seq_len \(=17\) must be at most model.num_positions \(=16\), the"):
        change(train={"seq_len": 17})
    experiment.run(change(train={"num_steps": 1}), "first")
    started = dataclasses.replace(preset("tiny"), start="first", data=SMALL.data, train=dataclasses.replace(
        SMALL.train, seq_len=130))  # more than the preset's model has, which is not the one that is trained
    with pytest.raises(ValueError, match=r"train.seq_len \(=130\) must be at most model.num_positions \(=16\)"):
        Experiment(started)
    assert Experiment(change(started, train={"seq_len": 8})).config.seq_len == 8


def test_the_old_name_of_the_context_length_is_read(place):
    assert override(SMALL, {"model": {"max-seq-len": 8}}) == change(model={"num_positions": 8})
    Path("spec.toml").write_text("[model]\nmax_seq_len = 8\n")
    assert configuration.load("spec.toml").model.num_positions == 8
    with pytest.raises(ValueError, match="model.num_positions stands twice in the configuration, in two spellings"):
        override(SMALL, {"model": {"max_seq_len": 8, "num_positions": 8}})
    config = change(train={"num_steps": 1})
    experiment.run(config, "run")
    path = checkpoint.newest("run/checkpoint")
    about = json.loads((path / "model.json").read_text())
    about["model"]["max_seq_len"] = about["model"].pop("num_positions")  # as it was written under that name
    (path / "model.json").write_text(json.dumps(about))
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["model.json"] = sha256((path / "model.json").read_bytes()).hexdigest()
    (path / "manifest.json").write_text(json.dumps(manifest))
    assert checkpoint.load(path).model.config == config.model


RATES = st.builds(lambda digits, power: float(f"{digits}e{power}"), st.integers(1, 99_999), st.integers(-12, -4))


@given(RATES, RATES, st.integers(1, 50))
def test_every_rate_of_earlier_versions_is_a_ratio_to_the_last_bit(one, other, parts):
    peak, rate = max(one, other), min(one, other)
    for lowest in (rate, peak / parts):  # as typed, and as the presets had it
        assert rates.lowest(peak, rates.ratio(peak, lowest)) == lowest
    assert rates.lowest(peak, 0.1) == peak / 10 and rates.ratio(peak, peak / 10) == 0.1


def test_the_lowest_rate_of_earlier_versions_is_read_as_a_ratio_of_the_peak(place):
    config = override(SMALL, {"train": {"min-learning-rate": 5e-3}})
    assert config.train.min_learning_rate_ratio == 0.5 and config.train.min_learning_rate == 5e-3
    # 3e-4/5 is not 6e-5 in floating point, and both are schedules that exist
    both = [override(SMALL, {"train": {"learning_rate": 3e-4, "min_learning_rate": rate}}) for rate in (3e-4 / 5, 6e-5)]
    assert [identity(each, **TOLD)["train.min_learning_rate"] for each in both] == [5.9999999999999995e-05, 6e-05]
    moved = override(config, {"train": {"learning_rate": 0.5}})  # a higher peak moves the whole schedule
    assert moved.train.min_learning_rate == 0.25
    Path("spec.toml").write_text("[train]\nlearning_rate = 1e-3\nmin_learning_rate = 2e-3\n")
    with pytest.raises(ValueError, match=r"train.min_learning_rate \(=0.002\) must lie between 0 and .* \(=0.001\)"):
        configuration.load("spec.toml")
    with pytest.raises(ValueError, match="both set the end of the schedule; give the ratio alone"):
        override(SMALL, {"train": {"min_learning_rate": 1e-3, "min_learning_rate_ratio": 0.1}})
    with pytest.raises(ValueError, match="min_learning_rate .='low'. must lie between"):
        override(SMALL, {"train": {"min_learning_rate": "low"}})


def test_runs_of_one_seed_of_weights_or_of_data_share_those_weights_or_batches(place):
    def begun(seed, **sections):
        made = Experiment(change(seed=seed, train={"num_steps": 1, "dtype": "float32"}, **sections))
        training = experiment.Training(made, Path(f"begun-{made.condition}-{seed}"), "cpu")
        batch = made.corpus.batches("train", seed=made.config.data_seed, batch_size=4, seq_len=16)(3)
        return made, training.model.state_dict(), batch.tokens

    plain, own = begun(5), begun(6, model={"init_seed": 5})
    assert all(torch.equal(plain[1][name], own[1][name]) for name in plain[1])
    assert not (plain[2] == own[2]).all()
    ordered = begun(6, data={"seed": 5})
    assert (ordered[2] == plain[2]).all() and not torch.equal(ordered[1]["wte.weight"], plain[1]["wte.weight"])
    assert plain[0].condition != own[0].condition != ordered[0].condition
    assert identity(own[0].config, **TOLD) == identity(plain[0].config, **TOLD) | {"model.init_seed": 5}
    both = begun(5, model={"init_seed": 5}, data={"seed": 5})[0].config  # said and not said are one run, by its weights
    again = {config: experiment.run(config, f"again-{n}") for n, config in enumerate((plain[0].config, both))}
    assert len({run.result["weights"] for run in again.values()}) == 1
    for name, section in (("model.init_seed", {"model": {"init_seed": -1}}), ("data.seed", {"data": {"seed": 2**32}})):
        with pytest.raises(ValueError, match=f"{name} must be between 0"):
            override(SMALL, section)


@pytest.mark.parametrize("numerics, dropout, says",
                         [("fast", 0.1, True), ("fast", 0.0, False), ("reference", 0.1, False)])
def test_what_dropout_draws_with_the_fast_numerics_belongs_to_the_identity(numerics, dropout, says):
    config = override(preset("tiny"), {"train": {"numerics": numerics}, "model": {"dropout": dropout}})
    assert ("dropout_bits" in identity(config, **TOLD)) == says
