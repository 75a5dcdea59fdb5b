"""Whole runs under several ranks: what they write, how they continue at another number of ranks, what is refused."""

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import safetensors.torch
import torch
from commands import losslab
from experiments import SMALL, SPEC, change
from experiments import place as place
from forks import on_ranks

from losslab import cli, experiment, parallel, records
from losslab.config import load

STEPS = 20
SAME = 1e-4  # of weights between numbers of ranks, in float32: AdamW amplifies the rounding of tiny gradients


def spec(**settings):
    """A run with dropout in float32 that keeps a checkpoint half-way."""
    text = SPEC.format(steps=STEPS, every=STEPS // 2).replace("log_every = 1", "log_every = 10")
    for name, value in {"dtype": '"float32"', **settings}.items():
        text = text.replace("[train]", f"[train]\n{name} = {value}")
    return text


def weights(folder, step=STEPS):
    return safetensors.torch.load_file(folder / f"checkpoint/step-{step:08d}/model.safetensors")


def furthest(one, other):
    a, b = weights(one), weights(other)
    assert a.keys() == b.keys()
    return max(float((a[name] - b[name]).abs().max()) for name in a)


def half_way(folder, to):
    """The run as it lay there when its middle checkpoint had been written."""
    shutil.copytree(folder, to)
    shutil.rmtree(to / f"checkpoint/step-{STEPS:08d}")
    (to / "result.json").unlink()
    return to


def scores(folder):
    return {name: score["value"] for name, score in records.read(folder).scores.items()}


@pytest.mark.parametrize("settings", [
    {"ranks": '"sharded"'}, pytest.param({"ranks": '"sharded"', "optimizer": '"muon"'}, marks=pytest.mark.slow)])
def test_a_run_in_parts_is_the_run_of_one_process_and_continues_as_one(place, settings):
    (place / "spec.toml").write_text(spec(**settings))
    assert on_ranks(2, cli.main, ["train", "spec.toml", "--out", "parts", "--threads", "1"]) == [None, None]
    alone = experiment.run(load("spec.toml"), place / "alone")
    assert furthest(place / "parts", place / "alone") < SAME and alone.condition == records.read("parts").condition
    assert scores(place / "parts") == pytest.approx(scores(place / "alone"), rel=1e-4)
    environment = records.read("parts").environment
    assert environment["world_size"] == 2 and environment["ranks"] == "sharded"
    continued = experiment.resume(half_way(place / "parts", place / "continued"))
    assert furthest(place / "continued", place / "parts") < SAME
    assert continued.result["ranks"] == [2, 1] and records.read("parts").result["ranks"] == [2]
    assert "ranks" not in alone.result


@pytest.mark.slow
@pytest.mark.parametrize("way", ["replicated", "sharded"])
def test_a_checkpoint_of_four_ranks_continues_on_one_two_and_four(place, way):
    (place / "spec.toml").write_text(spec(ranks=f'"{way}"', micro_batch_size=1))
    on_ranks(4, cli.main, ["train", "spec.toml", "--out", "four", "--threads", "1"], seconds=600)
    for count in (1, 2, 4):
        folder = half_way(place / "four", place / f"on-{count}")
        if count == 1:
            experiment.resume(folder)
        else:
            on_ranks(count, cli.main, ["train", "--resume", str(folder), "--threads", "1"], seconds=600)
        assert furthest(folder, place / "four") <= (0 if count == 4 else SAME), count
        assert scores(folder) == pytest.approx(scores(place / "four"), rel=1e-4)


@pytest.mark.slow
def test_ranks_move_the_final_nll_by_less_than_a_tenth_of_what_seeds_do(place):
    text = spec(micro_batch_size=1).replace("dropout = 0.1", "dropout = 0.0")
    (place / "spec.toml").write_text(text.replace(f"num_steps = {STEPS}", "num_steps = 60"))
    seeds = [experiment.run(dataclasses.replace(load("spec.toml"), seed=seed), place / f"seed-{seed}")
             for seed in range(5)]
    deviation = np.std([run.scores["nll"]["value"] for run in seeds], ddof=1)
    for way in ("replicated", "sharded"):
        on_ranks(4, cli.main, ["train", "spec.toml", "--out", way, "--threads", "1", "--train.ranks", way], seconds=600)
        moved = abs(scores(place / way)["nll"] - scores(place / "seed-0")["nll"])
        assert moved < deviation / 10


KILLS = """
import os, signal
from pathlib import Path
def kills(prediction):
    if os.environ.get("RANK") == "1" and Path("RUN/checkpoint/step-00000010").exists():
        if not Path("killed").exists():
            Path("killed").touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return prediction.nll
"""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["replicated", "sharded"])
def test_a_rank_that_is_killed_changes_no_bit_of_the_weights(place, way):
    (place / "spec.toml").write_text(spec(ranks=f'"{way}"'))
    (place / "kills.py").write_text(KILLS.replace("RUN", "killed-run"))
    for out in ("killed-run", "quiet"):
        done = subprocess.run(
            [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=3", "--max-restarts=1",
             "-m", "losslab.cli", "train", "spec.toml", "--loss", "kills.py", "--out", out, "--threads", "1"],
            capture_output=True, text=True, timeout=600, env=os.environ | {"OMP_NUM_THREADS": "1"})
        assert done.returncode == 0, done.stderr[-3000:]
        assert (place / "killed").exists()
    assert furthest(place / "killed-run", place / "quiet") == 0
    assert scores(place / "killed-run") == scores(place / "quiet")
    assert records.read("killed-run").result["ranks"] == [3]


# --- what is refused -----------------------------------------------------------------------------

def test_ranks_that_are_not_alike_are_told_before_they_compute(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    store = torch.distributed.HashStore()
    store.set("losslab/told/1", "0.1.0\n2.11.0")
    store.set("losslab/told/2", "0.1.0\n2.13.0")
    with pytest.raises(ValueError, match="ranks are not alike: torch is 2.13.0 on rank 0 and 2.11.0 on rank 1; give"):
        parallel._check_alike(store, {"losslab": "0.1.0", "torch": "2.13.0"})
    store.set("losslab/told/1", "0.1.0\n2.13.0")
    parallel._check_alike(store, {"losslab": "0.1.0", "torch": "2.13.0"})


def test_more_ranks_than_sequences_are_refused_before_anything_is_written(place, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "8")
    with pytest.raises(ValueError, match=r"train.batch_size \(=4\) must be at least the number of ranks, 8"):
        experiment.Experiment(SMALL)
    with pytest.raises(ValueError, match=r"train.initial_batch_size \(=2\) must be at least the number of ranks, 8"):
        experiment.Experiment(change(train={"batch_size": 16, "initial_batch_size": 2, "batch_warmup_steps": 5}))


# --- memory --------------------------------------------------------------------------------------

def test_a_dry_run_of_a_training_tells_its_memory_and_writes_nothing(place, capsys):
    (place / "spec.toml").write_text(spec())
    assert losslab("train", "spec.toml", "--dry-run", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    params = load("spec.toml").model.num_params(257)
    assert found["memory"]["bytes"]["weights"] == 4 * params and found["memory"]["bytes"]["moments"] == 8 * params
    assert found["memory"]["total"] == sum(found["memory"]["bytes"].values()) and found["memory"]["rows"] == 4
    assert losslab("train", "spec.toml", "--dry-run", "--train.micro-batch-size", "1") == 0
    assert re.search(r"memory: about \d+ kB of .* on one device \(weights 30.7 kB, gradients 30.7 kB, moments 61.4 kB, "
                     r"activations .*, head .*\), 1 sequence at a time; [\d,]+ fit",
                     " ".join(capsys.readouterr().out.split()))
    assert sorted(path.name for path in place.iterdir()) == ["spec.toml", "text.txt"]


@pytest.mark.parametrize("numerics", ["reference", "fast"])
def test_activations_that_are_computed_again_change_no_bit(place, numerics):
    for again, folder in ((False, "kept"), (True, "again")):  # with dropout
        experiment.run(change(train={"checkpoint_activations": again, "numerics": numerics, "num_steps": STEPS}),
                       place / folder)
    assert furthest(place / "kept", place / "again") == 0
    assert records.read("kept").condition == records.read("again").condition
    assert np.isfinite(scores(place / "again")["nll"])
