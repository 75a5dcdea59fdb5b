"""The machines that runs are planned for, where it is not this one that computes them, and how many share a GPU.

Whoever hands runs to other machines asks those first what they have, and plans inside `planning_for`. There, device and
numerics follow from what the answers say, and nothing is asked of this machine, which may have no GPU. Whoever lets
several runs share a GPU, here or there, plans them inside `sharing`.
"""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True)
class Nodes:
    """What all machines have that may get a run.

    Args:
        device: `cuda` or `cpu`, on which their runs compute.
        bfloat16: whether each of their GPUs multiplies it in hardware.
        memory: bytes of the smallest of these devices; None where nobody says.
        processor: the names of their devices, for people.
    """

    device: str
    bfloat16: bool = False
    memory: int | None = None
    processor: str = ""

    def resolve_device(self, device: str) -> str:
        """The device of a run; `auto` is what they have.

        Raises:
            ValueError: for a device that they do not have.
        """
        if device == "auto":
            return self.device
        if device == "mps" or ":" in device or (device == "cuda" and self.device != "cuda"):
            raise ValueError(f"train.device is {device}, and the machines that would compute have {self.device}; use "
                             f"{self.device} or auto")
        return device

    def resolve_dtype(self, dtype: str, device: str) -> str:
        """`auto` is what all of them can compute: on CPUs float32, since not all are fast at anything else."""
        if dtype != "auto":
            return dtype
        return "float32" if device == "cpu" else "bfloat16" if self.bfloat16 else "float16"


_planned_for: ContextVar[Nodes | None] = ContextVar("planned_for", default=None)
_on_a_gpu: ContextVar[int] = ContextVar("on_a_gpu", default=1)


def nodes() -> Nodes | None:
    """The machines that are planned for; None where this one computes."""
    return _planned_for.get()


def planning_for(found: Nodes) -> AbstractContextManager[None]:
    """Inside, runs are planned for these machines."""
    return _inside(_planned_for, found)


def runs_on_a_gpu() -> int:
    """How many runs share one GPU, and so its memory."""
    return _on_a_gpu.get()


def sharing(runs: int) -> AbstractContextManager[None]:
    """Inside, so many of the runs that are planned share one GPU."""
    return _inside(_on_a_gpu, runs)


@contextlib.contextmanager
def _inside(variable: ContextVar, value: object) -> Iterator[None]:
    before = variable.set(value)
    try:
        yield
    finally:
        variable.reset(before)
