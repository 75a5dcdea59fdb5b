"""Runs of an executor that others stop on their machine, or that it will not take: submitted again, none is missed."""

import contextlib
import json
import os
import signal
from concurrent.futures import Executor, Future
from pathlib import Path

import pytest
from experiments import change
from experiments import place as place
from forks import forking as forking
from record_runs import refused

from losslab import experiment, processes, records, running, study, tune
from losslab.executors import slurm
from losslab.experiment import environment
from losslab.progress import silent
from losslab.running import node, remote

QUICK = change(train={"num_steps": 6, "numerics": "reference", "dtype": "float32"}, evaluate={"num_samples": 0})
STOPPED = json.dumps({"node": "far", "status": "stopped", "signal": int(signal.SIGTERM), "told": []})


class Preempting(Executor):
    """Answers so many times as a job that was stopped; then it computes."""

    def __init__(self, times, answer=lambda future: future.set_result(STOPPED)):
        self.left, self.answer, self.given, self.batches = times, answer, 0, 0

    def submit(self, function, /, *texts):
        self.given += 1
        self.left -= 1
        future = Future()
        if self.left < 0:
            future.set_result(function(*texts))
        else:
            self.answer(future)
        return future

    @contextlib.contextmanager
    def batch(self):
        self.batches += 1
        yield


def planned(*seeds):
    return running.plan([QUICK], seeds or [0], "runs")


def execute(executor, said=None, runs=None):
    running.execute(runs or planned(), workers=1, threads=1, tell=(said if said is not None else []).append,
                    progress=silent, executor=executor)


# --- stopped by others ----------------------------------------------------------------------------

def test_a_run_that_others_stopped_is_submitted_again_and_ends(place, forking):
    said, executor = [], Preempting(2)
    done = study.compare([QUICK], [0], "runs", executor=executor, tell=said.append)
    assert done.runs[0].status == "finished" and executor.given == 3
    again = [text for text in said if "was stopped on far before its end" in text]
    assert ["(1 of 3)" in again[0], "(2 of 3)" in again[1], len(again)] == [True, True, 2]


@pytest.mark.parametrize(("answer", "how"), [
    (lambda future: future.set_result(STOPPED), "was stopped on far before its end"),
    (lambda future: future.cancel(), "was dropped by its executor before its end"),
])
def test_without_a_run_that_others_stop_again_and_again_there_is_no_verdict(answer, how, place):
    said, executor = [], Preempting(99, answer)
    with pytest.raises(running.Stopped, match="there is no verdict without cross-entropy-.*-seed0 and 1 more, which "
                       "did not come to an end .*; the same command continues from what runs holds"):
        study.compare([QUICK], [0, 1], "runs", executor=executor, tell=said.append)
    assert executor.given == 2 * (1 + remote.AGAIN) and sum(how in text for text in said) == 2 * remote.AGAIN
    assert records.find(["runs"])[0].status == "waiting" and not list(Path("runs").rglob(node.STOP))


def test_a_trial_that_others_stop_has_not_failed(place):
    tuning = tune.Tuning(3, {"train.learning_rate": tune.Range()})
    with pytest.raises(running.Stopped):
        tune.tune({"plain": QUICK}, tuning, "study", executor=Preempting(99))


def test_a_run_that_the_engine_takes_no_more_leaves_the_others(place, forking):
    class Full(Preempting):
        def submit(self, function, /, *texts):
            if self.given == 2:
                raise RuntimeError("no more jobs today")
            return super().submit(function, *texts)

    said = []
    with pytest.raises(running.Stopped, match="there is no verdict without cross-entropy-.*-seed0, which"):
        execute(Full(1), said, planned(0, 1))
    assert any("cannot be submitted again (no more jobs today)" in text for text in said)
    assert [record.status for record in records.find(["runs"])] == ["waiting", "finished"]


def test_a_run_that_cannot_be_told_to_have_failed_is_no_part_of_a_verdict(place):
    runs, lost = planned(), Preempting(1, lambda future: future.set_exception(OSError("its job is gone")))
    records.create(runs.folders[0], runs.experiments[0].spec, environment(runs.experiments[0], 1))
    with records.lock(runs.folders[0]), pytest.raises(running.Stopped):  # another machine is at work on it
        execute(lost, runs=runs)


def test_a_job_that_slurm_warned_goes_back_even_where_a_sigterm_came_first(monkeypatch):
    def stopped(text):
        with processes.stop_requests() as asked:
            for number in map(int, text.split()):
                os.kill(os.getpid(), number)
            return json.dumps({"status": "stopped", "signal": asked()})

    put_back = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: put_back.append(number))
    try:
        for numbers, times in ([signal.SIGTERM], 0), ([signal.SIGTERM, signal.SIGUSR2], 1), ([signal.SIGUSR2], 2):
            slurm.Requeued(stopped)(" ".join(str(int(number)) for number in numbers))
            assert put_back == [signal.SIGUSR2] * times
    finally:
        signal.signal(signal.SIGUSR2, before)


# --- the machine that is asked to stop ------------------------------------------------------------

def asked_of(made):
    folder = records.create(Path("run"), made.spec, environment(made, 1))
    return folder, node.request(folder, threads=1, trusted=[], condition=made.condition)


def test_a_worker_that_the_same_signal_ended_has_not_failed(place, monkeypatch):
    class Job:
        """Its process ends as soon as a signal comes, which reaches all processes of a job."""

        def __init__(self, *given, **named):
            self.looks, self.asked_to_stop = 0, False

        def advance(self):
            self.looks += 1
            assert self.looks == 1 or self.asked_to_stop
            return self.looks > 1

        def stop(self):
            self.asked_to_stop = True

        def close(self):
            pass

    _, text = asked_of(experiment.Experiment(QUICK))
    monkeypatch.setattr(node, "Job", Job)
    monkeypatch.setattr(node.time, "sleep", lambda seconds: os.kill(os.getpid(), signal.SIGTERM))
    answer = json.loads(node.run(text))
    assert (answer["status"], answer["signal"]) == ("waiting", signal.SIGTERM)


def test_a_machine_that_is_asked_to_stop_while_it_waits_for_another_refuses_nothing(place, monkeypatch):
    folder, text = asked_of(experiment.Experiment(QUICK))
    monkeypatch.setattr(node.time, "sleep", lambda seconds: os.kill(os.getpid(), signal.SIGTERM))
    with records.lock(folder):
        answer = json.loads(node.run(text))
    assert (answer["status"], answer["signal"], answer["told"]) == ("stopped", signal.SIGTERM, [])


# --- what is submitted together -------------------------------------------------------------------

def test_where_nothing_waits_no_array_is_begun(place, forking):
    executor = Preempting(0)
    execute(executor)
    execute(executor)
    assert (executor.batches, executor.given) == (1, 1)


def test_runs_that_were_submitted_before_one_that_is_refused_are_asked_to_stop(place):
    class Refusing(Preempting):
        def submit(self, function, /, *texts):
            if self.given:
                raise ValueError("there is no such partition")
            self.given, self.future = 1, Future()
            return self.future

    executor, runs = Refusing(0), planned(0, 1)
    assert refused(execute, executor, None, runs) == "there is no such partition"
    assert executor.future.cancelled() and (runs.folders[0] / node.STOP).exists()
    assert not (runs.folders[1] / node.STOP).exists()


def test_an_array_that_sbatch_refuses_is_one_sentence(place, monkeypatch):
    utils = pytest.importorskip("submitit.core.utils", reason="needs the extra slurm")
    submitit = pytest.importorskip("submitit")

    def refuse(engine, command):
        raise utils.FailedJobError("sbatch: error: invalid partition specified: nowhere")

    monkeypatch.setattr(submitit.SlurmExecutor, "_submit_command", refuse)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    with slurm.opened("runs", device="cpu", workers=0, threads=1, options={}) as executor:
        assert "SLURM takes no such job: sbatch: error: invalid partition" in refused(execute, executor, None,
                                                                                       planned(0, 1))
