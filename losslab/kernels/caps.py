"""Logit transforms that join a matrix product: their forward and backward in as few passes as there are.

What autograd would do in six passes over a tile takes two or three, and oneDNN computes a tanh or sigmoid where the
product leaves its sums, in a tenth of the time of PyTorch's own. A transform that is not known here goes through
autograd, so that a new one needs nothing of this.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from losslab.formula import Transform
from losslab.kernels.products import times_transposed

Transformed = tuple[Tensor, Callable[[Tensor], Tensor]]
SATURATED = 0.99  # of a cap


def _softcap(x: Tensor, lm_head: Tensor, *, cap: float):
    t = times_transposed(x / cap, lm_head, "tanh")
    _repeat_saturated(t, t.amax(1).abs() > SATURATED, lambda rows: torch.tanh(times_transposed(x[rows], lm_head) / cap))
    # the derivative 1 - t**2 from the tanh itself: from a rounded z/c it is wrong where it saturates
    return t * cap, lambda g: torch.ops.aten.tanh_backward.grad_input(g, t, grad_input=g)


def _sigmoid_cap(x: Tensor, lm_head: Tensor, *, A: float, B: float, C: float):
    s = times_transposed(x / C, lm_head, "sigmoid", x.new_full((len(lm_head),), B / C))
    top = s.amax(1)
    _repeat_saturated(s, (top > SATURATED) | (top < 1 - SATURATED),
                      lambda rows: torch.sigmoid((times_transposed(x[rows], lm_head) + B) / C))  # fmt: skip
    return s * A, lambda g: torch.ops.aten.sigmoid_backward.grad_input(g, s, grad_input=g).mul_(A / C)


def _repeat_saturated(values: Tensor, is_saturated: Tensor, plainly: Callable[[Tensor], Tensor]) -> None:
    """Rows whose likeliest token lies in the saturated region of a cap, computed as PyTorch does: their gradient is
    what is left of a derivative near 0, which shows the last digit of the logit and of its tanh or sigmoid."""
    rows = is_saturated.nonzero()[:, 0]
    if len(rows):
        values[rows] = plainly(rows)


def _isru_cap(x: Tensor, lm_head: Tensor, *, cap: float):
    r = times_transposed(x, lm_head)
    w = (r / cap).square_().add_(1).rsqrt_()
    return r.mul_(w), lambda g: g.mul_(w.pow_(3))


def _temperature(x: Tensor, lm_head: Tensor, *, temperature: float):
    # after the product: x/T would be rounded in every term of a logit, and large ones would show it
    return times_transposed(x, lm_head).div_(temperature), lambda g: g.div_(temperature)


def _any(x: Tensor, lm_head: Tensor, *, transforms: Sequence[Transform]):
    raw = times_transposed(x, lm_head)
    if not transforms:
        return raw, lambda g: g
    with torch.enable_grad():
        leaf = z = raw.requires_grad_()
        for transform in transforms:
            z = transform(z)
    # a copy, as autograd keeps what it made and the tile will be overwritten
    return z.detach().clone(), lambda g: torch.autograd.grad(z, leaf, g)[0]


KNOWN = {"softcap": _softcap, "sigmoid_cap": _sigmoid_cap, "isru_cap": _isru_cap, "temperature": _temperature}


def product(transforms: Sequence[Transform], dtype: torch.dtype) -> Callable[[Tensor, Tensor], Transformed]:
    """`(x, lm_head) -> z, pull`: transformed logits to be overwritten, and what takes their gradient to the raw ones
    (in place, once)."""
    if len(transforms) == 1 and dtype in (torch.float32, torch.float64):  # in less, x/c would be rounded once more
        (only,) = transforms
        if only.name in KNOWN:
            return partial(KNOWN[only.name], **dict(only.parameters))
    return partial(_any, transforms=transforms)
