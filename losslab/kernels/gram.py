"""Sums of squared logits without the logits.

$$\\sum_j z_j^2 = x^\\top G x, \\qquad G = W^\\top W, \\qquad
  \\frac{\\partial}{\\partial x} = 2\\,G x, \\qquad \\frac{\\partial}{\\partial W} = 2\\,W x x^\\top.$$

`G` is `[n_embd, n_embd]`, and so is the sum of the `x x^T`, which meets `W` once, at the end: a quadratic term then
costs three passes less over each tile of logits. It is float64, because `x^T G x` may cancel where the sum of squares
cannot; that is cheap while the model is narrow.
"""

import torch
from torch import Tensor


class Gram:
    """The Gram matrix of `lm_head`, for sums of squared logits.

    Args:
        lm_head: `[vocab, n_embd]`.
    """

    def __init__(self, lm_head: Tensor):
        wide = lm_head.double()
        self.gram = wide.t() @ wide
        self.moment = torch.zeros_like(self.gram)

    def sum_squares(self, x: Tensor) -> Tensor:
        """`[n]`, of the logits of `x`, `[n, n_embd]`."""
        x = x.double()
        return ((x @ self.gram) * x).sum(1).clamp_min_(0.0)

    def pull(self, x: Tensor, d: Tensor) -> Tensor:
        """What `d`, the derivatives by the sums of squares, gives to `x`; `lm_head`'s part is kept."""
        x, d = x.double(), 2 * d.double()[:, None]
        self.moment += (d * x).t() @ x
        return d * (x @ self.gram)

    def grad_lm_head(self, lm_head: Tensor) -> Tensor:
        """`[vocab, n_embd]`, what all pulls together give to `lm_head`."""
        return lm_head @ self.moment.to(lm_head.dtype)
