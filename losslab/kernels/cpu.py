"""Tiles of rows on the CPU: logits in, gradients of `hidden` and `lm_head` out, in buffers that fit its caches.

A tile holds whole rows, so that its softmax is one fused pass. Memory is a few tiles, whatever the number of tokens.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from losslab.formula import Transform
from losslab.kernels.caps import product
from losslab.kernels.gram import Gram
from losslab.kernels.products import has_onednn, times_transposed
from losslab.kernels.rows import Rows, reads_logits
from losslab.prediction import Needs, Quantity

HOME = "cpu"  # the kind of device on which it is the fastest way
GRADIENT_IN_FORWARD = True  # a tile's logits are there already
# of logits, by how many tiles of this size are held at once: all together in a last-level cache or near it, and
# each small enough that malloc hands the same pages back
TILE_BYTES = {1: 28 * 2**20, 2: 24 * 2**20, 3: 14 * 2**20}
MAX_ROWS = 512  # a product gains nothing from more
NARROW = 128  # widths at which the head's gradient is summed transposed: oneDNN then runs at full speed


class Head:
    """The `kernels.Head` of any device that PyTorch runs on."""

    def __init__(self, hidden: Tensor, lm_head: Tensor, targets: Tensor, needs: Needs, ids: Sequence[Tensor],
                 transforms: Sequence[Transform], dtype: torch.dtype, vectors: Mapping[str, Tensor]):  # fmt: skip
        self.hidden, self.lm_head = hidden.detach().to(dtype), lm_head.detach().to(dtype)
        self.targets, self.ids, self.vectors = targets, ids, vectors
        self.product = product(transforms, dtype)
        self.wide = torch.promote_types(dtype, torch.float32)
        self._is_narrow = hidden.shape[1] <= NARROW and has_onednn(self.hidden)
        self.wanted, self.gram = needs.quantities, None
        if "sum_squares" in needs.quantities and not transforms and hidden.shape[1] <= NARROW and dtype == self.wide:
            self.wanted, self.gram = needs.quantities - {"sum_squares"}, Gram(self.lm_head)
        buffers = 1 + bool(transforms) + (reads_logits(self.wanted) or ("power_sum", 2.0) in self.wanted)
        self._size = max(1, min(MAX_ROWS // buffers, TILE_BYTES[buffers] // (len(lm_head) * self.wide.itemsize)))
        # kept, since malloc gives pages back to the system when two tiles are free
        rows = self._size if reads_logits(self.wanted) else 0
        self.scratch = self.hidden.new_empty(rows, len(lm_head), dtype=self.wide)
        self.grad_hidden: Tensor | None = None
        self._grad_lm_head: Tensor | None = None

    def tiles(self) -> Iterator["Tile"]:
        for start in range(0, len(self.hidden), self._size):
            yield Tile(self, slice(start, min(start + self._size, len(self.hidden))))

    def descend(self, at: slice, g: Tensor, heavy: Sequence[Tensor]) -> None:
        """Add what the gradient `g` of the logits of a tile gives to `hidden` and `lm_head`.

        `heavy` are the columns `[n]`, one per row, whose entries may weigh as much as all others together.
        """
        x, g = self.hidden[at], g.to(self.hidden.dtype)
        self._descend_lm_head(x, g)
        if self.grad_hidden is None:
            self.grad_hidden = torch.empty_like(self.hidden, dtype=self.wide)
        # a sum over the vocabulary that begins with a heavy entry rounds all that follow to its digits
        apart = 0.0
        for column in heavy:
            apart += g.gather(1, column[:, None]).to(self.wide) * self.lm_head[column]
            g.index_put_((torch.arange(len(g)), column), g.new_zeros(()))  # scatter_ of bfloat16 copies all of g twice
        self.grad_hidden[at] = times_transposed(g, self.lm_head.t())
        self.grad_hidden[at] += apart

    def _descend_lm_head(self, x: Tensor, g: Tensor) -> None:
        if self._is_narrow:
            part = times_transposed(x.t(), g.t())
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
        grad = self._grad_lm_head
        if grad is not None and self._is_narrow:
            grad = grad.t().contiguous()
        return grad if grad is None or self.gram is None else grad.add_(self.gram.grad_lm_head(self.lm_head))


class Tile:
    """Some rows of the head: their logits, statistics and gradient."""

    def __init__(self, head: Head, at: slice):
        self.head, self.at = head, at
        self.targets, self.ids = head.targets[at], [ids[at] for ids in head.ids]
        z, self._pull = head.product(head.hidden[at], head.lm_head)
        self.rows = Rows(z, self.targets, self.ids, head.vectors, head.scratch[: len(z)])

    def observe(self, also: Collection[Quantity] = ()) -> dict[Quantity, Tensor]:
        """What the loss needs, and what costs nothing or is in `also`."""
        found, head = dict(self.rows.observe(self.head.wanted)), self.head
        if head.gram is not None:
            found["sum_squares"] = head.gram.sum_squares(head.hidden[self.at]).to(head.wide)
        if "entropy" in also and "entropy" not in found:
            # from p alone: among what is wanted it would be a reason to round the gradient otherwise
            p = self.rows.p
            found["entropy"] = -torch.linalg.vecdot(p, p.clamp_min(torch.finfo(p.dtype).tiny).log_())
        return found

    def recall(self, found: Mapping[Quantity, Tensor], partials: Mapping[Quantity, Tensor]) -> None:
        """What an earlier sweep found of every row, in the place of `observe`; `partials` as for `descend`."""
        self.rows.recall({name: value[self.at] for name, value in found.items()}, self.head.wanted & set(partials))

    def descend(self, partials: Mapping[Quantity, Tensor]) -> None:
        """Apply the derivatives of the loss by the quantities of this tile."""
        head, partials = self.head, dict(partials)
        squares = partials.pop("sum_squares", None) if head.gram is not None else None
        g = self._pull(self.rows.gradient(partials))
        head.descend(self.at, g, (self.targets, self.rows.found["argmax"]))
        if squares is not None:
            head.grad_hidden[self.at] += head.gram.pull(head.hidden[self.at], squares)
