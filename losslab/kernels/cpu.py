"""Tiles of rows on the CPU: logits in, gradients of `hidden` and `lm_head` out, in buffers that fit its caches.

A tile holds whole rows, so that its softmax is one fused pass. Memory is a few tiles, whatever the number of tokens.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from losslab.kernels import rows
from losslab.prediction import Needs, Quantity

GRADIENT_IN_FORWARD = True  # a scalar loss needs a tile's logits once
TILE_BYTES = 28 * 2**20  # of logits: in a last-level cache, and small enough that malloc hands the same pages back
MAX_ROWS = 512  # a product gains nothing from more
NARROW = 128  # widths at which the head's gradient is summed transposed: oneDNN then runs at full speed


def takes(device: torch.device, dtype: torch.dtype, transforms: Sequence[partial]) -> bool:
    """Whether these tiles are the way to do it."""
    return device.type == "cpu"


class Head:
    """`hidden x lm_head`, tile by tile, forward and backward.

    Args:
        hidden: `[n, n_embd]`, of the valid tokens alone.
        lm_head: `[vocab, n_embd]`.
        targets: `[n]`.
        ids: of `logit_at`, `[n, ...]` each.
        transforms: the logit transform, as `formula.transforms` gives it.
        dtype: of the matrix products; statistics are at least float32.
        vocabulary: named `[vocab]` vectors.
    """

    def __init__(self, hidden: Tensor, lm_head: Tensor, targets: Tensor, needs: Needs, ids: Sequence[Tensor],
                 transforms: Sequence[partial], dtype: torch.dtype, vocabulary: Mapping[str, Tensor]):  # fmt: skip
        self.hidden, self.lm_head = hidden.detach().to(dtype), lm_head.detach().to(dtype)
        self.targets, self.needs, self.ids, self.transforms = targets, needs, ids, transforms
        self.wide = torch.promote_types(dtype, torch.float32)
        self.vectors = {
            q[1]: vocabulary[q[1]].to(dtype=self.wide, device=hidden.device) for q in needs.quantities if q[0] == "dot"
        }
        self.grad_hidden: Tensor | None = None
        self._grad_lm_head: Tensor | None = None
        self._is_narrow = hidden.shape[1] <= NARROW and _has_onednn(self.hidden)

    def tiles(self) -> Iterator["Tile"]:
        size = max(1, min(MAX_ROWS, TILE_BYTES // (self.lm_head.shape[0] * self.wide.itemsize)))
        for start in range(0, len(self.hidden), size):
            yield Tile(self, slice(start, min(start + size, len(self.hidden))))

    def descend(self, at: slice, g: Tensor) -> None:
        """Add what the gradient `g` of the logits of a tile gives to `hidden` and `lm_head`."""
        x, g = self.hidden[at], g.to(self.hidden.dtype)
        if self.grad_hidden is None:
            self.grad_hidden = torch.empty_like(self.hidden, dtype=self.wide)
        self.grad_hidden[at] = _times_transposed(g, self.lm_head.t())
        if self._is_narrow:
            part = _times_transposed(x.t(), g.t())
        elif self._grad_lm_head is not None and g.dtype == self.wide:
            self._grad_lm_head.addmm_(g.t(), x)
            return
        else:
            part = g.t() @ x
        if self._grad_lm_head is None:
            self._grad_lm_head = part.to(self.wide)
        else:
            self._grad_lm_head += part

    @property
    def grad_lm_head(self) -> Tensor | None:
        if self._is_narrow and self._grad_lm_head is not None:
            return self._grad_lm_head.t().contiguous()
        return self._grad_lm_head


class Tile:
    """Some rows of the head: their logits, statistics and gradient."""

    def __init__(self, head: Head, at: slice):
        self.head, self.at = head, at
        self.targets, self.ids = head.targets[at], [ids[at] for ids in head.ids]

    def observe(self) -> dict[Quantity, Tensor]:
        head = self.head
        raw = _times_transposed(head.hidden[self.at], head.lm_head).to(head.wide)
        self.pull: Callable[[Tensor], Tensor] | None = None
        z = raw
        if head.transforms:
            z, self.pull = _transformed(raw, head.transforms)
        self.found, self.p = rows.observe(
            z, self.targets, self.ids, head.needs, head.vectors,
            overwrite=self.pull is None and not rows.keeps_logits(head.needs),
        )
        self.z = z
        return self.found

    def recall(self, found: Mapping[Quantity, Tensor]) -> None:
        """Be as after an earlier `observe`, which found these: the logits are worked out again."""
        self.observe()

    def descend(self, partials: Mapping[Quantity, Tensor]) -> None:
        """Apply the derivatives of the loss by the quantities of this tile."""
        g = rows.gradient(
            self.z, self.p, self.found, partials, self.targets, self.ids, self.head.vectors
        )
        self.head.descend(self.at, self.pull(g) if self.pull else g)


def _transformed(raw: Tensor, transforms: Sequence[partial]) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """The transformed tile, and what takes its gradient back to the raw one."""
    # autograd keeps the tanh itself; 1 - (z/c)**2 from a rounded z is wrong where it saturates
    with torch.enable_grad():
        leaf = z = raw.requires_grad_()
        for transform in transforms:
            z = transform(z)
    return z.detach(), lambda g: torch.autograd.grad(z, leaf, g)[0]


def _has_onednn(like: Tensor) -> bool:
    return (
        like.dtype == torch.float32 and like.device.type == "cpu" and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def _times_transposed(a: Tensor, b: Tensor) -> Tensor:
    """`a @ b.T`, by oneDNN where it is at hand: up to three times the speed of MKL on a CPU that is not Intel's."""
    if _has_onednn(a):
        return torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")
    return F.linear(a, b)
