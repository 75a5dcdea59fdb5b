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

from losslab import cli, elsewhere, experiment, machine, memory, parallel, records
from losslab.config import TrainConfig, load
from losslab.experiment import fitting
from losslab.model import initialized

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


GPT2 = {"n_layer": 12, "n_head": 12, "n_embd": 768, "num_positions": 1024}


def gpt2(**settings):
    return change(model=GPT2 | {"dropout": 0.0}, train={"device": "cuda", "dtype": "bfloat16"} | settings)


def test_a_plan_beyond_the_memory_of_a_gpu_is_refused_with_what_would_fit(monkeypatch):
    monkeypatch.setattr(machine, "total_memory", lambda device: 16 * 10**9)
    monkeypatch.setenv("WORLD_SIZE", "2")
    config = gpt2(batch_size=256, ranks="replicated")
    with pytest.raises(ValueError, match=r"this run does not fit its GPU: it takes about 47.* GB of 16 GB on each of 2 "
                       r"devices \(replicated; weights 668 MB, gradients 498 MB, moments 996 MB, activations .*, head "
                       r".*\), 128 sequences at a time; 33 fit; give train.micro_batch_size 32 or "
                       r"train.checkpoint_activations true or train.ranks sharded or a smaller model"):
        fitting.check(config, 50257)
    fitting.check(gpt2(batch_size=256, ranks="replicated", micro_batch_size=32), 50257)
    fitting.check(gpt2(batch_size=256, ranks="replicated", checkpoint_activations=True), 50257)


def test_runs_that_share_a_gpu_share_its_memory(monkeypatch):
    monkeypatch.setattr(machine, "total_memory", lambda device: 80 * 10**9)
    config = gpt2(batch_size=128)
    fitting.check(config, 50257)
    with elsewhere.sharing(2), pytest.raises(ValueError, match=r"it takes about 47.* GB of 40 GB for each of 2 runs on "
                                             r"one device \(weights .*; give train.micro_batch_size 64 or .* or a "
                                             r"smaller --per-device or a smaller model"):
        fitting.check(config, 50257)
    assert fitting.available("cuda") == 80 * 10**9 and elsewhere.runs_on_a_gpu() == 1


def test_the_micro_batch_that_is_advised_divides_the_batch_that_grows_too(monkeypatch):
    growing = gpt2(batch_size=16, initial_batch_size=6, batch_warmup_steps=10)
    parts = fitting.plan(growing, 50257, "alone")
    rest = sum(parts.values()) - parts["activations"]
    there = (rest + 4.5 * parts["activations"] / 16) / memory.USABLE  # 4 of the 16 sequences
    monkeypatch.setattr(machine, "total_memory", lambda device: int(there))
    with pytest.raises(ValueError, match=r"; 4 fit; give train.micro_batch_size 2 or "):
        fitting.check(growing, 50257)
    fitting.check(gpt2(batch_size=16, initial_batch_size=6, batch_warmup_steps=10, micro_batch_size=2), 50257)
    with pytest.raises(ValueError, match=r"; 4 fit; give train.micro_batch_size 4 or "):
        fitting.check(gpt2(batch_size=16), 50257)


def test_auto_takes_parts_where_replicas_do_not_fit(monkeypatch):
    assert fitting.way(gpt2(), 50257) == fitting.way(gpt2(ranks="sharded"), 50257) == "alone"
    monkeypatch.setenv("WORLD_SIZE", "8")
    for memory_bytes, way in [(16 * 10**9, "replicated"), (2 * 10**9, "sharded"), (None, "replicated")]:
        monkeypatch.setattr(machine, "total_memory", lambda device, memory_bytes=memory_bytes: memory_bytes)
        assert fitting.way(gpt2(batch_size=8), 50257) == way
    assert fitting.way(gpt2(ranks="replicated"), 50257) == "replicated"


# --- memory --------------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("switches", [
    {}, {"dropout": 0.1},
    {"norm": "rms", "position_embedding": "rotary", "qk_norm": True, "activation": "relu_squared", "bias": False}])
def test_the_activations_of_a_plan_are_those_that_autograd_keeps(switches, dtype):
    config, rows, kept = change(model={"n_layer": 4, "n_head": 4, "n_embd": 64, "num_positions": 64, "dropout": 0.0}
                                | switches).model, 4, {}
    model = initialized(config, 257, 0)
    own = {parameter.data_ptr() for parameter in model.parameters()}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor  # held, so that no place is used twice
        return tensor

    def measured():
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), machine.autocast("cpu", dtype):
            model(torch.zeros(rows, 64, dtype=torch.long))
        return sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in own)

    half = dtype == "bfloat16"
    near = 0.15 if half else 0.02  # what autocast casts again is not counted
    assert rows * memory.activations(config, 64, half=half) == pytest.approx(measured(), rel=near)
    model.recompute_blocks()
    block = memory.activations(config, 64, half=half) / 4  # is computed again, one at a time
    assert rows * (memory.activations(config, 64, half=half, again=True) - block) == pytest.approx(measured(), rel=0.3)


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


def test_parts_of_the_weights_leave_room_for_more_sequences():
    config = gpt2(batch_size=64)
    whole, parts = (memory.plan(config.model, config.train, 50257, world=8, way=way)
                    for way in ("replicated", "sharded"))
    params = config.model.num_params(50257)
    assert whole["moments"] == 8 * params and parts["moments"] == 8 * -(-params // 8)
    assert sum(parts[name] for name in ("weights", "gradients", "moments")) < 0.5 * sum(
        whole[name] for name in ("weights", "gradients", "moments"))
    fits = memory.most_rows(8 * 10**9, parts, 8)
    there = memory.plan(config.model, config.train, 50257, world=8, way="sharded", rows=fits)
    more = memory.plan(config.model, config.train, 50257, world=8, way="sharded", rows=fits + 1)
    assert sum(there.values()) - there["head"] + parts["head"] <= 0.9 * 8e9
    assert sum(more.values()) - more["head"] + parts["head"] > 0.9 * 8e9
    muon = memory.plan(config.model, TrainConfig(optimizer="muon"), 50257)
    assert muon["moments"] == 8 * params - 4 * 12 * 12 * 768**2


@pytest.mark.parametrize("numerics", ["reference", "fast"])
def test_activations_that_are_computed_again_change_no_bit(place, numerics):
    for again, folder in ((False, "kept"), (True, "again")):  # with dropout
        experiment.run(change(train={"checkpoint_activations": again, "numerics": numerics, "num_steps": STEPS}),
                       place / folder)
    assert furthest(place / "kept", place / "again") == 0
    assert records.read("kept").condition == records.read("again").condition
    assert np.isfinite(scores(place / "again")["nll"])
