"""Matrix products by the fastest library that is there, and where a model takes it."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

FEW_ROWS = 2  # up to which MKL is faster, as when one token is read at a time
_is_fast: ContextVar[bool] = ContextVar("fast", default=False)


@contextmanager
def numerics(name: str) -> Iterator[None]:
    """`fast` or `reference`, for every `linear` and `attention` inside, as `torch.autocast` does it for the dtype.

    - `reference`: what PyTorch does.
    - `fast`, on a CPU alone: in float32, `linear` by oneDNN, with twice the speed of MKL on a CPU that is not Intel's;
      under bfloat16, `attention` in float32, since PyTorch's own has a backward pass in bfloat16 that takes six times
      as long, and is less exact; dropout draws 16 bits for each number, and attention with it is `kernels.attention`.
    """
    token = _is_fast.set(name == "fast")
    try:
        yield
    finally:
        _is_fast.reset(token)


def as_now() -> AbstractContextManager[None]:
    """The numerics that hold where this is called, to be used later."""
    return numerics("fast" if _is_fast.get() else "reference")


def is_fast() -> bool:
    """Whether the numerics are `fast`."""
    return _is_fast.get()


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`x @ weight.T + bias`, as the numerics have it; `x` is `[..., k]`, `weight` `[n, k]`, `bias` `[n]`."""
    if _is_fast.get() and has_onednn(x) and not torch.is_autocast_enabled("cpu"):
        return _ByOneDNN.apply(x, weight, bias)
    return F.linear(x, weight, bias)


def attention(q: Tensor, k: Tensor, v: Tensor, **options) -> Tensor:
    """`F.scaled_dot_product_attention`, as the numerics have it; all are `[batch, head, seq, head_dim]`.

    Queries and keys may have more digits than values; they have the values' where attention is not in float32.
    """
    if _is_fast.get() and v.device.type == "cpu" and v.dtype == torch.bfloat16:
        with torch.autocast("cpu", enabled=False):
            return F.scaled_dot_product_attention(q.float(), k.float(), v.float(), **options)
    return F.scaled_dot_product_attention(q.to(v.dtype), k.to(v.dtype), v, **options)


class _ByOneDNN(torch.autograd.Function):
    """All three products of a linear layer by oneDNN."""

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return times_transposed(x, weight, bias=bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, g: Tensor):
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad
        flat = g.reshape(-1, g.shape[-1])
        grad_x = times_transposed(g, weight.t()) if wants_x else None
        grad_weight = _transposed_times(flat, x.reshape(-1, x.shape[-1])) if wants_weight else None
        return grad_x, grad_weight, flat.sum(0) if wants_bias else None


def _transposed_times(g: Tensor, x: Tensor) -> Tensor:
    """`g.T @ x`; oneDNN is faster where the result has more columns than rows."""
    if g.shape[1] > x.shape[1]:
        return times_transposed(x.t(), g.t()).t()
    return times_transposed(g.t(), x.t())


def has_onednn(like: Tensor) -> bool:
    """Whether oneDNN can multiply a tensor like this one."""
    return (
        like.dtype == torch.float32 and like.device.type == "cpu" and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def times_transposed(a: Tensor, b: Tensor, activation: str = "none", bias: Tensor | None = None) -> Tensor:
    """`activation(a @ b.T + bias)` without gradients, by oneDNN where there is one and `a` has more than two
    rows: up to three times the speed of MKL on a CPU that is not Intel's.

    Args:
        a: `[..., width]`.
        b: `[n, width]`.
        activation: `none`, or an activation that oneDNN knows, such as `tanh`.
        bias: `[n]`.
    """
    if has_onednn(a) and a.numel() > FEW_ROWS * a.shape[-1]:
        return torch.ops.mkldnn._linear_pointwise(a, b, bias, activation, [], "")
    z = torch.nn.functional.linear(a, b).to(torch.promote_types(a.dtype, torch.float32))
    if bias is not None:
        z += bias
    return z if activation == "none" else getattr(torch, activation + "_")(z)
