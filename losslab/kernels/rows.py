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
SPAN = 128  # columns of which the largest is found before it is looked for


def reads_logits(quantities: Iterable[Quantity]) -> bool:
    """Whether a statistic or its gradient wants `z` besides `p`; otherwise `p` may overwrite it."""
    return any(q in ("sum_squares", "entropy") or _is_power(q) for q in quantities)


class Rows:
    """Logits `[n, vocab]`, which are overwritten, and what is known of them.

    `scratch` holds `p` where `z` is read too.
    """

    def __init__(self, z: Tensor, targets: Tensor, ids: list[Tensor], vectors: Mapping[str, Tensor], scratch: Tensor):
        self.z, self.targets, self.ids, self.vectors, self.scratch = z, targets, ids, vectors, scratch
        self.found: dict[Quantity, Tensor] = {}

    def observe(self, wanted: set[Quantity]) -> dict[Quantity, Tensor]:
        """The quantities that are wanted, and those that cost nothing."""
        z, found = self.z, self.found
        top, found["argmax"] = _largest(z)
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
                found[quantity] = self.p.square().sum(1)
            elif quantity[0] == "power_sum":
                found[quantity] = self._power(quantity[1]).sum(1)
        if "entropy" in wanted:
            found["entropy"] = log_s0 - self._p_times_z().sum(1)
        return found

    def recall(self, found: Mapping[Quantity, Tensor], wanted: set[Quantity]) -> None:
        """What an earlier sweep found, so that only `p` is to be computed again, for a gradient by `wanted`."""
        self.found = dict(found)
        self._soften(wanted)
        if "entropy" in wanted:
            self._p_times_z()

    def gradient(self, partials: Mapping[Quantity, Tensor]) -> Tensor:
        """`dL/dz`, in the place of `p`, from `partials`, the derivatives of the loss by its quantities."""
        partials = dict(partials)
        nll, squares_of_p = partials.pop("nll", None), partials.pop(("power_sum", 2.0), None)
        c = coefficients(self.found, partials, self.targets, self.ids, self.vectors)
        rest = [self._power(alpha).mul_(a[:, None]) for alpha, a in c.powers]  # before p is overwritten
        c0 = c.c0
        if c.c1 is not None and self.is_shifted:
            shift = c.c1 * self.found["max_logit"]
            c0 = shift if c0 is None else c0 + shift
        g = self._scaled(nll, c.a0, None if squares_of_p is None else 2 * squares_of_p)
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
            g.scatter_add_(1, index, d)
        return g

    def _soften(self, wanted: set[Quantity]) -> None:
        """`p`, and `z` counted from its maximum where what is wanted would cancel otherwise."""
        keeps, powers = reads_logits(wanted), any(map(_is_power, wanted))
        self.is_shifted = powers or "entropy" in wanted
        self._is_free = not powers and "sum_squares" not in wanted  # to make p*z of z
        if self.is_shifted:
            self.z.sub_(self.found["max_logit"][:, None])
        self.p = torch.softmax(self.z, 1, out=self.scratch if keeps else self.z)

    def _p_times_z(self) -> Tensor:
        self.pz = self.z.mul_(self.p) if self._is_free else self.z * self.p
        return self.pz

    def _power(self, alpha: float) -> Tensor:
        # a root of a p that underflowed would be lost, so it goes through the logarithm
        return (self.z - self.found["log_s0"][:, None]).mul_(alpha).exp_()

    def _scaled(self, nll: Tensor | None, a0: Tensor | None, b: Tensor | None) -> Tensor:
        """`nll*(p - [j = y]) + p*(a0 + b*(p - sum p**2))`, in the place of `p`.

        Of a row that is nearly sure little is left of these differences, so each is taken before anything is added.
        """
        p, y = self.p, self.targets[:, None]
        own, scale = p.gather(1, y), a0 if nll is None else nll if a0 is None else nll + a0
        if b is not None:
            mean = self.found["power_sum", 2.0][:, None]
            factor = (p - mean).mul_(b[:, None])
            p.mul_(factor if scale is None else factor.add_(scale[:, None]))
        elif scale is None:
            p.zero_()
        elif not bool((scale == 1).all()):  # cross-entropy needs one pass less
            p.mul_(scale[:, None])
        if nll is None:
            return p
        at_target = nll[:, None] * (own - 1)
        if a0 is not None:
            at_target += own * a0[:, None]
        if b is not None:
            at_target += own * (b[:, None] * (own - mean))
        return p.scatter_(1, y, at_target)


def _add(g: Tensor, values: Tensor, factors: Tensor) -> None:
    """`g += factors*values`, a pass less where every row has one factor, as where a term has a fixed weight."""
    one = factors[0]
    if bool((factors == one).all()):
        g.add_(values, alpha=one.item())
    else:
        g.add_(values.mul_(factors[:, None]))


def _is_power(quantity: Quantity) -> bool:
    return quantity[0] == "power_sum" and quantity[1] != 2.0


def _largest(z: Tensor) -> tuple[Tensor, Tensor]:
    """`[n]` each: `z.max(1)`, the first column where several tie, in the time of `amax`, which is a quarter of it."""
    vocab_size = z.shape[1]
    whole = vocab_size // SPAN * SPAN
    tops = [z[:, :whole].unflatten(1, (-1, SPAN)).amax(2)] if whole else []
    if whole < vocab_size:
        tops.append(z[:, whole:].amax(1, keepdim=True))
    top, span = torch.cat(tops, 1).max(1)
    columns = span[:, None] * SPAN + torch.arange(SPAN, device=z.device)
    within = z.gather(1, columns.clamp_max(vocab_size - 1)).argmax(1)  # the last column again comes behind itself
    return top, columns[:, 0] + within


def _sum_squares(z: Tensor) -> Tensor:
    """`[n]`; norms of blocks read the tile once, and add few enough numbers to keep their digits."""
    whole = z.shape[1] // BLOCK * BLOCK
    last = torch.linalg.vector_norm(z[:, whole:], dim=1).square_()
    if not whole:
        return last
    return last + torch.linalg.vector_norm(z[:, :whole].unflatten(1, (-1, BLOCK)), dim=2).square_().sum(1)
