"""Worker processes of this machine, each with a GPU where there are GPUs."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

WORKERS = 2  # at once on a CPU, unless said
VARIABLE = "CUDA_VISIBLE_DEVICES"


def gpus() -> list[str]:
    """The names that `CUDA_VISIBLE_DEVICES` has for the GPUs of this process: numbers, or what is set there."""
    visible = os.environ.get(VARIABLE)
    if visible is None:
        return [str(number) for number in range(torch.cuda.device_count())]
    return [name.strip() for name in visible.split(",") if name.strip()][: torch.cuda.device_count()]


def at_once(device: str, per_device: int = 1) -> int:
    """How many runs to compute at once on this machine, unless somebody says.

    Args:
        device: of the runs; `auto` is a GPU where there is one.
        per_device: runs that share a GPU.

    Raises:
        ValueError: for runs that are to share a GPU where they have none.
    """
    if device in ("auto", "cuda") and (found := gpus()):
        return len(found) * per_device
    if device.startswith("cuda:"):
        return per_device
    if per_device > 1:
        where = "this machine has none" if device in ("auto", "cuda") else f"train.device is {device}"
        raise nothing_to_share(per_device, where)
    return WORKERS


def nothing_to_share(per_device: int, why: str) -> ValueError:
    """The refusal of `--per-device` where runs have no GPU."""
    return ValueError(f"--per-device {per_device} is how many runs share a GPU (cuda), and {why}; leave it out, and "
                      "--workers says how many runs are computed at once")


class Places:
    """Which GPU each run gets: the one with the fewest runs; on a machine with one GPU or none there is no choice.

    A process that sees one GPU alone calls it `cuda`, so the runs of all GPUs are of one condition.

    Args:
        device: of the runs; one that has a number is already chosen.
    """

    def __init__(self, device: str):
        names = gpus() if device == "cuda" else []
        self._runs = dict.fromkeys(names, 0) if len(names) > 1 else {}

    @contextmanager
    def taken(self) -> Iterator[dict[str, str]]:
        """What the processes of one run find in their environment while it has a place."""
        if not self._runs:
            yield {}
            return
        name = min(self._runs, key=self._runs.get)
        self._runs[name] += 1
        try:
            yield {VARIABLE: name}
        finally:
            self._runs[name] -= 1
