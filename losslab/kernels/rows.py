"""A tile of whole rows of logits: its statistics, and the one gradient that every loss over them has.

A loss is a function of row statistics, so by the chain rule its gradient in a row of logits `z` is

    c0 + c1*z + p*(a0 + a1*z) + sum_k a_k*p**alpha_k + cu*u + sum_t b_t*[j = t]

whose coefficients are numbers a row: the derivatives of the loss with respect to the statistics, times what each
statistic adds. Columns `t` may coincide; their coefficients add.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from losslab.prediction import Needs, Quantity


def keeps_logits(needs: Needs) -> bool:
    """Whether the gradient or a statistic wants `z` beside `p`; otherwise `p` may overwrite it."""
    return any(
        q in ("sum_squares", "entropy") or (q[0] == "power_sum" and q[1] != 2.0) for q in needs.quantities
    )


def observe(
    z: Tensor, targets: Tensor, ids: list[Tensor], needs: Needs, vectors: Mapping[str, Tensor], *, overwrite: bool
) -> tuple[dict[Quantity, Tensor], Tensor]:
    """The quantities of a tile `[n, vocab]`, those that cost nothing included, and `p` (in the place of `z`)."""
    wanted, found = needs.quantities, {}
    if {"max_logit", "argmax"} & wanted:
        top, found["argmax"] = z.max(1)
    else:
        top = z.amax(1)  # several times as fast as with the index
    target_logit = z.gather(1, targets[:, None])[:, 0]
    if "sum_logits" in wanted:
        found["sum_logits"] = z.sum(1)
    if "sum_squares" in wanted:
        found["sum_squares"] = z.square().sum(1)  # not the norm: its partial sums lose digits over a large vocabulary
    for quantity in wanted:
        if quantity[0] == "dot":
            found[quantity] = z @ vectors[quantity[1]]
        elif quantity[0] == "logit_at":
            found[quantity] = z.gather(1, ids[quantity[1]].flatten(1)).view(ids[quantity[1]].shape)
    p = torch.softmax(z, 1, out=z) if overwrite else torch.softmax(z, 1)
    log_s0 = -p.amax(1).log()  # the largest p is 1 / sum exp(z - top)
    found |= {
        "max_logit": top,
        "log_s0": log_s0,
        "target_logit": target_logit,
        "log_z": top + log_s0,
        "nll": (top - target_logit) + log_s0,  # two numbers that are not negative: nothing cancels
    }
    if "entropy" in wanted:
        found["entropy"] = log_s0 - (z - top[:, None]).mul_(p).sum(1)
    for quantity in wanted:
        if quantity[0] == "power_sum":
            found[quantity] = _power(z, p, found["log_z"], quantity[1]).sum(1)
    return found, p


def _power(z: Tensor, p: Tensor, log_z: Tensor, alpha: float) -> Tensor:
    # a root of a p that underflowed would be lost, so other powers go through the logarithm
    return p.square() if alpha == 2.0 else (z - log_z[:, None]).mul_(alpha).exp_()


class Coefficients(NamedTuple):
    """Those of the one gradient: `[n]` each, or None where they are 0."""

    a0: Tensor | None
    a1: Tensor | None  # of z counted from the largest logit of its row
    c0: Tensor | None
    c1: Tensor | None
    powers: list[tuple[float, Tensor]]
    vectors: list[tuple[Tensor, Tensor]]  # `[vocab]` and `[n]`
    columns: list[tuple[Tensor, Tensor]]  # ids `[n, ...]` and their coefficients


def coefficients(
    found: Mapping[Quantity, Tensor], partials: Mapping[Quantity, Tensor], targets: Tensor, ids: Sequence[Tensor],
    vectors: Mapping[str, Tensor],
) -> Coefficients:  # fmt: skip
    """The chain rule: what the derivative of the loss by each quantity adds to the gradient."""
    a0, a1, c0, c1 = None, None, None, None
    columns, powers, priors = [], [], []

    def add(total, part):
        return part if total is None else total + part

    for quantity, d in partials.items():
        match quantity:
            case "nll":
                a0 = add(a0, d)
                columns.append((targets, -d))
            case "log_z":
                a0 = add(a0, d)
            case "target_logit":
                columns.append((targets, d))
            case "max_logit":
                columns.append((found["argmax"], d))
            case "sum_logits":
                c0 = add(c0, d)
            case "sum_squares":
                c1 = add(c1, 2 * d)
            case "entropy":  # dH/dz = p*(E - z), both counted from the maximum: large logits lose no digits
                a0 = add(a0, d * (found["log_s0"] - found["entropy"]))
                a1 = add(a1, -d)
            case ("power_sum", alpha):
                a0 = add(a0, -alpha * d * found[quantity])
                powers.append((alpha, alpha * d))
            case ("dot", name):
                priors.append((vectors[name], d))
            case ("logit_at", place):
                columns.append((ids[place].flatten(1), d.flatten(1)))
    return Coefficients(a0, a1, c0, c1, powers, priors, columns)


def gradient(
    z: Tensor, p: Tensor, found: Mapping[Quantity, Tensor], partials: Mapping[Quantity, Tensor], targets: Tensor,
    ids: list[Tensor], vectors: Mapping[str, Tensor],
) -> Tensor:  # fmt: skip
    """`dL/dz` of a tile, in the place of `p`, from `partials`, the derivatives of the loss by its quantities."""
    a0, a1, c0, c1, powers, priors, columns = coefficients(found, partials, targets, ids, vectors)
    rest = None
    for alpha, a in powers:  # what reads p comes before p is overwritten
        part = _power(z, p, found["log_z"], alpha).mul_(a[:, None])
        rest = part if rest is None else rest + part
    if a1 is not None:
        p.mul_((z - found["max_logit"][:, None]).mul_(a1[:, None]).add_(a0[:, None]))
    elif a0 is None:
        p.zero_()
    elif not bool((a0 == 1).all()):  # cross-entropy saves itself a pass
        p.mul_(a0[:, None])
    if rest is not None:
        p.add_(rest)
    if c1 is not None:
        p.addcmul_(z, c1[:, None])
    if c0 is not None:
        p.add_(c0[:, None])
    for vector, d in priors:
        p.addr_(d, vector)
    for index, b in columns:
        p.scatter_add_(1, index.view(len(p), -1), b.view(len(p), -1))  # the rounded p_y minus 1 is exact
    return p
