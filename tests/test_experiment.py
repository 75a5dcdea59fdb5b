"""One run, whole: what it writes, how it stops and resumes, and which process measures it."""

import json
import os
import subprocess
import sys

import pytest
import safetensors.torch
import torch
from experiments import SMALL, SPEC, change
from experiments import place as place
from forks import forking as forking
from forks import on_two_ranks

from losslab import cli, experiment, records
from losslab.config import load
from losslab.corpus import Corpus


def test_a_run_explains_itself(place):
    record = experiment.run(SMALL, place / "run")
    assert record.status == "finished"
    assert {"nll", "bits_per_byte", "bits_per_byte_with_eot", "perplexity", "word_perplexity",
            "nll_calibrated"} == set(record.scores)
    assert all(set(score) == {"value", "stderr", "n", "unit"} for score in record.scores.values())
    assert record.scores["nll"]["value"] < 4.5  # ln 257 is 5.55
    assert record.result["tokens"] == 30 * 4 * 16
    assert [line["step"] for line in record.log if "tune/nll" in line] == [10, 20, 30]
    first = next(line for line in record.log if "train/nll" in line)
    assert first["step"] == 1 and first["train/nll"] == pytest.approx(5.549, rel=0.02)
    assert record.spec["corpus"]["digest"] and record.environment["threads"] >= 1
    assert record.result["cost"]["tokens_per_second"] > 0 and record.result["cost"]["loss_cost_ratio"] > 0
    assert len(record.result["samples"]) == 1
    assert record.result["counts"]["bytes"] == record.spec["corpus"]["splits"]["val"]["bytes"]


def test_a_vocabulary_vector_is_built_once_and_only_when_a_loss_asks(place, monkeypatch):
    built = []
    for name in ("unigram", "prefix_of"):
        build = getattr(Corpus, name)
        monkeypatch.setattr(Corpus, name, lambda self, name=name, build=build: built.append(name) or build(self))
    assert experiment.run(SMALL, place / "plain").status == "finished" and not built
    smoothed = experiment.run(change(loss="unigram_smoothing"), place / "smoothed")
    assert smoothed.status == "finished" and built == ["unigram"]


def test_losses_of_rows_batches_and_prefixes_train(place):
    data = {"tokenizer": "bpe:300"}
    loss = "multi_token([1, 0.5]) + 0.1*unlikelihood + 0.25*prefix_token + 0.1*mile"
    record = experiment.run(change(loss=loss, data=data), place / "all")
    assert record.status == "finished" and record.scores["nll"]["value"] < 5.7  # ln 300


def test_a_run_that_is_done_is_read_back_and_not_run_again(place):
    experiment.run(SMALL, place / "run")
    before = (place / "run" / "result.json").stat().st_mtime_ns
    assert experiment.run(SMALL, place / "run").status == "finished"
    assert (place / "run" / "result.json").stat().st_mtime_ns == before


def test_a_folder_of_another_run_is_not_overwritten(place):
    experiment.run(SMALL, place / "run")
    with pytest.raises(ValueError, match="already holds another run"):
        experiment.run(change(seed=1), place / "run")


def test_a_first_loss_that_is_not_ln_v_is_said_aloud(place, monkeypatch):
    said = []
    experiment.run(change(train={"num_steps": 1}), place / "fine", tell=said.append)
    assert not any("untrained" in line for line in said)
    honest = experiment.training.initialized

    def loud(*arguments):
        model = honest(*arguments)
        with torch.no_grad():
            model.wte.weight.mul_(40)
        return model

    monkeypatch.setattr(experiment.training, "initialized", loud)
    experiment.run(change(train={"num_steps": 1}), place / "loud", tell=said.append)
    assert any("the untrained model's nll is" in line and "5.5491" in line for line in said)


def test_divergence_is_a_finding(place):
    config = change(loss="1e8*mse + cross_entropy", train={"learning_rate": 1e8, "min_learning_rate_ratio": 0.0,
                                                         "grad_clip": 0.0, "warmup_steps": 0})
    said = []
    record = experiment.run(config, place / "run", tell=said.append)
    assert record.status == "diverged" and record.result["diverged"]["step"] >= 1
    assert any("diverged at step" in line for line in said)
    assert record.scores == {}


def test_the_condition_is_everything_but_the_seed(place):
    def condition(**changes):
        return experiment.Experiment(change(**changes)).condition

    assert condition() == condition(seed=3)
    assert condition() != condition(loss="squentropy")
    assert condition() != condition(train={"learning_rate": 2e-2})
    assert condition(loss="label_smoothing") == condition(loss="label_smoothing(epsilon=0.1)")
    assert condition() == condition(train={"num_steps": 0, "num_tokens": 30 * 4 * 16})
    before = condition()
    with open("text.txt", "a") as file:
        file.write("one more line\n")
    assert condition() != before


def test_an_edited_loss_file_is_another_condition_and_the_old_run_keeps_the_old_code(place, forking):
    loss = place / "my_loss.py"
    loss.write_text("def my_loss(prediction):\n    return 3 * prediction.nll\n")
    before = experiment.Experiment(change(loss="my_loss.py"))
    records.create(place / "first", before.spec, experiment.environment(before, 1))  # and stopped before its first step
    loss.write_text("def my_loss(prediction):\n    return 2 * prediction.nll\n")
    assert experiment.Experiment(change(loss="my_loss.py")).condition != before.condition
    record = experiment.resume(place / "first")
    assert record.condition == before.condition and record.status == "finished"
    first = record.log[0]
    assert first["train/objective"] == pytest.approx(3 * first["train/nll"], rel=1e-5)


def test_a_trial_that_is_killed_is_made_again(place, forking):
    (place / "once.py").write_text(
        "import os, signal\n"
        "if not os.path.exists('killed'):\n"
        "    open('killed', 'w').close()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "def once(prediction, *, weight=2.0):\n    return weight * prediction.nll\n"
    )
    made = experiment.Experiment(change(loss="once.py"))
    assert "once.py:once(weight=2.0)" in made.objective.explicit and (place / "killed").exists()


def test_the_same_seed_starts_every_loss_from_the_same_weights_and_batches(place):
    for loss, folder in (("cross_entropy", "a"), ("softcap(15) | mse + cross_entropy", "b")):
        config = change(loss=loss, train={"num_steps": 1, "learning_rate": 0.0, "min_learning_rate_ratio": 0.0})
        experiment.run(config, place / folder)
    a, b = (safetensors.torch.load_file(place / f / "checkpoint/step-00000001/model.safetensors") for f in "ab")
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


COMMAND = ["train", "spec.toml", "--out", "together", "--threads", "1"]


def forked():
    assert on_two_ranks(cli.main, COMMAND) == [None, None]


def torchrun():
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "losslab.cli",
         *COMMAND], capture_output=True, text=True, timeout=120, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("start", [forked, pytest.param(torchrun, marks=pytest.mark.slow)])
def test_two_ranks_train_the_same_run_as_one(place, start):
    (place / "benchmarks").mkdir()
    pair = {"sentence_good": "It is so.", "sentence_bad": "Is so it.", "linguistics_term": "order", "UID": "one"}
    (place / "benchmarks" / "blimp.jsonl").write_text((json.dumps(pair) + "\n") * 6)
    looking = 'tasks = "blimp, likelihood"\ntasks_every = 40\nbenchmarks = "benchmarks"\n'
    (place / "spec.toml").write_text(SPEC.format(steps=40, every=0).replace("dropout = 0.1", "dropout = 0.0") + looking)
    start()
    experiment.run(load("spec.toml"), place / "alone")
    together, alone = records.read("together"), records.read("alone")
    assert together.environment["world_size"] == 2 and together.condition == alone.condition
    assert together.scores["nll"]["value"] == pytest.approx(alone.scores["nll"]["value"], abs=2e-3)
    looked, also = ([line for line in run.log if "task/blimp/accuracy" in line] for run in (together, alone))
    assert len(looked) == len(also) == 1 and looked[0]["task/blimp/accuracy"] == also[0]["task/blimp/accuracy"]
    assert together.result["tokens"] == alone.result["tokens"] == 40 * 4 * 16


def test_two_processes_do_not_write_one_run(place):
    with records.lock(place / "run"):
        with pytest.raises(records.StoreBusy, match=f"in use by another losslab \\(process {os.getpid()}\\)"):
            experiment.run(SMALL, place / "run")


def test_a_run_of_a_newer_version_is_refused_and_left_alone(place):
    experiment.run(SMALL, place / "run")
    spec = json.loads((place / "run" / "spec.json").read_text())
    (place / "run" / "spec.json").write_text(json.dumps(spec | {"format": 99}))
    with pytest.raises(ValueError, match="written by a newer losslab"):
        experiment.run(SMALL, place / "run")
    assert (place / "run" / "result.json").exists()
