"""A run that was stopped, killed or damaged resumes bit-identically."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from experiments import SMALL, SPEC, change, small_text
from experiments import place as place

from losslab import experiment, records
from losslab.config import load


def launch(folder, *, kill, at_step, options=()):
    """`losslab train` in a separate process, sent a signal once its log reaches a step."""
    process = subprocess.Popen(
        [sys.executable, "-m", "losslab.cli", "train", "spec.toml", "--out", str(folder), "--threads", "1", *options],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    while process.poll() is None:
        log = records.Record(folder, {}, {}, {}, "running").log
        if log and log[-1]["step"] >= at_step:
            process.send_signal(kill)
            break
        time.sleep(0.01)
    _, process.said = process.communicate()
    return process


def weights_of(folder, steps=400):
    (path,) = [p for p in (folder / "checkpoint").iterdir() if p.name == f"step-{steps:08d}"]
    return (path / "model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The run of `SPEC` that was never stopped."""
    folder = small_text(tmp_path_factory.mktemp("straight"))
    (folder / "spec.toml").write_text(SPEC.format(steps=400, every=0))
    with contextlib.chdir(folder):
        experiment.run(load("spec.toml"), folder / "run")
    return folder / "run"


@pytest.mark.parametrize(("kill", "code", "every"), [
    pytest.param(signal.SIGTERM, 5, 0, marks=pytest.mark.slow),
    pytest.param(signal.SIGINT, 5, 0, marks=pytest.mark.slow), (signal.SIGKILL, -9, 100),
])
def test_a_run_that_was_stopped_ends_in_the_same_bytes(place, straight, kill, code, every):
    (place / "spec.toml").write_text(SPEC.format(steps=400, every=every))
    stopped = launch(place / "stopped", kill=kill, at_step=120)
    assert stopped.returncode == code, stopped.said
    assert records.read(place / "stopped").status == "stopped"
    claim_seconds(place / "stopped", 1000)
    said = []
    assert experiment.resume(place / "stopped", tell=said.append).status == "finished"
    assert any("continuing from step" in line for line in said)
    assert weights_of(place / "stopped") == weights_of(straight)
    both = [records.read(folder) for folder in (place / "stopped", straight)]
    logs = [[(line["step"], line.get("train/objective"), line.get("tune/nll")) for line in run.log if line["step"] > 1]
            for run in both]
    # the line after a resume is logged once more often or not at all, but every number is the same
    assert dict((step, o) for step, o, _ in logs[0] if o) == dict((step, o) for step, o, _ in logs[1] if o)
    assert len(logs[0]) == len(set(logs[0]))
    assert both[0].scores["nll"]["value"] == both[1].scores["nll"]["value"]
    assert both[0].result["cost"]["train_seconds"] > 1000  # those before it was stopped are counted


def claim_seconds(folder, seconds):
    """Let every checkpoint of a stopped run say that training took so long."""
    for path in (folder / "checkpoint").glob("step-*"):
        about = json.loads((path / "model.json").read_text()) | {"seconds": seconds}
        (path / "model.json").write_text(json.dumps(about))
        sums = json.loads((path / "manifest.json").read_text())
        sums["model.json"] = hashlib.sha256((path / "model.json").read_bytes()).hexdigest()
        (path / "manifest.json").write_text(json.dumps(sums))


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(place):
    config = change(train={"checkpoint_every": 10})
    whole = experiment.run(config, place / "run")
    (place / "run" / "result.json").unlink()  # as if it had been killed
    last = place / "run" / "checkpoint" / "step-00000030"
    raw = bytearray((last / "model.safetensors").read_bytes())
    raw[-5] ^= 255
    (last / "model.safetensors").write_bytes(raw)
    said = []
    record = experiment.resume(place / "run", tell=said.append)
    assert record.status == "finished" and record.scores == whole.scores
    assert any(last.name in line and "damaged" in line for line in said)
    assert any("continuing from step 20" in line for line in said)


def test_a_failed_run_that_continues_and_is_stopped_is_stopped_and_no_longer_failed(place, monkeypatch):
    made = experiment.Experiment(change(train={"checkpoint_every": 10}))
    records.create(place / "run", made.spec, {})
    records.write_result(place / "run", {"status": "failed", "error": "of another day"})
    seen = []

    def stopped(training):
        seen.append(records.read(place / "run").status)
        training.save(10, 640, 1.0, with_optimizer=False)
        return "stopped"

    monkeypatch.setattr(experiment.Training, "go", stopped)
    assert experiment.resume(place / "run").status == "stopped" and seen == ["running"]


def test_a_run_without_a_whole_checkpoint_starts_over(place):
    whole = experiment.run(SMALL, place / "run")
    (place / "run" / "result.json").unlink()
    (only,) = (place / "run" / "checkpoint").glob("step-*")
    (only / "model.json").unlink()
    said = []
    assert experiment.resume(place / "run", tell=said.append).scores == whole.scores
    assert any("model.json is missing" in line for line in said) and any("starting it over" in line for line in said)
    steps = [line["step"] for line in records.read(place / "run").log if "train/nll" in line]
    assert steps[0] == 1 and steps == sorted(set(steps))
