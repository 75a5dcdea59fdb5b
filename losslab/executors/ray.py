"""Runs as tasks of a Ray cluster: Ray finds a machine for each, and another one when that is lost."""

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from queue import SimpleQueue

from losslab.executors.local import nothing_to_share
from losslab.words import extra, printable

RETRIES = 5  # of a run whose machine was lost; each continues from the newest checkpoint in the store
ANSWER_SECONDS = 5.0  # for an address
PROBE_SHARE = 0.01  # of a GPU, with which a machine is asked what it has


class RayExecutor(Executor):
    """The shape of `concurrent.futures` over Ray.

    Args:
        cpus: cores that each run takes.
        gpus: GPUs, or the share of one, that each run takes.
        most: runs that Ray is given at once; 0 for all of them.
    """

    def __init__(self, cpus: float, gpus: float = 0.0, most: int = 0):
        self.cpus, self.gpus = cpus, gpus
        self._waiting: SimpleQueue[_Task | None] = SimpleQueue()
        self._room = threading.Semaphore(most) if most else None
        self._is_open = True
        if most:  # what Ray calls when a task has ended may not call Ray, so another thread does
            threading.Thread(target=self._feed, daemon=True).start()

    def submit(self, function: Callable[[str], str], /, *texts: str) -> Future:
        task = self._task(function, texts, num_cpus=self.cpus, num_gpus=self.gpus)
        if self._room is None:
            task.begin()
        else:
            self._waiting.put(task)
        return task

    def close(self) -> None:
        """What has not begun does not begin any more."""
        self._is_open = False
        self._waiting.put(None)
        if self._room is not None:
            self._room.release()

    def _feed(self) -> None:
        while (task := self._waiting.get()) is not None:
            if self._is_open:
                self._room.acquire()
            if not self._is_open:
                task.cancel()
                continue
            task.add_done_callback(lambda _: self._room.release())  # also of one that was cancelled while it waited
            try:
                task.begin()
            except Exception as error:  # of Ray: whoever waits for the task is told
                task.set_exception(error)

    def everywhere(self, function: Callable[[str], str], *texts: str) -> list[Future]:
        """The function once on each machine that could get a run."""
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        wanted = {"CPU": self.cpus, "GPU": self.gpus}
        able = [node["NodeID"] for node in ray.nodes() if node["Alive"]
                and all(node["Resources"].get(name, 0) >= count for name, count in wanted.items())]
        if not able:
            raise ValueError(f"no machine of the Ray cluster has {self.cpus:g} cores"
                             f"{f' and {self.gpus:g} GPUs' if self.gpus else ''} for a run; give fewer --threads, or "
                             "add machines")
        tasks = [self._task(function, texts, num_cpus=0, num_gpus=min(self.gpus, PROBE_SHARE),
                            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)) for node in able]
        for task in tasks:
            task.begin()
        return tasks

    def _task(self, function, texts, **options) -> "_Task":
        import ray

        return _Task(lambda: ray.remote(max_retries=RETRIES, retry_exceptions=False, **options)(function).remote(
            *texts))


class _Task(Future):
    """The future of a task, which Ray is told of where it is cancelled.

    Args:
        start: hands the task to Ray, and gives its reference.
    """

    def __init__(self, start: Callable[[], object]):
        super().__init__()
        self._start, self._reference, self._lock = start, None, threading.Lock()

    def begin(self) -> None:
        """Hand the task to Ray, unless it was cancelled."""
        with self._lock:
            if self.cancelled():
                return
            self._reference = self._start()
        self._reference.future().add_done_callback(self.follow)

    def follow(self, done: Future) -> None:
        """Take over how the task ended."""
        if not self.set_running_or_notify_cancel():
            return
        if error := done.exception():
            self.set_exception(error)
        else:
            self.set_result(done.result())

    def cancel(self) -> bool:
        """Ask Ray to drop the task, or to interrupt it; it ends by itself then, and the future with it."""
        with self._lock:
            if self._reference is None:
                return super().cancel()
        import ray

        ray.cancel(self._reference, force=False)
        return False


@contextlib.contextmanager
def opened(address: str = "", *, device: str, workers: int, threads: int, per_device: int) -> Iterator[RayExecutor]:
    """A connection to the cluster at `address`, or to one that Ray starts on this machine and that ends with it.

    Args:
        address: HOST:PORT, or `auto`.
        device: of the runs; those of `cpu` take no GPU.
        workers: the most runs that Ray has at once; 0 for as many as it finds room for.
        threads: cores of each run.
        per_device: runs that share one GPU.

    Raises:
        ValueError: in one sentence, for an address that does not answer, or GPUs that nobody has.
        ModuleNotFoundError: without the package `ray`.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to anybody
    try:
        import ray
    except ModuleNotFoundError:
        raise ModuleNotFoundError(f"--executor ray needs the package ray; {extra('ray')}") from None
    if not address:
        os.environ.setdefault("RAY_worker_niceness", "0")  # by default a run would yield to whatever else is going on
    cores = max(1, threads)
    own = {} if address else {"num_cpus": cores * (workers or 2), "include_dashboard": False}
    if address and address != "auto":
        _check_answers(address)
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level="error", **own)
    except (OSError, RuntimeError, ValueError, AssertionError) as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        where = f"the Ray cluster at {address} does not answer" if address else "Ray cannot start on this machine"
        raise ValueError(printable(f"{where}: {why.rstrip('.')}; `ray status` says where one runs")) from None
    try:
        there = ray.cluster_resources().get("GPU", 0)
        if device == "cuda" and not there:
            raise ValueError("train.device is cuda, and no machine of the Ray cluster has a GPU; use cpu, or start "
                             "machines with `ray start --num-gpus`")
        takes_gpu = there and device != "cpu"
        if per_device > 1 and not takes_gpu:
            why = "train.device is cpu" if device == "cpu" else "no machine of the Ray cluster has one"
            raise nothing_to_share(per_device, why)
        executor = RayExecutor(cores, 1 / per_device if takes_gpu else 0.0, workers)
        try:
            yield executor
        finally:
            executor.close()
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """A socket is asked first: Ray itself tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise ValueError(printable(f"--executor-address takes HOST:PORT, such as 10.0.0.1:6379, or auto, got {address}"
                                   ))
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_SECONDS).close()
    except OSError as error:
        raise ValueError(printable(f"the Ray cluster at {address} does not answer ({error.strerror or error}); "
                                   "`ray status` on its first machine says its address, and without "
                                   "--executor-address Ray starts one here")) from None
