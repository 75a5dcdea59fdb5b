"""Rotary positions: queries and keys turn with their position, so that a score knows their distance alone."""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BASE = 10_000.0  # as in the paper

Rotation = tuple[Tensor, Tensor]


class Rotary:
    """The angles of RoFormer (Su et al., 2021, arXiv:2104.09864), by position.

    Position p turns pair i of a head of width d by p * 10000^(-2i/d). Pair i is made of the numbers i and i + d/2, as
    in GPT-NeoX and in the Llama of `transformers`; the paper pairs neighbours, which is the same model with its weights
    in another order.

    Args:
        head_width: numbers of one head, an even number.
    """

    def __init__(self, head_width: int):
        self.head_width = head_width
        self.tables: dict[tuple[torch.device, torch.dtype], Rotation] = {}

    def at(self, positions: Tensor, used: int, dtype: torch.dtype) -> Rotation:
        """Cosines and sines, in float32, or in float64 where `dtype` is that.

        Args:
            positions: `[seq]` or `[batch, seq]`, all from 0 up to `used`, which is not reached.
            used: how many positions are needed; the table is kept, and grows when a longer text comes.
            dtype: of the model.

        Returns:
            Two tensors `[1, seq, head_width / 2]` or `[batch, 1, seq, head_width / 2]`.
        """
        key = positions.device, torch.float64 if dtype == torch.float64 else torch.float32
        if key not in self.tables or len(self.tables[key][0]) < used:
            self.tables[key] = self._table(1 << (used - 1).bit_length(), *key)
        cos, sin = (table[positions].unsqueeze(-3) for table in self.tables[key])
        return cos, sin

    def _table(self, rows: int, device: torch.device, dtype: torch.dtype) -> Rotation:
        """On the CPU and in float64 first: not every device has it, and float32 loses the angles of far positions."""
        with torch.inference_mode(False):  # the table is kept, and a later training must be able to use it
            pairs = torch.arange(0, self.head_width, 2, dtype=torch.float64, device="cpu") / self.head_width
            angles = torch.arange(rows, dtype=torch.float64, device="cpu")[:, None] * BASE**-pairs
            return angles.cos().to(dtype).to(device), angles.sin().to(dtype).to(device)


def rotate(x: Tensor, rotation: Rotation) -> Tensor:
    """Turn queries and keys `[batch, head, seq, head_width]`; the result has the angles' precision or a better one."""
    return _Rotated.apply(x, *rotation)


class _Rotated(torch.autograd.Function):
    """Its gradient is turned back by the same angles, so that nothing of `x` is kept for it."""

    @staticmethod
    def forward(ctx, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        ctx.dtype = x.dtype
        return _turned(x.to(torch.promote_types(x.dtype, cos.dtype)), cos, sin)

    @staticmethod
    @once_differentiable
    def backward(ctx, g: Tensor):
        cos, sin = ctx.saved_tensors
        return _turned(g, cos, -sin).to(ctx.dtype), None, None


def _turned(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Both halves are written into one result: two passes over it in place of seven."""
    half = x.shape[-1] // 2
    first, second = x[..., :half], x[..., half:]
    result = torch.empty_like(x)
    torch.mul(first, cos, out=result[..., :half]).addcmul_(second, sin, value=-1)
    torch.mul(second, cos, out=result[..., half:]).addcmul_(first, sin)
    return result
