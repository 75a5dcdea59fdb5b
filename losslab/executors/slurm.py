"""Runs as jobs of SLURM, by submitit: one array of jobs for the runs that are submitted together.

A job that is about to be out of time saves its run (the way of SIGTERM) and is put back into the queue, where it
continues from that checkpoint.
"""

import contextlib
import getpass
import json
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, InvalidStateError
from pathlib import Path

from losslab.executors import slurm_options
from losslab.processes import WARNING
from losslab.words import extra

TIMEOUTS = 1_000  # that one run may have, since each continues where the one before stopped
POLL_SECONDS = 2.0
MISSING = 5  # looks at the queue without a job, before it counts as over
UNFINISHED = ("stopped", "waiting")  # of a run


class SlurmExecutor(Executor):
    """The shape of `concurrent.futures` over submitit.

    Args:
        engine: an executor of submitit, whose parameters are set.
    """

    def __init__(self, engine):
        self.engine = engine
        self.submitted: list = []  # the jobs of the last batch, as submitit has them
        self.took_jobs = self.lost_jobs = False  # of all that were submitted
        self._watched: list[tuple[object, Future]] = []  # jobs that are not over
        self._batch: list[tuple[object, Future]] | None = None
        self._lock, self._thread = threading.Lock(), None

    def submit(self, function: Callable[[str], str], /, *texts: str) -> Future:
        """A job that calls `function`, which answers with JSON; one that a signal of SLURM stopped is called again."""
        with slurm_options.refusals():
            job = self.engine.submit(Requeued(function), *texts)
        future = _Job(job)
        if self._batch is None:
            self._watch([(job, future)])
        else:
            self._batch.append((job, future))
        return future

    @contextlib.contextmanager
    def batch(self) -> Iterator[None]:
        """What is submitted inside becomes one array of jobs, at the end."""
        self._batch = []
        try:
            with slurm_options.refusals(), self.engine.batch():
                yield
            self.submitted = [job for job, _ in self._batch]
            self._watch(self._batch)
        except BaseException:
            for _, future in self._batch:  # of jobs that SLURM never had, and that have no number
                Future.cancel(future)
            raise
        finally:
            self._batch = None

    def _watch(self, jobs: list[tuple[object, Future]]) -> None:
        with self._lock:
            self._watched += jobs
            self.took_jobs = self.took_jobs or bool(jobs)
            if self._thread is None and self._watched:
                self._thread = threading.Thread(target=self._follow, daemon=True)
                self._thread.start()

    def _follow(self) -> None:
        """Tell the futures how their jobs ended, until there are none.

        Whoever waits for a future waits for this thread, so an error in it is what all of them are told.
        """
        missing: dict = {}
        try:
            while self._look(missing):
                time.sleep(POLL_SECONDS)
        except Exception as error:
            with self._lock:
                left, self._watched, self._thread = self._watched, [], None
            self.lost_jobs = True
            for _, future in left:
                with contextlib.suppress(InvalidStateError):  # it is over, or was cancelled just now
                    future.set_exception(RuntimeError(f"nobody follows its job any more: {error!r}"))

    def _look(self, missing: dict) -> bool:
        """Settle the futures whose jobs have ended; whether there are others.

        A job has ended when its answer is there, or when it was not in the queue for some looks, counted in `missing`:
        the accounting of SLURM, which submitit would ask, is not everywhere.
        """
        with self._lock:
            jobs = list(self._watched)
            if not jobs:
                self._thread = None
                return False
        queue = _queue()
        for job, future in jobs:
            missing[job] = 0 if queue is None or job.job_id in queue else missing.get(job, 0) + 1
            answered = _has_answered(job)
            if future.done() or answered or missing[job] > MISSING:
                self._settle(job, future, answered)
                with self._lock:
                    self._watched.remove((job, future))
        return True

    def _settle(self, job, future: Future, answered: bool) -> None:
        """Tell a future how its job ended.

        Without an answer submitit is not asked for it: it would wait for what the accounting says, for ever where there
        is none.
        """
        if future.done() or not future.set_running_or_notify_cancel():
            return
        error: Exception = RuntimeError(f"job {job.job_id} of SLURM ended without an answer; its log is "
                                        f"{job.paths.stderr}")
        if answered:
            try:
                future.set_result(job.result())
                return
            except Exception as raised:  # by the function, or by the job that ran it
                error = raised
        self.lost_jobs = True  # before anybody is told, so that the log is kept
        future.set_exception(error)


class Requeued:
    """A function whose job goes back into the queue when SLURM says that its time is nearly over.

    SLURM says so by SIGUSR2. While the function runs, that asks it to stop, as SIGTERM does; when it has saved all and
    answers so, what submitit would have done at once is done: the job is put into the queue again, and this process
    ends.
    """

    def __init__(self, function: Callable[[str], str]):
        self.function = function

    def __call__(self, *texts: str) -> str:
        put_back = signal.getsignal(WARNING)
        answer = self.function(*texts)
        told = json.loads(answer)
        if told.get("signal") == WARNING and told["status"] in UNFINISHED and callable(put_back):
            put_back(WARNING, None)
        return answer

    def checkpoint(self, *texts: str):
        """What submitit puts into the queue again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, *texts)


class _Job(Future):
    """The future of a job, which SLURM is told of where it is cancelled."""

    def __init__(self, job):
        super().__init__()
        self._job = job

    def cancel(self) -> bool:
        """Take the job out of the queue if it waits there; one that runs is left to end by itself."""
        if self.done() or (_queue() or {}).get(self._job.job_id) != "PENDING":
            return self.cancelled()
        self._job.cancel(check=False)
        return super().cancel()


def _queue() -> dict[str, str] | None:
    """Number -> state of all jobs of this user that are not over; None where SLURM does not answer now."""
    asked = ["squeue", "--noheader", "--array", "--user", getpass.getuser(), "--format", "%i %T"]
    try:
        done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return dict(line.split()[:2] for line in done.stdout.splitlines() if line.strip())


def _has_answered(job) -> bool:
    with contextlib.suppress(OSError):  # a network file system shows new files in a folder that was touched
        job.paths.folder.chmod(job.paths.folder.stat().st_mode)
    return job.paths.result_pickle.exists()


@contextlib.contextmanager
def opened(
    store: str | Path, *, device: str, workers: int, threads: int, options: Mapping[str, str],
) -> Iterator[SlurmExecutor]:
    """SLURM as this machine knows it.

    Args:
        store: in which a folder that only this user can read holds what submitit passes on; it goes when all is over.
        device: `cuda` asks for one GPU a job, unless an option says more.
        workers: the most jobs at once; 0 for as many as SLURM lets run.
        threads: cores of each job.
        options: of `sbatch`, by the names that submitit has for them.

    Raises:
        ValueError: in one sentence, where there is no SLURM, or no such option.
        ModuleNotFoundError: without the package `submitit`.
    """
    try:
        import submitit
    except ModuleNotFoundError:
        raise ModuleNotFoundError(f"--executor slurm needs the package submitit; {extra('slurm')}") from None
    if shutil.which("sbatch") is None or shutil.which("srun") is None:
        raise ValueError("there is no SLURM on this machine: sbatch and srun are not found; run this where you submit "
                         "your jobs, or leave out --executor slurm")
    asked = {"job_name": "losslab", "time": slurm_options.MINUTES, "cpus_per_task": max(1, threads),
             **slurm_options.typed(options)}
    if workers:
        asked["array_parallelism"] = workers
    if device == "cuda" and not any("gpu" in name or name == "gres" for name in asked):
        asked["gpus_per_node"] = 1
    store = Path(store).absolute()
    store.mkdir(parents=True, exist_ok=True)
    # of a new name: in a folder that others can write, what lies there already could be read as an answer
    folder = Path(tempfile.mkdtemp(prefix=".slurm-", dir=store))
    executor = None
    try:
        engine = submitit.SlurmExecutor(folder=folder, max_num_timeout=TIMEOUTS)
        slurm_options.ask(engine, asked)
        executor = SlurmExecutor(engine)
        yield executor
    except BaseException:
        if executor is None or not executor.took_jobs:  # else its logs say why, and jobs may still run
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if not executor.lost_jobs:
        shutil.rmtree(folder, ignore_errors=True)
