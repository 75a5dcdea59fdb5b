"""Mistakes with several ranks: each is told in a sentence, and none is waited for."""

import contextlib
import io
import re
import shutil
from pathlib import Path

import pytest
import torch
from commands import refuses
from experiments import SPEC, change
from experiments import place as place
from forks import on_two_ranks

from losslab import cli, experiment, machine, memory, parallel, records
from losslab.experiment import fitting

CLASSIC = """
import torch.nn.functional as F
def compute_loss(logits, targets):
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten())
"""


def test_more_ranks_than_gpus_are_refused_before_a_gpu_is_asked_for_anything(place, monkeypatch):
    for name, value in {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "4", "LOCAL_RANK": "3"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(machine, "total_memory", lambda device: pytest.fail(f"{device} was asked"))
    with pytest.raises(ValueError, match="4 ranks on a machine with 2 GPUs; each needs its own, so give torchrun a "):
        experiment.Experiment(change(train={"device": "cuda", "dtype": "float32"}))


@pytest.mark.parametrize("command", [
    ["compare", "cross_entropy", "--corpus", "text.txt"], ["tune", "cross_entropy", "--corpus", "text.txt"],
    ["noise", "cross_entropy", "--corpus", "text.txt"], ["reproduce", "loss-table", "--corpus", "text.txt"],
    ["reproduce", "story-gpt", "--corpus", "text.txt"]], ids=" ".join)
def test_a_study_is_refused_under_several_ranks(place, monkeypatch, capsys, command):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "one process starts all runs of a study, and there are 2 ranks; leave out torchrun" in refuses(
        capsys, *command, "--store", "store")
    assert not (place / "store").exists()


TWO_KEPT = change(train={"num_steps": 20, "checkpoint_every": 10})


def continued():
    """Continue a run of which each rank sees another folder; the sentence of the error."""
    parallel.join("cpu")
    with pytest.raises(OSError) as caught:
        experiment.Training(experiment.Experiment(TWO_KEPT), Path(f"run-{parallel.rank()}"), "cpu")
    return str(caught.value)


def test_ranks_that_would_continue_from_different_checkpoints_are_refused(place):
    experiment.run(TWO_KEPT, place / "run-0")
    experiment.run(change(TWO_KEPT, seed=1), place / "other")
    for found, step, told in (
        (None, 0, "rank 1 from no checkpoint; give all of them the folder run-"),
        ("run-0", 10, "rank 1 from step 10; give"),
        ("other", 20, "rank 1 from step 20 with other weights; give"),
    ):
        shutil.rmtree(place / "run-1", ignore_errors=True)
        if found:
            name = f"checkpoint/step-{step:08d}"
            shutil.copytree(place / found / name, place / "run-1" / name)
        assert all(f"rank 0 continues from step 20 and {told}" in said for said in on_two_ranks(continued))


WILD = ["--loss", "1e8*mse + cross_entropy", "--train.learning-rate", "1e8", "--train.grad-clip", "0",
        "--train.warmup-steps", "0"]  # fmt: skip


def diverging():
    """The exit code with which a rank of a run that diverges leaves, and what it says."""
    codes, said = [], io.StringIO()
    parallel.leave = codes.append
    with contextlib.redirect_stderr(said), pytest.raises(SystemExit):
        cli.main(["train", "spec.toml", "--out", "wild", "--threads", "1", *WILD])
    return codes, said.getvalue()


def test_ranks_whose_run_diverged_end_well_because_torchrun_would_start_them_again(place):
    (place / "spec.toml").write_text(SPEC.format(steps=5, every=0))
    (first, said), (second, _) = on_two_ranks(diverging)
    assert first == second == [0] and records.read("wild").status == "diverged"
    assert "diverged at step" in said and "several ranks end with exit code 0 all the same" in said


def test_a_loss_that_takes_logits_is_planned_with_all_of_them(place, monkeypatch):
    monkeypatch.setattr(machine, "total_memory", lambda device: 16 * 10**9)
    config = change(
        model={"n_layer": 12, "n_head": 12, "n_embd": 768, "num_positions": 1024, "dropout": 0.0},
        train={"device": "cuda", "dtype": "bfloat16", "batch_size": 16})
    fitting.check(config, 50257)
    with pytest.raises(ValueError, match=r"logits 9.88 GB\), 16 sequences at a time; (\d+) fit; give "
                       r"train.micro_batch_size 8 or") as caught:
        fitting.check(config, 50257, takes_logits=True)
    most = int(re.search(r"(\d+) fit", str(caught.value))[1])
    for rows, fits in ((most, True), (most + 1, False)):  # the head alone does not follow the rows here
        parts = memory.plan(config.model, config.train, 50257, takes_logits=True, rows=rows)
        head = memory.plan(config.model, config.train, 50257, takes_logits=True)["head"]
        assert (sum(parts.values()) - parts["head"] + head <= 0.9 * 16e9) == fits
    (place / "classic.py").write_text(CLASSIC)
    monkeypatch.setattr(memory, "DENSE_LOGITS", 0)  # as if these were many
    monkeypatch.setattr(memory, "TILES", 0)
    monkeypatch.setenv("WORLD_SIZE", "2")  # where this process knows what the file takes
    monkeypatch.setattr(machine, "total_memory", lambda device: 10**9)
    made = experiment.Experiment(change(loss="classic.py"))
    assert made.objective.takes_logits and made.ranks == "replicated"
    logits = 3 * 4 * 2 * 16 * 257  # in float32, of two of the four sequences
    parts = fitting.plan(made.config, 257, "replicated", takes_logits=True)
    monkeypatch.setattr(machine, "total_memory", lambda device: int(2 * (sum(parts.values()) - logits) / 0.8))
    assert made.ranks == "sharded" and fitting.way(made.config, 257) == "replicated"
