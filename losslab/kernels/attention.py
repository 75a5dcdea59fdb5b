"""Causal attention with dropout on a CPU, where PyTorch's own has no fused kernel.

PyTorch's attention is fused on a CPU only without dropout. With it, each step of the computation writes all scores of a
layer to memory. Here a few heads at a time go through all steps while their scores are in the cache, and the backward
pass computes them again from the queries and keys, so of the weights only what was dropped is kept, in a byte each.
"""

import math

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CACHE = 2**20  # scores at once: 4 MB, a half of which each of two cores finds in its own cache


def with_dropout(q: Tensor, k: Tensor, v: Tensor, keep: Tensor, scale: float, mask: Tensor | None = None) -> Tensor:
    """`dropout(softmax(q k' / sqrt(head_dim))) v`, computed in float32, or in float64 where `v` is.

    Args:
        q, k, v: `[batch, head, seq, head_dim]`.
        keep: bool `[batch, head, seq, seq]`, True where a weight is kept.
        scale: by which the kept weights are multiplied, `1 / (1 - p)`.
        mask: bool `[batch, seq, seq]`, True where a token may attend; each token may to itself. None: to itself and all
            before it.

    Returns:
        `[batch, head, seq, head_dim]`, in the dtype of `v`.
    """
    with torch.autocast(q.device.type, enabled=False):
        wide = torch.float64 if v.dtype == torch.float64 else torch.float32
        return _WithDropout.apply(q.to(wide), k.to(wide), v.to(wide), keep, scale, mask).to(v.dtype)


class _WithDropout(torch.autograd.Function):
    """A loop over pieces, each of a few heads of one sequence."""

    @staticmethod
    def forward(ctx, q: Tensor, k: Tensor, v: Tensor, keep: Tensor, scale: float, mask: Tensor | None) -> Tensor:
        q, k, v = q.contiguous(), k.contiguous(), v.contiguous()
        y, work = torch.empty_like(v), _Work(q, mask)
        for at in work.pieces:
            kept = work.weights(q[at], k[at], at).mul_(work.factors(keep[at]))
            torch.bmm(kept, v[at], out=y[at])
        y.mul_(scale)
        ctx.save_for_backward(q, k, v, y, keep, mask)
        ctx.scale = scale
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, g: Tensor):
        q, k, v, y, keep, mask = ctx.saved_tensors
        g = g.contiguous()
        grads, work = [torch.empty_like(q) for _ in range(3)], _Work(q, mask)
        along = (g * y).sum(-1, keepdim=True)  # of each row of weights, the mean of their gradients
        g = g * ctx.scale
        for at in work.pieces:
            p, factors = work.weights(q[at], k[at], at), work.factors(keep[at])
            to_scores = torch.bmm(g[at], v[at].mT, out=work.second(len(p))).mul_(factors)
            torch.bmm(factors.mul_(p).mT, g[at], out=grads[2][at])
            to_scores.sub_(along[at]).mul_(p)
            torch.bmm(to_scores, k[at], out=grads[0][at])
            torch.bmm(to_scores.mT, q[at], out=grads[1][at])
        for grad in grads[:2]:
            grad.mul_(1 / math.sqrt(q.shape[-1]))
        return *grads, None, None, None


class _Work:
    """The memory that all pieces share, and the steps that both passes take."""

    def __init__(self, q: Tensor, mask: Tensor | None):
        batch, head, seq, width = q.shape
        size = min(head, max(1, CACHE // seq**2))
        self._places = torch.empty(3, size, seq, seq, dtype=q.dtype)
        self._mask, self._to_length = mask, 1 / math.sqrt(width)
        self._causal = None if mask is not None else self._closed(torch.ones(seq, seq, dtype=torch.bool).tril())
        self.pieces = [(row, slice(start, min(start + size, head))) for row in range(batch)
                       for start in range(0, head, size)]  # fmt: skip
        self._row: tuple[int, Tensor] | None = None

    def weights(self, q: Tensor, k: Tensor, at: tuple[int, slice]) -> Tensor:
        """`softmax(q k' / sqrt(head_dim))` of a piece."""
        scores = torch.bmm(q, k.mT, out=self._places[0, : len(q)])
        scores.mul_(self._to_length).add_(self._added(at[0]))
        return torch.softmax(scores, -1, out=scores)

    def factors(self, keep: Tensor) -> Tensor:
        """1 where a weight is kept, 0 where it is dropped, as numbers: to multiply by a bool takes far longer."""
        return self._places[1, : len(keep)].copy_(keep)

    def second(self, count: int) -> Tensor:
        return self._places[2, :count]

    def _added(self, row: int) -> Tensor:
        """`[seq, seq]`: 0 where a token may attend, otherwise minus infinity."""
        if self._causal is not None:
            return self._causal
        if self._row is None or self._row[0] != row:
            self._row = row, self._closed(self._mask[row])
        return self._row[1]

    def _closed(self, seen: Tensor) -> Tensor:
        return torch.zeros(seen.shape, dtype=self._places.dtype).masked_fill_(~seen, -torch.inf)
