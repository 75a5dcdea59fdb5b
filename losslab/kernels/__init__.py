"""The streamed route: row statistics of the logits and their gradient, tile by tile."""

from functools import cache
from importlib.util import find_spec
from types import ModuleType

from torch import device


def for_device(where: device) -> ModuleType:
    """The module whose `Head` sweeps tensors that lie there, if its `takes` agrees."""
    from losslab.kernels import cpu, gpu

    return gpu if where.type == "cuda" and _has_triton() else cpu


@cache
def _has_triton() -> bool:
    return find_spec("triton") is not None
