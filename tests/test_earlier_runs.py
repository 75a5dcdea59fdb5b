"""Runs that earlier versions wrote: read, compared, continued, or refused with the reason."""

import json
import shutil
from pathlib import Path

import pytest
from commands import losslab
from experiments import SMALL, change
from experiments import place as place

from losslab import config as configuration
from losslab import experiment, records, running
from losslab.config import digest, identity, override, preset
from losslab.experiment import Experiment, Training
from losslab.records import index

STORE_V1 = Path(__file__).parent / "data" / "store-v1"  # written by the last losslab of identity version 1; no weights
PLAIN, SMOOTHED = "cross_entropy", "label_smoothing(epsilon=0.05) + 0.001*z_loss"


@pytest.fixture
def old(place):
    """A copy of the old store, next to the text that its runs were trained on."""
    Path("text.txt").write_text("".join(f"The {a} cat saw {b} birds near the {c} tree and went on.\n"
                                        for a in ("old", "red", "big", "shy") for b in range(2, 40)
                                        for c in ("elm", "oak", "fig", "ash")))
    return Path(shutil.copytree(STORE_V1, "store"))


OLD = override(preset("tiny"), {  # by numerics that each CPU has; `auto` is `fast` on some
    "data": {"corpus": "text.txt", "val_bytes": 2000, "tune_bytes": 2000},
    "model": {"n_layer": 1, "n_head": 1, "n_embd": 4, "num_positions": 16},
    "train": {"num_steps": 20, "batch_size": 4, "device": "cpu", "dtype": "float32", "numerics": "reference"},
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
    planned = running.plan([OLD, change(OLD, loss=SMOOTHED)], [0, 1], old)
    assert [folder.name for folder in planned.folders] == [
        "cross-entropy-1c4a0e1d7fae-seed0", "label-smoothing-epsilon-0.05-0.001-z-los-3494353c75df-seed0",
        "cross-entropy-e96a145d9d97-seed1",  # of two that are one run now, the last that ended
        "label-smoothing-epsilon-0.05-0.001-z-los-3494353c75df-seed1",
    ]
    monkeypatch.setattr("losslab.running.workers.Job", lambda *arguments, **options: pytest.fail("a run was started"))
    before = sorted(path.name for path in old.rglob("[!.]*"))
    # every setting outside the identity by its flag
    flags = {"train.log_every": 3, "train.checkpoint_every": 7, "evaluate.every": 4, "evaluate.batch_size": 5,
             "evaluate.num_samples": 1, "evaluate.sample_tokens": 3, "evaluate.tasks": "likelihood",
             "evaluate.tasks_every": 9, "evaluate.tasks_limit": 2, "evaluate.benchmarks": "there",
             "evaluate.before_and_after": False, "train.checkpoint_activations": True, "train.ranks": "replicated"}
    assert {*flags, "seed"} == configuration.outside()
    own = {"data.val_bytes": 2000, "data.tune_bytes": 2000, "model.n_layer": 1, "model.n_head": 1, "model.n_embd": 4,
           "model.max_seq_len": 16, "train.num_steps": 20, "train.batch_size": 4, "train.dtype": "float32",
           "train.numerics": "reference",
           "evaluate.tune_tokens": 256}
    command = ["compare", PLAIN, SMOOTHED, "--seeds", "2", "--corpus", "text.txt", "--device", "cpu",
               "--store", str(old), "--report", "page.html", "--json"]
    for name, value in (flags | own).items():
        command += [f"--{name.replace('_', '-')}={str(value).lower() if isinstance(value, bool) else value}"]
    assert losslab(*command) == 0
    arms = json.loads(capsys.readouterr().out)["arms"]
    assert {arm["name"]: len(arm["runs"]) for arm in arms} == {PLAIN: 2, SMOOTHED: 2}
    assert sorted(path.name for path in old.rglob("[!.]*")) == sorted([*before, "looks.json"])


def test_a_look_at_old_runs_is_remembered(old):
    looks = {"conditions": ["1c4a0e1d7fae", "3494353c75df"], "seeds": [0, 1], "at": "2026-01-01T00:00:00Z"}
    (old / "looks.json").write_text(json.dumps({"looks": [looks]}))
    found = [run for run in records.find([old]) if run.loss in (PLAIN, SMOOTHED)]
    base, other = (next(run.condition for run in found if run.loss == loss) for loss in (PLAIN, SMOOTHED))
    (look,) = records.looks(old, found, base, "nll")
    assert list(look.arms) == [other] and look.arms[other].seeds == (0, 1)


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
    assert running.plan([OLD], [2], old).folders == [folder]


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


def test_a_run_goes_on_under_new_settings_outside_its_identity(place):
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
    assert path.parent not in running.plan([OLD], [2], old).folders


def test_a_run_of_a_newer_identity_is_compared_and_not_resumed(place):
    made = Experiment(SMALL)
    records.create("run", made.spec | {"identity": 3, "condition": "of3"}, {})
    assert records.read("run").condition == "of3"
    with pytest.raises(ValueError, match="a newer losslab .identity version 3, this one knows up to 2.; update"):
        experiment.resume("run")


@pytest.mark.parametrize("rate", [1e-3, 0.000123])
def test_a_run_with_a_lowest_rate_goes_on_with_the_ratio(place, rate):
    config = override(change(train={"num_steps": 6, "dtype": "float32"}), {"train": {"min_learning_rate": rate}})
    whole = experiment.run(config, "whole")
    folder = _stopped(config, Path("store/run"), at=2)
    _with_rate(folder, rate)
    assert records.read(folder).condition == whole.condition and records.read(folder).config == whole.config
    assert rate == whole.config.train.min_learning_rate
    resumed = experiment.resume(folder)
    assert resumed.result["weights"] == whole.result["weights"]


def test_a_run_with_a_lowest_rate_that_no_ratio_gives_is_compared_and_not_continued(place):
    rate = 1e-2 * 0.37 * 1.0000000000000002  # with more digits than anybody types
    folder = _stopped(change(train={"num_steps": 6, "dtype": "float32"}), Path("run"), at=2)
    _with_rate(folder, rate)
    assert records.read(folder).config.train.min_learning_rate == pytest.approx(rate, rel=1e-14)
    with pytest.raises(ValueError, match=f"ends at the learning rate {rate}, which no ratio of its peak gives to the "):
        experiment.resume(folder)


def _with_rate(folder, rate):
    """The specification as it was written when the lowest rate was a setting."""
    spec = json.loads((folder / "spec.json").read_text())
    del spec["checksum"]
    del spec["config"]["train"]["min_learning_rate_ratio"], spec["config"]["data"]["seed"]
    del spec["config"]["model"]["init_seed"]
    spec["config"]["train"]["min_learning_rate"] = rate
    (folder / "spec.json").write_text(json.dumps(spec | {"format": 1}))
