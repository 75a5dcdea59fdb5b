"""Runs as tasks of a Ray cluster: Ray finds a machine for each, and another one when that is lost."""

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future

from losslab.words import printable

RETRIES = 5  # of a run whose machine was lost; each continues from the newest checkpoint in the store
ANSWER_SECONDS = 5.0  # for an address
PROBE_SHARE = 0.01  # of a GPU, with which a machine is asked what it has


class RayExecutor(Executor):
    """The shape of `concurrent.futures` over Ray.

    Args:
        cpus: cores that each run takes.
        gpus: GPUs, or the share of one, that each run takes.
    """

    def __init__(self, cpus: float, gpus: float = 0.0):
        self.cpus, self.gpus = cpus, gpus

    def submit(self, function: Callable[[str], str], /, *texts: str) -> Future:
        return self._remote(function, texts, num_cpus=self.cpus, num_gpus=self.gpus)

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
        return [self._remote(function, texts, num_cpus=0, num_gpus=min(self.gpus, PROBE_SHARE),
                             scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)) for node in able]

    def _remote(self, function, texts, **options) -> Future:
        import ray

        reference = ray.remote(max_retries=RETRIES, retry_exceptions=False, **options)(function).remote(*texts)
        future = _Task(reference)
        reference.future().add_done_callback(future.follow)
        return future


class _Task(Future):
    """The future of a task, which Ray is told of where it is cancelled."""

    def __init__(self, reference):
        super().__init__()
        self._reference = reference

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
        import ray

        ray.cancel(self._reference, force=False)
        return False


@contextlib.contextmanager
def opened(address: str = "", *, device: str, workers: int, threads: int, per_device: int) -> Iterator[RayExecutor]:
    """A connection to the cluster at `address`, or to one that Ray starts on this machine and that ends with it.

    Raises:
        ValueError: in one sentence, for an address that does not answer, or GPUs that nobody has.
        ModuleNotFoundError: without the package `ray`.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to anybody
    try:
        import ray
    except ModuleNotFoundError:
        raise ModuleNotFoundError("--executor ray needs the package ray: pip install 'losslab[ray]'") from None
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
        yield RayExecutor(cores, 1 / per_device if there and device != "cpu" else 0.0)
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
