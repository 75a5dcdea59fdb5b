"""The chain rule from row statistics to logits, the same for every loss and every kernel.

A loss is a function of row statistics, so its gradient in a row of logits `z` is

    c0 + c1*z + p*(a0 + a1*z) + sum_k a_k*p**alpha_k + sum_u cu*u + sum_t b_t*[j = t]

whose coefficients are one number per row each: the derivatives of the loss with respect to the statistics, times what
each statistic adds. Columns `t` may coincide; their coefficients add.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from losslab.prediction import Quantity


class Coefficients(NamedTuple):
    """`[n]` each, or None for 0."""

    a0: Tensor | None
    a1: Tensor | None  # here z counts from the largest logit of its row
    c0: Tensor | None
    c1: Tensor | None
    powers: list[tuple[float, Tensor]]  # alpha and its coefficient
    vectors: list[tuple[Tensor, Tensor]]  # u `[vocab]` and its coefficient
    columns: list[tuple[Tensor, Tensor]]  # ids `[n, k]` and their coefficients


def coefficients(
    found: Mapping[Quantity, Tensor], partials: Mapping[Quantity, Tensor], targets: Tensor, ids: Sequence[Tensor],
    vectors: Mapping[str, Tensor],
) -> Coefficients:  # fmt: skip
    """What `partials`, the derivatives of a loss by the quantities that were `found`, make of the gradient."""
    a0, a1, c0, c1, powers, priors, columns = _Sum(), None, None, None, [], [], []
    for quantity, d in sorted(partials.items(), key=lambda part: str(part[0])):
        # in one order: that of a set changes from process to process, and with it the last digit of a sum
        match quantity:
            case "nll":
                a0.add(d)
                columns.append((targets[:, None], -d[:, None]))
            case "log_z":
                a0.add(d)
            case "target_logit":
                columns.append((targets[:, None], d[:, None]))
            case "max_logit":
                columns.append((found["argmax"][:, None], d[:, None]))
            case "sum_logits":
                c0 = d
            case "sum_squares":
                c1 = 2 * d
            case "entropy":  # dH/dz = p*(E - z), both counted from the maximum: large logits lose no digits
                a0.add(d * (found["log_s0"] - found["entropy"]))
                a1 = -d
            case ("power_sum", alpha):
                a0.add(-alpha * d * found[quantity])
                powers.append((alpha, alpha * d))
            case ("dot", name):
                priors.append((vectors[name], d))
            case ("logit_at", place):
                columns.append((ids[place].flatten(1), d.flatten(1)))
    return Coefficients(a0.total, a1, c0, c1, powers, priors, columns)


class _Sum:
    """A sum that may have no terms."""

    def __init__(self):
        self.total: Tensor | None = None

    def add(self, part: Tensor) -> None:
        self.total = part if self.total is None else self.total + part
