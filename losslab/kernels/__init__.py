"""The streamed route: row statistics of the logits and their gradient, tile by tile."""

from collections.abc import Sequence
from functools import cache, partial
from importlib.util import find_spec
from types import ModuleType

from torch import device, dtype


def swept_by(where: device, kind: dtype, transforms: Sequence[partial]) -> ModuleType:
    """The module whose `Head` does these products: that of `gpu` if it can, else `cpu`, whose PyTorch runs anywhere."""
    from losslab.kernels import cpu, gpu

    return gpu if where.type == gpu.HOME and _has_triton() and gpu.takes(where, kind, transforms) else cpu


@cache
def _has_triton() -> bool:
    return find_spec("triton") is not None
