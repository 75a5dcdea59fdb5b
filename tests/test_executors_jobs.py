"""Jobs of SLURM and tasks of Ray, where the engines are played: how they end, what is asked, how many there are."""

import sys
from concurrent.futures import Future
from queue import SimpleQueue
from types import ModuleType, SimpleNamespace

import pytest
import torch
from commands import COMPARE, refuses
from experiments import place as place
from record_runs import refused

from losslab import elsewhere, executors
from losslab.executors import local, probe, slurm, slurm_options
from losslab.experiment import fitting

PATIENCE = 60  # seconds, after which a test fails


# --- SLURM ----------------------------------------------------------------------------------------

class Job:
    """A job as submitit has it, whose answer is there or not."""

    def __init__(self, folder, number, answer=None):
        self.job_id, self.answer = str(number), answer
        self.paths = SimpleNamespace(folder=folder, result_pickle=folder / f"{number}_0_result.pkl",
                                     stderr=folder / f"{number}_0_log.err")
        if answer is not None:
            self.paths.result_pickle.touch()

    def result(self):
        assert self.answer is not None, "submitit would wait here, without accounting for ever"
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class Engine:
    """An executor of submitit, which gives the jobs that it is made with."""

    def __init__(self, jobs=()):
        self.jobs, self.asked = list(jobs), {}

    def submit(self, function, *texts):
        return self.jobs.pop(0)

    def update_parameters(self, **asked):
        if unknown := asked.keys() - self._valid_parameters():
            raise ValueError(f"Unavailable parameter(s): {sorted(unknown)}\nValid parameters are: ...")
        self.asked = asked

    def _valid_parameters(self):
        return {"job_name", "time", "cpus_per_task", "partition", "account", "array_parallelism", "gpus_per_node"}


@pytest.fixture
def submitit(monkeypatch):
    """What stands for the package: `engines` has the executors that were made."""
    package, core, utils = ModuleType("submitit"), ModuleType("submitit.core"), ModuleType("submitit.core.utils")
    utils.FailedJobError = type("FailedJobError", (RuntimeError,), {})
    package.engines, package.jobs = [], lambda folder: []

    def made(folder, max_num_timeout):
        package.engines.append(Engine(package.jobs(folder)))
        return package.engines[-1]

    package.SlurmExecutor = made
    for module in (package, core, utils):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(slurm, "_queue", dict)
    monkeypatch.setattr(slurm, "POLL_SECONDS", 0.0)
    return package


def test_a_job_that_dies_without_an_answer_holds_up_no_other(submitit, tmp_path):
    executor = slurm.SlurmExecutor(Engine([Job(tmp_path, 7), Job(tmp_path, 8, "an answer")]))
    dead, done = executor.submit(str, "a"), executor.submit(str, "b")
    assert done.result(PATIENCE) == "an answer"
    error = dead.exception(PATIENCE)
    assert type(error) is RuntimeError
    assert str(error) == f"job 7 of SLURM ended without an answer; its log is {tmp_path}/7_0_log.err"
    assert executor.lost_jobs


def test_a_job_is_looked_for_some_times_before_it_counts_as_over(submitit, tmp_path, monkeypatch):
    executor, future, missing = slurm.SlurmExecutor(Engine()), Future(), {}
    executor._watched = [(Job(tmp_path, 7), future)]
    for queue, looks in (({}, slurm.MISSING), ({"7": "RUNNING"}, 1), (None, 9), ({}, slurm.MISSING)):
        monkeypatch.setattr(slurm, "_queue", lambda queue=queue: queue)
        assert all(executor._look(missing) for _ in range(looks)) and not future.done()
    assert executor._look(missing) and future.done() and not executor._look(missing)


def test_an_error_of_the_thread_that_follows_jobs_is_told_to_all_who_wait(submitit, tmp_path, monkeypatch):
    def nobody():
        raise KeyError("uid not found: 4711")

    monkeypatch.setattr(slurm, "_queue", nobody)
    executor = slurm.SlurmExecutor(None)
    futures = [Future(), Future()]
    executor._watched = [(Job(tmp_path, number), future) for number, future in enumerate(futures)]
    executor._follow()
    assert ["uid not found: 4711" in str(future.exception(PATIENCE)) for future in futures] == [True, True]
    assert executor._thread is None and not executor._watched  # the next job is followed again


def test_options_are_numbers_where_submitit_computes_with_them(submitit, tmp_path):
    typed = slurm_options.typed({"account": "0042", "time": "60", "signal-delay-s": "300", "gpus_per_node": "h100:2"})
    assert typed == {"account": "0042", "time": 60, "signal_delay_s": 300, "gpus_per_node": "h100:2"}
    with slurm.opened(tmp_path, device="cuda", workers=3, threads=2, options={"account": "0042"}):
        assert submitit.engines[0].asked == {"job_name": "losslab", "time": 60, "cpus_per_task": 2, "account": "0042",
                                             "array_parallelism": 3, "gpus_per_node": 1}
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("options", "sentence"), [
    ({"time": "1-0"}, "the option time is a number of minutes, got '1-0'"), ({"time": "0"}, "got 0"),
    ({"nodes": "two"}, "the option nodes is a whole number, got 'two'"), ({"nodes": "²"}, "a whole number"),
    ({"partitoin": "main"}, "an option of --executor slurm is not known (Unavailable parameter(s): ['partitoin'])"),
])
def test_a_bad_option_leaves_no_folder(submitit, tmp_path, options, sentence):
    assert sentence in refused(slurm.opened(tmp_path, device="cpu", workers=0, threads=1, options=options).__enter__)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("answer", "stays"), [("fine", False), (ValueError("no such text"), True), (None, True)])
def test_the_folder_of_jobs_stays_where_one_was_lost(submitit, tmp_path, answer, stays):
    submitit.jobs = lambda folder: [Job(folder, 7, answer)]
    with slurm.opened(tmp_path, device="cpu", workers=0, threads=1, options={}) as executor:
        future = executor.submit(str, "a")
        assert (future.exception(PATIENCE) is None) is not stays
    assert bool(list(tmp_path.glob(".slurm-*"))) is stays


# --- Ray ------------------------------------------------------------------------------------------

class Ray(ModuleType):
    """A cluster whose tasks end when a test says so; `begun` has the future of each."""

    def __init__(self, gpus=0):
        super().__init__("ray")
        self.gpus, self.begun, self.ended = gpus, SimpleQueue(), False

    def init(self, **options):
        self.options = options

    def cluster_resources(self):
        return {"CPU": 64, "GPU": self.gpus}

    def remote(self, **options):
        def remote(*texts):
            future = Future()
            future.texts, future.options = texts, options
            self.begun.put(future)
            return SimpleNamespace(future=lambda: future)

        return lambda function: SimpleNamespace(remote=remote)

    def cancel(self, reference, *, force):
        reference.future().set_exception(InterruptedError("cancelled"))

    def shutdown(self):
        self.ended = True


@pytest.fixture
def ray(monkeypatch):
    found = Ray()
    monkeypatch.setitem(sys.modules, "ray", found)
    return found


def opened(**options):
    from losslab.executors import ray

    return ray.opened("auto", **{"device": "auto", "workers": 0, "threads": 1, "per_device": 1} | options)


def test_a_cluster_has_at_most_so_many_runs_at_once_as_workers(ray):
    with opened(workers=2) as executor:
        tasks = [executor.submit(str, name) for name in "abcde"]
        first, second = (ray.begun.get(timeout=PATIENCE) for _ in range(2))
        assert (first.texts, second.texts) == (("a",), ("b",)) and ray.begun.empty()
        assert tasks[2].cancel() and tasks[2].cancelled()  # it has not begun, and Ray knows nothing of it
        second.set_result("fine")
        assert tasks[1].result(PATIENCE) == "fine"
        third = ray.begun.get(timeout=PATIENCE)
        assert third.texts == ("d",) and ray.begun.empty()
        assert not tasks[0].cancel() and isinstance(tasks[0].exception(PATIENCE), InterruptedError)
        assert ray.begun.get(timeout=PATIENCE).texts == ("e",)
    assert ray.ended


def test_without_workers_a_cluster_has_all_runs_at_once(ray):
    with opened() as executor:
        tasks = [executor.submit(str, name) for name in "abc"]
        begun = [ray.begun.get_nowait() for _ in tasks]
        begun[0].set_exception(OSError("its machine was lost"))
        assert isinstance(tasks[0].exception(PATIENCE), OSError) and not tasks[1].done()


def test_runs_that_wait_when_all_is_over_do_not_begin(ray):
    with opened(workers=1) as executor:
        tasks = [executor.submit(str, name) for name in "abc"]
        running = ray.begun.get(timeout=PATIENCE)
    running.set_result("late")
    assert tasks[0].result(PATIENCE) == "late" and ray.begun.empty()


# --- GPUs that are shared ---------------------------------------------------------------------------

def test_runs_share_a_gpu_where_there_is_one(ray, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert "--per-device 4 is how many runs share a GPU (cuda), and this machine has none" in refused(
        local.at_once, "auto", 4)
    assert "and train.device is cpu" in refused(local.at_once, "cpu", 4)
    assert local.at_once("cuda:1", 4) == 4 and local.at_once("cpu", 1) == local.WORKERS
    assert "no machine of the Ray cluster has one" in refused(opened(per_device=4).__enter__)
    ray.gpus = 2
    assert "train.device is cpu" in refused(opened(per_device=4, device="cpu").__enter__) and ray.ended
    with opened(per_device=4) as executor:
        executor.submit(str, "a")
        assert ray.begun.get_nowait().options["num_gpus"] == 0.25


def test_runs_that_share_a_gpu_of_a_cluster_are_planned_for_a_share_of_it(ray, tmp_path, monkeypatch):
    ray.gpus = 1
    monkeypatch.setattr(probe, "nodes", lambda *given, **named: elsewhere.Nodes("cuda", memory=80))
    with executors.opened("ray", tmp_path, address="auto", per_device=4):
        assert fitting.available("cuda") == 20


@pytest.mark.parametrize("more", [(), ("--workers", "3")])
def test_the_command_refuses_runs_that_share_no_gpu(place, capsys, more):
    assert "--per-device 2 is how many runs share a GPU" in refuses(capsys, *COMPARE, "--per-device", "2", *more)
