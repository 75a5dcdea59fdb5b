"""Where runs are computed: what crosses to another machine, what is asked before anything is spent, what is refused."""

import json
from concurrent.futures import Executor, Future
from pathlib import Path

import pytest
import torch
from commands import COMPARE, refuses
from experiments import change
from experiments import place as place
from forks import forking as forking
from record_runs import refused, write_run

import losslab
from losslab import comparison, elsewhere, executors, experiment, machine, records, running, study
from losslab.cli import executing
from losslab.cli.executing import Where
from losslab.executors import local, probe
from losslab.experiment import fitting
from losslab.running import node

QUICK = change(train={"num_steps": 6, "numerics": "reference", "dtype": "float32"}, evaluate={"num_samples": 0})
CUDA = elsewhere.Nodes("cuda", bfloat16=True, memory=80 * 10**9, processor="a GPU of elsewhere")


class Here(Executor):
    """Computes where it is asked, and remembers what was handed to it; `changed` is what a machine sees of that."""

    def __init__(self, changed=lambda text: text):
        self.given, self.changed = [], changed

    def submit(self, function, /, *texts):
        self.given.append((function, *texts))
        future = Future()
        try:
            future.set_result(function(*map(self.changed, texts)))
        except Exception as error:
            future.set_exception(error)
        return future


# --- a study on an executor -----------------------------------------------------------------------

def test_runs_of_an_executor_are_those_of_this_machine_and_only_text_crosses(place, forking):
    (place / "own.py").write_text("def own(prediction):\n    return prediction.nll\n")
    arms = [change(QUICK, loss="own.py")]
    executor, said = Here(), []
    far = study.compare(arms, [0], "far", executor=executor, tell=said.append)
    near = study.compare(arms, [0], "near")
    assert far.runs[0].status == "finished", said
    assert far.runs[0].result["weights"] == near.runs[0].result["weights"]
    [(function, text)] = executor.given
    assert function is node.run and json.loads(text).keys() == {"folder", "place", "threads", "trusted", "condition",
                                                                "losslab"}
    assert far.runs[0].environment["node"] and not (far.runs[0].path / node.STOP).exists()


def test_an_executor_that_gives_a_run_up_fails_that_run_alone(place):
    said = []
    lost = study.compare([QUICK], [0], "runs", executor=Here(lambda text: "no JSON"), tell=said.append)
    assert lost.runs[0].status == "failed" and "its executor gave it up" in lost.runs[0].result["error"]


@pytest.mark.parametrize(("train", "what"), [
    ({"device": "cuda", "dtype": "float16"}, "train.device is cuda, but this machine has none"),
    ({"device": "cpu"}, "holds another run by now"),
])
def test_a_machine_that_cannot_give_what_a_run_began_with_refuses_it(train, what, place, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with elsewhere.planning_for(CUDA):
        made = experiment.Experiment(change(QUICK, train=train))
        folder = records.create(Path("run"), made.spec, experiment.environment(made, 1))
    asked = json.loads(node.request(folder, threads=1, trusted=[], condition=made.condition))
    answer = json.loads(node.run(json.dumps(asked | ({"condition": "other"} if train["device"] == "cpu" else {}))))
    assert answer["status"] == "refused" and what in answer["told"][-1] and "run refuses" not in answer["told"][-1]
    older = json.loads(node.run(json.dumps(asked | {"losslab": "0.0.1"})))
    assert f"it has losslab {losslab.__version__}, and the study began with 0.0.1" in older["told"][-1]


def test_a_run_that_is_asked_to_stop_is_not_finished_and_continues(place, forking):
    made = experiment.Experiment(QUICK)
    folder = records.create(Path("run"), made.spec, experiment.environment(made, 1))
    asked = node.request(folder, threads=1, trusted=[], condition=made.condition)
    (folder / node.STOP).touch()
    assert json.loads(node.run(asked))["status"] in ("stopped", "waiting")
    (folder / node.STOP).unlink()
    records.note_environment(folder, records.read(folder).environment | {"node": "another", "processor": "another"})
    (folder / "log.jsonl").touch()  # it was begun there
    answer = json.loads(node.run(asked))
    assert answer["status"] == "finished" and "run was last on another and continues on" in answer["told"][0]
    assert records.read(folder).environment["continued_on"] == machine.processor("cpu")
    assert json.loads(node.run(asked))["told"] == []  # what is done stays as it is


def test_plans_for_other_machines_ask_nothing_of_this_one(place):
    auto = change(QUICK, train={"device": "auto", "dtype": "auto", "numerics": "auto"})
    with elsewhere.planning_for(CUDA):
        train = running.plan([auto], [0], "runs").experiments[0].config.train
        assert (train.device, train.dtype, train.numerics) == ("cuda", "bfloat16", "reference")
        assert machine.describe("cuda", "bfloat16")["processor"] == "a GPU of elsewhere"
        assert "would compute have cuda" in refused(machine.resolve_device, "mps")
    with elsewhere.planning_for(elsewhere.Nodes("cpu")):
        assert machine.resolve_dtype("auto", machine.resolve_device("auto")) == "float32"
        assert machine.resolve_numerics("auto", "cpu", "float32") == "reference"
        assert "would compute have cpu" in refused(machine.resolve_device, "cuda")


# --- before anything is spent ---------------------------------------------------------------------

def elsewhere_of(change):
    return Here(lambda text: json.dumps(json.loads(text) | change))


def test_a_machine_is_asked_what_it_has(tmp_path):
    found = probe.nodes(Here(), tmp_path / "runs", device="cpu")
    assert found.device == "cpu" and found.memory == machine.total_memory("cpu") and not found.bfloat16
    assert not list((tmp_path / "runs").iterdir())


def test_a_store_that_is_not_shared_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "PATIENCE_SECONDS", 0.0)
    told = refused(probe.nodes, elsewhere_of({"store": str(tmp_path / "other")}), tmp_path / "runs", device="cpu")
    assert "does not share the store" in told and "give --store a folder that all machines have" in told
    assert not list((tmp_path / "runs").iterdir())


def test_a_machine_that_answers_when_another_was_refused_leaves_no_file(tmp_path, monkeypatch):
    class Two(Here):
        def everywhere(self, function, text):
            self.question, refuses = text, Future()
            refuses.set_exception(ImportError("no module losslab"))
            return [refuses, Future()]  # the second one has not answered

    executor = Two()
    assert "no module losslab; is losslab installed there" in refused(probe.nodes, executor, tmp_path)
    monkeypatch.setattr(probe, "_appears", lambda path, word: True)  # it saw the file before that was removed
    late = json.loads(probe.look(executor.question))
    assert late["sees"] and late["wrote"] and not list(tmp_path.iterdir())


def test_machines_that_would_not_do_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "has no GPU to give" in refused(probe.nodes, Here(), tmp_path, device="cuda")
    assert "is losslab installed there" in refused(probe.nodes, Here(lambda text: "no JSON"), tmp_path)
    assert "cannot write to the store" in refused(probe.nodes, Here(), "/dev/null/runs")
    one = {"node": "one", "device": "cpu", "processor": "A", "memory": 5, "bfloat16": False}
    assert "one has cpu, two has cuda" in refused(probe._common, [one, one | {"node": "two", "device": "cuda"}])
    common = probe._common([one, one | {"processor": "B", "memory": 3}])
    assert common == elsewhere.Nodes("cpu", False, 3, "A / B")


# --- this machine ---------------------------------------------------------------------------------

def test_each_gpu_gets_the_same_number_of_runs(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    assert local.at_once("auto") == 3 and local.at_once("cuda", 2) == 6 and local.at_once("cpu") == 2
    places = local.Places("cuda")
    with places.taken() as first, places.taken() as second:
        with places.taken() as third:
            assert [each["CUDA_VISIBLE_DEVICES"] for each in (first, second, third)] == ["0", "1", "2"]
        with places.taken() as again:
            assert again == third
    with local.Places("cpu").taken() as none, local.Places("cuda:1").taken() as chosen:
        assert none == chosen == {}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")  # as a cluster sets it
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with local.Places("cuda").taken() as mine:
        assert mine == {"CUDA_VISIBLE_DEVICES": "4"}


def test_runs_that_share_a_gpu_are_planned_for_a_share_of_it(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(machine, "total_memory", lambda device: 80)
    configs = [change(QUICK, train={"device": "cuda"})]
    for flags, workers, share in ((Where(per_device=4), None, 20), (Where(per_device=4), 2, 40), (Where(), 3, 80)):
        with executing.executor(flags, tmp_path, configs, workers=workers, threads=1):
            assert fitting.available("cuda") == share and fitting.available("cpu") == 80
    with executors.opened("local", tmp_path, per_device=4):
        assert fitting.available("cuda") == 20
    assert fitting.available("cuda") == 80


def test_runs_of_unlike_machines_are_named(tmp_path):
    runs = [write_run(tmp_path / f"{loss}-{seed}", loss, seed) for loss in ("cross_entropy", "mse") for seed in (0, 1)]
    for run, kind in zip(runs, "AABA", strict=True):
        run.environment["processor"] = kind
    assert not [text for text in comparison.compare(runs[:2]).warnings if "unlike machines" in text]
    runs[1].environment["continued_on"] = "C"
    [told] = [text for text in comparison.compare(runs).warnings if "unlike machines" in text]
    assert told == ("runs were computed on unlike machines, A (cross_entropy seed 0 and mse seed 1), A, then C "
                    "(cross_entropy seed 1) and B (mse seed 0): part of a difference may be how their sums round; "
                    "pairs of seeds 0 and 1 are parted by that")
    runs[0].environment["processor"] = True  # what a damaged file may hold
    assert [text for text in comparison.compare(runs).warnings if "unlike machines" in text]


# --- what was typed -------------------------------------------------------------------------------

@pytest.mark.parametrize(("flags", "what"), [
    (("--executor-address", "auto"), "--executor-address goes with --executor ray"),
    (("--executor-option", "time=5"), "--executor-option goes with --executor slurm"),
    (("--executor", "ray", "--dry-run"), "--dry-run times updates on this machine"),
    (("--executor", "slurm", "--per-device", "2"), "--per-device is for local and ray"),
    (("--executor", "slurm", "--executor-option", "time"), "--executor-option takes NAME=VALUE"),
    (("--per-device", "0"), "--per-device must be at least 1, got 0"),
])
def test_flags_that_do_not_go_together_are_refused(flags, what, place, capsys):
    assert what in refuses(capsys, *COMPARE, *flags)


def test_without_slurm_its_executor_says_so(place, monkeypatch, capsys):
    pytest.importorskip("submitit", reason="needs the extra slurm")
    monkeypatch.setenv("PATH", "/nowhere")
    assert "there is no SLURM on this machine" in refuses(capsys, *COMPARE, "--executor", "slurm")


@pytest.mark.parametrize(("address", "what"), [
    ("127.0.0.1:1", "the Ray cluster at 127.0.0.1:1 does not answer"),
    ("nonsense", "--executor-address takes HOST:PORT"),
])
def test_a_ray_address_that_does_not_answer_is_one_sentence(address, what, place):
    pytest.importorskip("ray", reason="needs the extra ray")

    def enter():
        with executors.opened("ray", "runs", address=address):
            raise AssertionError("it answered")

    assert what in refused(enter)
