"""Root mean square norms, in a few passes over memory forward and backward.

PyTorch has no kernel of its own for them on a CPU: it makes them of a dozen operations, which took a fifth of an update
of a small model.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

EPSILON = 1e-6  # of every RMS norm, as in Llama


class RMSNorm(nn.RMSNorm):
    """`x / rms(x) * weight` over the last axis (Zhang and Sennrich, 2019, arXiv:1910.07467)."""

    def __init__(self, width: int):
        super().__init__(width, eps=EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or x.dtype != self.weight.dtype:
            return super().forward(x)
        return _WithGain.apply(x, self.weight)


def unit(x: Tensor) -> Tensor:
    """`x / rms(x)` over the last axis, as for queries and keys; without a gain."""
    if x.device.type != "cpu":
        return F.rms_norm(x, x.shape[-1:], eps=EPSILON)
    return _Unit.apply(x)


def inverse_rms(x: Tensor) -> Tensor:
    """`[..., 1]`: one over the root of the mean square of the last axis and `EPSILON`."""
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(EPSILON).rsqrt_()


class _WithGain(torch.autograd.Function):
    """The gradient by `x` is `inverse * (g w - x * inverse^2 * mean(g w x))`, that by `w` the sum of `g x inverse`."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        inverse = inverse_rms(x)
        ctx.save_for_backward(x, weight, inverse)
        return torch.mul(x, inverse).mul_(weight)

    @staticmethod
    @once_differentiable
    def backward(ctx, g: Tensor):
        x, weight, inverse = ctx.saved_tensors
        products = (g * x).reshape(-1, x.shape[-1])
        along = torch.mv(products, weight).view_as(inverse).div_(x.shape[-1]).mul_(inverse * inverse * inverse)
        grad_weight = torch.mv(products.t(), inverse.reshape(-1)) if ctx.needs_input_grad[1] else None
        return torch.mul(g, weight).mul_(inverse).addcmul_(x, along, value=-1), grad_weight


class _Unit(torch.autograd.Function):
    """The gradient is `inverse * (g - y * mean(g y))`, with the `y` that attention keeps in any case."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        inverse = inverse_rms(x)
        y = x * inverse
        ctx.save_for_backward(y, inverse)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx, g: Tensor):
        y, inverse = ctx.saved_tensors
        along = (g * y).mean(-1, keepdim=True)
        return torch.addcmul(g, y, along, value=-1).mul_(inverse)
