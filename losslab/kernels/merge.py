"""Row statistics of a part of the vocabulary, and how two parts make one.

What split-vocabulary kernels, threads and ranks share: each sees some columns, and the merge is associative and
commutative, so they may meet in any order. Exponentials are counted from the largest logit of the part, and `s1` is
the sum of `exp(z - top) * (z - top)`; the plain sum of `exp(z) * z` would cancel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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
    powers: dict[float, Tensor] = field(default_factory=dict)  # sum exp(alpha*(z - top))
    sums: dict[Quantity, Tensor] = field(default_factory=dict)  # what simply adds: sums, squares, dots, gathered logits

    @classmethod
    def of(cls, z: Tensor, first: int, targets: Tensor, alphas: Sequence[float] = (),
           vectors: Mapping[str, Tensor] | None = None) -> "Part":  # fmt: skip
        """Of `z`, `[n, columns]`, whose first column is `first`; a target elsewhere gives 0 to `target_logit`."""
        top, argmax = z.max(1)
        shifted = z - top[:, None]
        e = shifted.exp()
        at = targets - first
        here = (at >= 0) & (at < z.shape[1])
        sums = {
            "sum_logits": z.sum(1),
            "sum_squares": z.square().sum(1),
            "target_logit": z.gather(1, at.where(here, 0)[:, None])[:, 0].where(here, 0.0),
        }
        for name, vector in (vectors or {}).items():
            sums["dot", name] = z @ vector[first : first + z.shape[1]]
        powers = {alpha: (alpha * shifted).exp().sum(1) for alpha in alphas}
        return cls(top, argmax + first, e.sum(1), (e * shifted).sum(1), powers, sums)

    def merge(self, other: "Part") -> "Part":
        """Both parts as one."""
        top = torch.maximum(self.top, other.top)
        ours, theirs = self.top - top, other.top - top  # one of them is 0
        a, b = ours.exp(), theirs.exp()
        earlier = (self.top > other.top) | ((self.top == other.top) & (self.argmax < other.argmax))
        return Part(
            top,
            torch.where(earlier, self.argmax, other.argmax),
            a * self.s0 + b * other.s0,
            a * (self.s1 + ours * self.s0) + b * (other.s1 + theirs * other.s0),
            {k: (k * ours).exp() * q + (k * theirs).exp() * other.powers[k] for k, q in self.powers.items()},
            {k: q + other.sums[k] for k, q in self.sums.items()},
        )

    def joined(self) -> "Part":
        """Parts that are stacked along the first dimension, `[parts, n]`, as one: what merging them in turn gives."""
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
