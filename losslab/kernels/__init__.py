"""The streamed route: row statistics of the logits and their gradient, tile by tile."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Protocol

from torch import Tensor, device, dtype

from losslab.formula import Transform
from losslab.prediction import Needs, Quantity


class Tile(Protocol):
    """Some rows of a head. `observe` (or `recall`, with what an earlier sweep observed) comes once, then `descend`."""

    at: slice  # which of the head's rows
    targets: Tensor  # [n]
    ids: list[Tensor]  # of `logit_at`, [n, ...] each

    def observe(self, also: Collection[Quantity] = ()) -> dict[Quantity, Tensor]:
        """What the loss needs, and what costs nothing or is in `also`: `[n]` each, and `log_s0` (log sum
        exp(z - max z)) and `argmax` where a gradient wants them."""

    def recall(self, found: Mapping[Quantity, Tensor], partials: Mapping[Quantity, Tensor]) -> None:
        """In the place of `observe`: what it found of every row of the head, and `partials` as for `descend`."""

    def descend(self, partials: Mapping[Quantity, Tensor]) -> None:
        """Add to the head's gradients what the derivatives `[n]` of the loss by this tile's quantities give."""


class Head(Protocol):
    """`hidden x lm_head`, tile by tile, forward and backward.

    Args:
        hidden: `[n, n_embd]`, of the valid tokens alone.
        lm_head: `[vocab, n_embd]`.
        targets: `[n]`.
        needs: the quantities that a loss asks for.
        ids: of `logit_at`, `[n, ...]` each.
        transforms: the logit transforms, one after the other.
        dtype: of the matrix products; statistics are at least float32.
        vectors: the `[vocab]` vectors of the needs by name, on the same device and in the dtype of the statistics.
    """

    grad_hidden: Tensor | None  # [n, n_embd], None before a tile has descended
    grad_lm_head: Tensor | None  # [vocab, n_embd]

    def __init__(self, hidden: Tensor, lm_head: Tensor, targets: Tensor, needs: Needs, ids: Sequence[Tensor],
                 transforms: Sequence[Transform], dtype: dtype, vectors: Mapping[str, Tensor]): ...  # fmt: skip

    def tiles(self) -> Iterator[Tile]:
        """All rows, each in one tile."""


def swept_by(where: device, kind: dtype, transforms: Sequence[Transform]) -> ModuleType:
    """The module whose `Head` does these products: that of `gpu` if it can, else `cpu`, whose PyTorch runs anywhere."""
    from losslab.kernels import cpu, gpu

    return gpu if where.type == gpu.HOME and _has_triton() and gpu.takes(where, kind, transforms) else cpu


@cache
def _has_triton() -> bool:
    return find_spec("triton") is not None
