"""Where runs are computed: worker processes of this machine, a Ray cluster, or SLURM.

Ray and SLURM are reached through what has the shape of `concurrent.futures.Executor`; any other such executor would do
as well. They decide which machine computes when. All that is handed to them is a function of losslab, which every
machine has by itself, and one text (JSON): both engines pickle what they carry, and a text has nothing to execute.

Example:
    >>> from losslab import executors, study
    >>> with executors.opened("ray", "runs", address="10.0.0.1:6379") as executor:  # doctest: +SKIP
    ...     study.compare(conditions, [0, 1, 2], "runs", executor=executor)
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from pathlib import Path

from losslab import elsewhere
from losslab.executors import probe

NAMES = ("local", "ray", "slurm")
__all__ = ["NAMES", "opened", "together"]


@contextlib.contextmanager
def opened(
    name: str, store: str | Path, *, address: str = "", device: str = "auto", workers: int = 0, threads: int = 1,
    per_device: int = 1, options: Mapping[str, str] = {}, tell: Callable[[str], None] = lambda text: None,
) -> Iterator[Executor | None]:
    """An executor for runs in `store`, whose machines were asked what they have; inside, runs are planned for those.

    Args:
        name: one of `NAMES`; `local` gives None, which stands for worker processes of this machine.
        store: a folder that all machines share, under the same path.
        address: of a Ray cluster; without one Ray starts one on this machine.
        device: that the runs ask for: `auto`, `cpu` or `cuda`.
        workers: the most runs at once; 0 for as many as the engine finds room for.
        threads: CPU cores for each run.
        per_device: runs that share one GPU.
        options: of `sbatch`, such as `partition` or `time` (minutes).
        tell: takes what is worth knowing, a sentence each.

    Raises:
        ValueError: in one sentence: an engine that does not answer, a store that is not shared, machines without what
            the runs need.
        ModuleNotFoundError: for an engine whose package is not installed.
    """
    sharing = elsewhere.sharing(min(per_device, workers or per_device))
    if name == "local":
        with sharing:
            yield None
        return
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"train.device is {device}, and machines of {name} are asked for cpu or cuda, whose numbers "
                         "they choose themselves; use one of these, or auto")
    with _engine(name, store, address=address, device=device, workers=workers, threads=threads, per_device=per_device,
                 options=options) as executor:
        nodes = probe.nodes(executor, store, device=device, tell=tell)
        with elsewhere.planning_for(nodes), sharing:
            yield executor


def _engine(name, store, *, address, device, workers, threads, per_device, options):
    if name == "ray":
        from losslab.executors import ray

        return ray.opened(address, device=device, workers=workers, threads=threads, per_device=per_device)
    if name == "slurm":
        from losslab.executors import slurm

        return slurm.opened(store, device=device, workers=workers, threads=threads, options=options)
    raise ValueError(f"an executor is {', '.join(NAMES[:-1])} or {NAMES[-1]}, got {name!r}")


def together(executor: Executor) -> contextlib.AbstractContextManager:
    """Around several calls of `submit` that belong together: with SLURM they become one array of jobs."""
    return executor.batch() if hasattr(executor, "batch") else contextlib.nullcontext()
