"""A tile of whole rows of logits: its statistics, and the one gradient that every loss over them has.

What takes time here is reading and writing the tile, so each line below is one pass over it, in place wherever nobody
reads what was there.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from losslab.kernels.chain import coefficients
from losslab.prediction import Quantity

BLOCK = 512  # columns whose squares are summed in one go; longer float32 sums lose digits


def reads_logits(quantities: Iterable[Quantity]) -> bool:
    """Whether a statistic or its gradient wants `z` beside `p`; otherwise `p` may overwrite it."""
    return any(q in ("sum_squares", "entropy") or _is_power(q) for q in quantities)


class Rows:
    """Logits `[n, vocab]`, which are overwritten, and what is known of them; `room` holds `p` where `z` is read too."""

    def __init__(self, z: Tensor, targets: Tensor, ids: list[Tensor], vectors: Mapping[str, Tensor], room: Tensor):
        self.z, self.targets, self.ids, self.vectors, self.room = z, targets, ids, vectors, room
        self.found: dict[Quantity, Tensor] = {}

    def observe(self, wanted: set[Quantity]) -> dict[Quantity, Tensor]:
        """The quantities that are wanted, and those that cost nothing."""
        z, found = self.z, self.found
        if {"max_logit", "argmax"} & wanted:
            top, found["argmax"] = z.max(1)
        else:
            top = z.amax(1)  # several times as fast as with the index
        found["max_logit"] = top
        found["target_logit"] = z.gather(1, self.targets[:, None])[:, 0]
        if "sum_logits" in wanted:
            found["sum_logits"] = z.sum(1)
        if "sum_squares" in wanted:
            found["sum_squares"] = _sum_squares(z)
        for quantity in wanted:
            if quantity[0] == "dot":
                found[quantity] = z @ self.vectors[quantity[1]]
            elif quantity[0] == "logit_at":
                ids = self.ids[quantity[1]]
                found[quantity] = z.gather(1, ids.flatten(1)).view(ids.shape)
        self._soften(wanted)
        found["log_s0"] = log_s0 = -self.p.amax(1).log()  # the largest p is 1 / sum exp(z - top)
        found["log_z"] = top + log_s0
        found["nll"] = (top - found["target_logit"]) + log_s0  # two numbers that are not negative: nothing cancels
        for quantity in wanted:
            if quantity == ("power_sum", 2.0):
                found[quantity] = _sum_squares(self.p)
            elif quantity[0] == "power_sum":
                found[quantity] = self._power(quantity[1]).sum(1)
        if "entropy" in wanted:
            found["entropy"] = log_s0 - self._p_times_z().sum(1)
        return found

    def recall(self, found: Mapping[Quantity, Tensor], wanted: set[Quantity]) -> None:
        """What an earlier sweep found, so that only `p` is to be worked out again, for a gradient by `wanted`."""
        self.found = dict(found)
        self._soften(wanted)
        if "entropy" in wanted:
            self._p_times_z()

    def gradient(self, partials: Mapping[Quantity, Tensor]) -> Tensor:
        """`dL/dz`, in the place of `p`, from `partials`, the derivatives of the loss by its quantities."""
        c = coefficients(self.found, partials, self.targets, self.ids, self.vectors)
        squared = next((a for alpha, a in c.powers if alpha == 2.0), None)
        rest = [self._power(alpha).mul_(a[:, None]) for alpha, a in c.powers if alpha != 2.0]  # before p is overwritten
        c0 = c.c0
        if c.c1 is not None and self.is_shifted:
            shift = c.c1 * self.found["max_logit"]
            c0 = shift if c0 is None else c0 + shift
        g = self._scaled(c.a0, squared)
        if c.a1 is not None:
            _add(g, self.pz, c.a1)
        for part in rest:
            g.add_(part)
        if c.c1 is not None:
            _add(g, self.z, c.c1)
        if c0 is not None:
            g.add_(c0[:, None])
        for vector, d in c.vectors:
            g.addr_(d, vector)
        for index, d in c.columns:
            g.scatter_add_(1, index, d)  # the rounded p_y minus 1 is exact
        return g

    def _soften(self, wanted: set[Quantity]) -> None:
        """`p`, and `z` counted from its maximum where what is wanted would cancel otherwise."""
        keeps, powers = reads_logits(wanted), any(map(_is_power, wanted))
        self.is_shifted = powers or "entropy" in wanted
        self._is_free = not powers and "sum_squares" not in wanted  # to make p*z of z
        if self.is_shifted:
            self.z.sub_(self.found["max_logit"][:, None])
        self.p = torch.softmax(self.z, 1, out=self.room if keeps else self.z)

    def _p_times_z(self) -> Tensor:
        self.pz = self.z.mul_(self.p) if self._is_free else self.z * self.p
        return self.pz

    def _power(self, alpha: float) -> Tensor:
        # a root of a p that underflowed would be lost, so it goes through the logarithm
        return (self.z - self.found["log_s0"][:, None]).mul_(alpha).exp_()

    def _scaled(self, a0: Tensor | None, b: Tensor | None) -> Tensor:
        """`p*(a0 + b*p)`, in the place of `p`."""
        if b is not None:
            factor = self.p * b[:, None]
            return self.p.mul_(factor if a0 is None else factor.add_(a0[:, None]))
        if a0 is None:
            return self.p.zero_()
        # cross-entropy saves itself a pass
        return self.p if bool((a0 == 1).all()) else self.p.mul_(a0[:, None])


def _add(g: Tensor, values: Tensor, factors: Tensor) -> None:
    """`g += factors*values`, a pass less where every row has one factor, as where a term has a fixed weight."""
    one = factors[0]
    if bool((factors == one).all()):
        g.add_(values, alpha=one.item())
    else:
        g.add_(values.mul_(factors[:, None]))


def _is_power(quantity: Quantity) -> bool:
    return quantity[0] == "power_sum" and quantity[1] != 2.0


def _sum_squares(z: Tensor) -> Tensor:
    """`[n]`; norms of blocks read the tile once, and add few enough numbers to keep their digits."""
    whole = z.shape[1] // BLOCK * BLOCK
    last = torch.linalg.vector_norm(z[:, whole:], dim=1).square_()
    if not whole:
        return last
    return last + torch.linalg.vector_norm(z[:, :whole].unflatten(1, (-1, BLOCK)), dim=2).square_().sum(1)
