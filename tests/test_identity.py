"""The identity of a run: what it covers, what later settings leave alone, and runs that version 1 of it named."""

import dataclasses
import json
import shutil
from hashlib import sha256
from pathlib import Path

import pytest
from commands import losslab
from test_experiment import SMALL, change, place  # noqa: F401 the fixture

from losslab import checkpoint, experiment, records, study
from losslab import config as configuration
from losslab.config import ExperimentConfig, digest, identity, override, preset
from losslab.evaluate import evaluator
from losslab.experiment import Experiment, Training
from losslab.records import index

STORE_V1 = Path(__file__).parent / "data" / "store-v1"  # written by the last losslab of identity version 1; no weights
PLAIN, SMOOTHED = "cross_entropy", "label_smoothing(epsilon=0.05) + 0.001*z_loss"
TOLD = {"objective": "1.0*cross_entropy()", "corpus": "c0ffee"}

# --- what it covers -----------------------------------------------------------------------------

GOLDEN = {  # these never change: stores are full of them
    "tiny": (preset("tiny"), {}, "f57903f0ff51"),
    "char": (preset("char"), {}, "dc8a639eca67"),
    "gpt2": (preset("gpt2"), {}, "412c975f80db"),
    "a loss with parameters": (
        preset("tiny"), {"objective": "1.0*label_smoothing(epsilon=0.05) + 0.001*z_loss(center=0.0)"}, "8f09292861d6"),
    "a start": (preset("tiny"), {"weights": "ab" * 32}, "521ad4f17d79"),
    "a stride": (override(preset("tiny"), {"evaluate": {"stride": 64}}), {}, "248b9e12baa6"),
}


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
    before = identity(config, **TOLD)
    for name, value in configuration.flatten(configuration.to_dict(config)).items():
        if name in configuration.instead():
            continue
        after = identity(_changed(config, name, value), **TOLD)
        assert (after == before) == (name in configuration.outside()), name
        if name not in configuration.outside():
            changed = {key for key in after.keys() | before.keys() if after.get(key) != before.get(key)}
            assert changed - {"num_steps"} == {name}
    assert configuration.outside() == {
        "seed", "train.log_every", "train.checkpoint_every", "evaluate.every", "evaluate.batch_size",
        "evaluate.num_samples", "evaluate.sample_tokens", "evaluate.tasks", "evaluate.tasks_every",
        "evaluate.tasks_limit", "evaluate.benchmarks",
    }
    assert configuration.instead() == {
        "loss", "start", "train.num_tokens", "train.num_steps", "data.corpus", "data.tokenizer", "data.val_bytes",
        "data.tune_bytes", "data.max_bytes",
    }


def _changed(config, name, value):
    """`config` with another value at the dotted `name`."""
    others = {"train.dtype": "bfloat16", "train.device": "cpu", "model.activation": "gelu", "model.n_head": 2,
              "train.betas": (0.9, 0.95), "evaluate.tasks": "blimp", "evaluate.benchmarks": "there",
              "train.micro_batch_size": 4, "train.seq_len": 64, "model.n_embd": 2 * 96, "train.batch_size": 16}
    other = others.get(name, not value if isinstance(value, bool) else value / 2 or 0.25 if isinstance(value, float)
                       else value + 1 if isinstance(value, int) else None)
    together = {"evaluate.tasks": {"tasks_every": 5}, "evaluate.tasks_every": {"tasks": "blimp"}}.get(name, {})
    section, _, field = name.rpartition(".")
    return override(config, {section: {field: other, **together}} if section else {field: other})


def test_a_rate_written_as_a_whole_number_is_the_same_rate():
    whole, real = (dataclasses.replace(preset("tiny").train, learning_rate=one, grad_clip=2 * one) for one in (1, 1.0))
    assert len({digest(identity(ExperimentConfig(train=train), **TOLD)) for train in (whole, real)}) == 1


@pytest.mark.parametrize("section", ["", "data", "model", "train", "evaluate"])
def test_a_field_added_later_changes_no_digest_until_it_is_set(section):
    config = preset("tiny")
    old = getattr(config, section) if section else config
    later = dataclasses.make_dataclass("Later", [("later", float, dataclasses.field(default=0.5))],
                                       bases=(type(old),), frozen=True)
    before = identity(config, **TOLD)
    for value in (0.5, 0.25):
        made = later(**{f.name: getattr(old, f.name) for f in dataclasses.fields(old)}, later=value)
        now = identity(dataclasses.replace(config, **{section: made}) if section else made, **TOLD)
        assert now == (before if value == 0.5 else before | {f"{section}.later".lstrip("."): 0.25})


def test_a_default_that_changes_later_shows_in_the_identity_of_new_runs_alone():
    fields = [("warmup_steps", int, dataclasses.field(default=50))]
    later = dataclasses.make_dataclass("Later", fields, bases=(configuration.TrainConfig,), frozen=True)
    new, old = (dataclasses.replace(preset("tiny"), train=train) for train in (
        later(num_steps=10), later(num_steps=10, warmup_steps=100)))
    assert identity(new, **TOLD)["train.warmup_steps"] == 50 and "train.warmup_steps" not in identity(old, **TOLD)
    # so every field needs a line in the table on the day when it is added
    names = configuration.flatten(configuration.to_dict(ExperimentConfig())).keys()
    assert names - configuration.outside() - configuration.instead() == configuration.DEFAULTS.keys()


def test_the_condition_of_an_experiment_is_the_digest_of_its_identity(place):  # noqa: F811
    made = Experiment(change(train={"dtype": "float32"}))
    told = {"objective": made.objective.explicit, "corpus": made.corpus.digest}
    assert made.condition == made.spec["condition"] == digest(identity(made.config, **told))
    assert made.spec["identity"] == configuration.VERSION


# --- the context: two quantities, one of which had another name -----------------------------------

def test_a_training_sequence_may_be_shorter_than_the_table_of_positions(place):  # noqa: F811
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


def test_a_sequence_that_is_longer_than_the_table_is_refused(place):  # noqa: F811
    with pytest.raises(ValueError, match=r"train.seq_len \(=17\) must be at most model.num_positions \(=16\), the"):
        change(train={"seq_len": 17})
    experiment.run(change(train={"num_steps": 1}), "first")
    started = dataclasses.replace(preset("tiny"), start="first", data=SMALL.data, train=dataclasses.replace(
        SMALL.train, seq_len=130))  # more than the preset's model has, which is not the one that is trained
    with pytest.raises(ValueError, match=r"train.seq_len \(=130\) must be at most model.num_positions \(=16\)"):
        Experiment(started)
    assert Experiment(change(started, train={"seq_len": 8})).config.seq_len == 8


def test_the_old_name_of_the_context_length_is_read(place):  # noqa: F811
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


# --- runs of version 1 --------------------------------------------------------------------------

@pytest.fixture
def old(place):  # noqa: F811
    """A copy of the old store, next to the text that its runs were trained on."""
    Path("text.txt").write_text("".join(f"The {a} cat saw {b} birds near the {c} tree and went on.\n"
                                        for a in ("old", "red", "big", "shy") for b in range(2, 40)
                                        for c in ("elm", "oak", "fig", "ash")))
    return Path(shutil.copytree(STORE_V1, "store"))


OLD = override(preset("tiny"), {
    "data": {"corpus": "text.txt", "val_bytes": 2000, "tune_bytes": 2000},
    "model": {"n_layer": 1, "n_head": 1, "n_embd": 4, "num_positions": 16},
    "train": {"num_steps": 20, "batch_size": 4, "device": "cpu", "dtype": "float32"},
    "evaluate": {"tune_tokens": 256, "num_samples": 0, "every": 10},
})


def test_old_and_new_runs_of_equal_settings_are_one_arm(old):
    found = {run.path.name: run for run in records.find([old])}
    plain = {"1c4a0e1d7fae-seed0", "1c4a0e1d7fae-seed1", "2cbcf34fecb7-seed2", "a59ac57d41aa-seed3",
             "e96a145d9d97-seed1"}  # some log or save at other steps, one counts its horizon in tokens
    new = Experiment(OLD)
    assert {found[f"cross-entropy-{name}"].condition for name in plain} == {new.condition} == {"2ff0462686d1"}
    assert {run.condition for run in found.values() if run.loss == SMOOTHED} == {
        Experiment(change(OLD, loss=SMOOTHED)).condition}
    (started,) = (run for run in found.values() if run.spec["config"]["start"])
    told = {"objective": started.spec["objective"], "corpus": new.corpus.digest, "weights": started.spec["start"]}
    assert started.condition == digest(identity(started.config, **told)) == "8e1a4024cdae"
    assert set(records.labels(found.values()).values()) == {PLAIN, SMOOTHED, "squentropy"}
    assert {row.condition for row in index.rows(old)} == {run.condition for run in found.values()}


def test_a_comparison_over_an_old_store_trains_nothing_again(old, monkeypatch, capsys):
    planned = study.plan([OLD, change(OLD, loss=SMOOTHED)], [0, 1], old)
    assert [folder.name for folder in planned.folders] == [
        "cross-entropy-1c4a0e1d7fae-seed0", "label-smoothing-epsilon-0.05-0.001-z-los-3494353c75df-seed0",
        "cross-entropy-e96a145d9d97-seed1",  # of two that are one run now, the last that ended
        "label-smoothing-epsilon-0.05-0.001-z-los-3494353c75df-seed1",
    ]
    monkeypatch.setattr(study, "Job", lambda *arguments, **options: pytest.fail("a run was started"))
    before = sorted(path.name for path in old.rglob("[!.]*"))
    # every setting outside the identity by its flag
    flags = {"train.log_every": 3, "train.checkpoint_every": 7, "evaluate.every": 4, "evaluate.batch_size": 5,
             "evaluate.num_samples": 1, "evaluate.sample_tokens": 3, "evaluate.tasks": "likelihood",
             "evaluate.tasks_every": 9, "evaluate.tasks_limit": 2, "evaluate.benchmarks": "there"}
    assert {*flags, "seed"} == configuration.outside()
    own = {"data.val_bytes": 2000, "data.tune_bytes": 2000, "model.n_layer": 1, "model.n_head": 1, "model.n_embd": 4,
           "model.max_seq_len": 16, "train.num_steps": 20, "train.batch_size": 4, "train.dtype": "float32",
           "evaluate.tune_tokens": 256}
    command = ["compare", PLAIN, SMOOTHED, "--seeds", "2", "--corpus", "text.txt", "--device", "cpu",
               "--store", str(old), "--report", "page.html", "--json"]
    for name, value in (flags | own).items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    assert losslab(*command) == 0
    arms = json.loads(capsys.readouterr().out)["arms"]
    assert {arm["name"]: len(arm["runs"]) for arm in arms} == {PLAIN: 2, SMOOTHED: 2}
    assert sorted(path.name for path in old.rglob("[!.]*")) == sorted([*before, "looks.json"])


def test_a_look_at_old_runs_is_remembered(old):
    looks = {"conditions": ["1c4a0e1d7fae", "3494353c75df"], "seeds": [0], "at": "2026-01-01T00:00:00Z"}
    (old / "looks.json").write_text(json.dumps({"looks": [looks]}))
    found = [run for run in records.find([old]) if run.loss in (PLAIN, SMOOTHED)]
    assert records.looks(old, found) == [[0]]
    assert records.looks(old, [run for run in found if run.loss == PLAIN]) == []


def test_an_old_run_that_was_stopped_goes_on(old):
    whole = experiment.run(change(OLD, seed=2), "whole")
    config = change(OLD, seed=2, train={"checkpoint_every": 5})
    stopped = _stopped(config, Path("stopped"), at=10)
    folder = old / "cross-entropy-2cbcf34fecb7-seed2"
    shutil.copytree(stopped / "checkpoint", folder / "checkpoint")
    assert records.read(folder).status == "stopped"
    resumed = experiment.resume(folder)
    assert resumed.status == "finished" and resumed.scores == whole.scores
    assert _weights(folder) == _weights(Path("whole"))
    assert study.plan([OLD], [2], old).folders == [folder]


def _stopped(config, folder, at):
    """A run that was asked to stop after the step `at`."""
    made = Experiment(config)
    records.create(folder, made.spec, experiment.environment(made, 1))
    training = Training(made, folder, "cpu")
    on_step = training.on_step

    def stopping(info):
        training.asked_to_stop = lambda: info.step == at
        return on_step(info)

    training.on_step = stopping
    assert training.go() == "stopped"
    return folder


def _weights(folder):
    return (folder / "checkpoint" / "step-00000020" / "model.safetensors").read_bytes()


def test_a_run_goes_on_under_new_settings_outside_its_identity(place):  # noqa: F811
    config = change(train={"num_steps": 6, "dtype": "float32"})
    folder = Experiment(config).folder("store")
    _stopped(config, folder, at=2)
    again = Experiment(change(config, train={"log_every": 1}, evaluate={"num_samples": 0}))
    assert again.folder("store") == folder
    record = experiment.run(again, folder)
    assert record.status == "finished" and record.spec["config"]["train"]["log_every"] == 1
    assert [line["step"] for line in record.log if "train/nll" in line] == [1, 3, 4, 5, 6]
    assert record.result["samples"] == []


def test_a_run_from_before_there_were_tasks_or_checksums(old):
    (run,) = records.find([old / "cross-entropy-1c4a0e1d7fae-seed0"])
    spec = json.loads((run.path / "spec.json").read_text())
    for name in ("tasks", "tasks_every", "tasks_limit", "benchmarks"):
        del spec["config"]["evaluate"][name]
    del spec["checksum"]
    (run.path / "spec.json").write_text(json.dumps(spec | {"format": 1}))
    assert records.read(run.path).spec == run.spec | {"format": 1}


def test_a_condition_that_does_not_fit_the_settings_is_left_as_it_is_and_not_trained(old):
    path = old / "cross-entropy-2cbcf34fecb7-seed2" / "spec.json"
    spec = json.loads(path.read_text())
    del spec["checksum"]
    spec["config"]["train"]["learning_rate"] = 0.5
    path.write_text(json.dumps(spec | {"format": 1}))
    assert records.read(path.parent).condition == "2cbcf34fecb7"
    with pytest.raises(ValueError, match="is damaged: its spec.json gives the condition .* and says that it is 2cbc"):
        experiment.resume(path.parent)
    assert path.parent not in study.plan([OLD], [2], old).folders


def test_a_run_of_a_newer_identity_is_compared_and_not_resumed(place):  # noqa: F811
    made = Experiment(SMALL)
    records.create("run", made.spec | {"identity": 3, "condition": "of3"}, {})
    assert records.read("run").condition == "of3"
    with pytest.raises(ValueError, match="a newer losslab .identity version 3, this one knows up to 2.; update"):
        experiment.resume("run")
