"""Row statistics of a part of the vocabulary, and how parts make one.

What split-vocabulary kernels share: each sees some columns, and the merge is associative and commutative, so parts may
be joined in any order and in any groups. Exponentials are counted from the largest logit of the part, and `s1` is
the sum of `exp(z - top) * (z - top)`; the plain sum of `exp(z) * z` would cancel.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from losslab.prediction import Quantity


@dataclass
class Part:
    """Statistics `[n]` of some columns."""

    top: Tensor  # the largest logit
    argmax: Tensor  # its column, the first where several tie
    s0: Tensor  # sum exp(z - top)
    s1: Tensor  # sum exp(z - top)*(z - top)
    powers: dict[float, Tensor]  # sum exp(alpha*(z - top))
    sums: dict[Quantity, Tensor]  # what simply adds: sums, squares, dots, gathered logits

    def joined(self) -> "Part":
        """Parts that are stacked along the first dimension, `[parts, n]`, as one."""
        top = self.top.amax(0)
        down = self.top - top
        scale = down.exp()
        return Part(
            top,
            self.argmax.where(self.top == top, torch.iinfo(self.argmax.dtype).max).amin(0),
            (scale * self.s0).sum(0),
            (scale * (self.s1 + down * self.s0)).sum(0),
            {k: ((k * down).exp() * q).sum(0) for k, q in self.powers.items()},
            {k: q.sum(0) for k, q in self.sums.items()},
        )

    def quantities(self) -> dict[Quantity, Tensor]:
        """What a prediction calls them, once every column has been seen."""
        log_s0, target_logit = self.s0.log(), self.sums["target_logit"]
        return self.sums | {
            "max_logit": self.top,
            "log_s0": log_s0,
            "argmax": self.argmax,
            "log_z": self.top + log_s0,
            "nll": (self.top - target_logit) + log_s0,
            "entropy": log_s0 - self.s1 / self.s0,
            **{("power_sum", alpha): q / self.s0**alpha for alpha, q in self.powers.items()},
        }
