"""`--executor`: where the runs of a command are computed."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from losslab import elsewhere
from losslab.cli.flags import WHOLE, threads_of, workers_of
from losslab.cli.speech import tell
from losslab.config.numbers import check, shown

MOST_PER_DEVICE = 64


@Parameter(name="*")
@dataclass
class Where:
    """The flags that say where runs are computed."""

    executor: Annotated[Literal["local", "ray", "slurm"], Parameter(
        help="Where runs are computed: worker processes here, a Ray cluster, or jobs of SLURM.")] = "local"
    executor_address: Annotated[str | None, Parameter(
        help="HOST:PORT of a Ray cluster, or auto; without it Ray starts one on this machine.")] = None
    executor_option: Annotated[list[str] | None, Parameter(
        help="An option of SLURM's jobs, such as partition=gpu or time=240 (minutes); may be repeated.",
        negative="")] = None  # fmt: skip
    per_device: Annotated[int | None, WHOLE, Parameter(help="Runs that share one GPU; 1.")] = None


def one_process() -> None:
    """An error under several ranks, each of which would start every run."""
    if "WORLD_SIZE" not in os.environ:  # so that torch need not be loaded
        return
    from losslab import parallel

    if (ranks := parallel.world_size()) > 1:
        raise ValueError(f"one process starts all runs of a study, and there are {ranks} ranks; leave out torchrun "
                         "(and WORLD_SIZE), or start each run under it with `losslab train`")


def own_threads(where: Where | None, threads: int) -> int:
    """`--threads`, at most one for each core of this machine where it computes; others may have more."""
    return threads_of(threads, tell) if where is None or where.executor == "local" else threads


@contextlib.contextmanager
def executor(
    where: Where | None, store: Path, configs: Sequence, *, workers: int | None, threads: int, dry_run: bool = False,
) -> Iterator[tuple[int, object]]:
    """How many runs are computed at once on this machine, and the executor of other machines, or None.

    Args:
        where: the flags.
        store: the folder of the runs.
        configs: of the arms, which say the device.
        workers: `--workers`, if it was given.
        threads: of each run.
        dry_run: whether nothing is to be computed.

    Raises:
        ValueError: for flags that do not go together, an executor that cannot be had, or several ranks.
    """
    one_process()
    where = where or Where()
    device = configs[0].train.device
    for flag, value, name in (("--executor-address", where.executor_address, "ray"),
                              ("--executor-option", where.executor_option, "slurm")):
        if value is not None and where.executor != name:
            raise ValueError(f"{flag} goes with --executor {name}")
    if where.per_device is not None:
        check("--per-device", where.per_device, 1, MOST_PER_DEVICE, "runs that share a GPU")
        if where.executor == "slurm":
            raise ValueError("--per-device is for local and ray; what a job of SLURM gets is said by "
                             "--executor-option, such as gres=gpu:1")
    if workers is not None:
        workers_of(workers)
    if where.executor == "local":
        at_once = _at_once(device, where.per_device or 1) if where.per_device or workers is None else 0
        with elsewhere.sharing(min(where.per_device or 1, workers or at_once)):
            yield workers or at_once, None
        return
    if dry_run:
        raise ValueError(f"--dry-run times updates on this machine, and --executor {where.executor} computes on "
                         "others; leave one of them out")
    from losslab import executors

    with executors.opened(
        where.executor, store, address=where.executor_address or "", device=device, workers=workers or 0,
        threads=threads, per_device=where.per_device or 1, options=dict(map(_option, where.executor_option or ())),
        tell=tell,
    ) as found:
        yield workers or 1, found


def _at_once(device: str, per_device: int) -> int:
    from losslab.executors import local

    return local.at_once(device, per_device)


def _option(text: str) -> tuple[str, str]:
    name, equals, value = (part.strip() for part in text.partition("="))
    if not name or not value:
        raise ValueError(f"--executor-option takes NAME=VALUE, such as partition=gpu, got {shown(text)}")
    return name, value
