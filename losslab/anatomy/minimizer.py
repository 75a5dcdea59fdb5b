"""Where training ends: the stationary point of the expected gradient, and how far it lies from the truth."""

import torch
from torch import Tensor

from losslab.anatomy.probe import losses_and_gradient, runs_on
from losslab.objective import Objective

# tokens of each class in a batch that holds a truth exactly
TRUTHS = ((10, 6, 4), (14, 4, 2), (17, 2, 1), (8, 6, 4, 2), (7, 6, 4, 2, 1))
# one over many classes, falling as word frequencies do: on it a loss of the few likeliest classes behaves as in use
MANY = tuple(max(1, 48 // (1 + i)) for i in range(64))
TOLERANCE = 1e-5  # in probability; a file that computes in float32 has seven digits
SETTLED = 1e-5  # of the last step, in logits; in float64 it comes down to 1e-9
QUIET = 10  # steps in turn, each twice as long as the one before, that do not move it
FAR = 40.0  # a gap of logits at which a probability has vanished
STEPS = 300
STEPS_OF_MANY = 90  # over 64 classes; a step takes some ten times as long as one over five
CONVENTIONS = {
    "proper": "for each truth q over 3 to 5 classes, and one over 64 for a token-wise independent loss, the gradient "
    "is averaged over a batch that holds q exactly and is followed from zero logits until it vanishes; what is "
    "compared with q is the softmax there. Weights that are not differentiated are followed as training follows them. "
    f"Truths on whose classes the loss fails are left out. Proper: no probability is off by more than {TOLERANCE:g}.",
    "neighbors": "a loss that depends on other tokens is given rows of two independent tokens, the second with the "
    "truth of the first shifted by one class, and logits for each.",
}


def find(objective: Objective, alone: bool | str) -> list[dict]:
    """For each truth on whose classes the loss runs, where training from zero logits ends.

    A truth over 64 classes is tried where the loss is token-wise independent: two of them at once are 4,096 rows.
    """
    contexts = 1 if alone is True else 2
    truths = (*TRUTHS, MANY) if contexts == 1 else TRUTHS
    return [_settle(objective, counts, contexts) for counts in truths if runs_on(objective, len(counts), contexts)]


def is_proper(found: list[dict]) -> bool:
    """Whether every truth that was tried is where its training ends; False where none could be tried."""
    return bool(found) and all(one["found"] and one["max_abs"] <= TOLERANCE for one in found)


def bias(found: list[dict]) -> dict | None:
    """The worst distance over all truths, in probability and in nats; the direction if all lean alike."""
    if not found or not all(one["found"] for one in found):
        return None
    worst = {key: max(one[key] for one in found) for key in ("max_abs", "kl_nats")}
    leanings = {one["direction"] for one in found if one["max_abs"] > TOLERANCE}
    return worst | {"direction": "none" if not leanings else leanings.pop() if len(leanings) == 1 else "mixed"}


def _settle(objective: Objective, counts: tuple[int, ...], contexts: int) -> dict:
    truth = torch.tensor(counts, dtype=torch.float64) / sum(counts)
    truths = torch.stack([truth.roll(shift) for shift in range(contexts)])  # [contexts, vocab]
    shares = truth if contexts == 1 else None  # of independent tokens one of each class is enough, weighted
    tokens = torch.arange(len(counts)) if contexts == 1 else torch.arange(len(counts)).repeat_interleave(
        torch.tensor(counts))
    shifted = [(tokens + shift) % len(counts) for shift in range(contexts)]
    targets = torch.stack([axis.flatten() for axis in torch.meshgrid(*shifted, indexing="ij")], -1)  # [rows, contexts]

    def field(points: Tensor) -> Tensor:
        """`[points, size]` logits to the mean gradient at each, in one batch where tokens are independent."""
        batch = points.view(-1, 1, *truths.shape).expand(-1, len(targets), -1, -1)
        pieces = [batch.flatten(0, 1)] if contexts == 1 else batch
        gradients = [losses_and_gradient(objective, x, targets.repeat(len(x) // len(targets), 1))[1] for x in pieces]
        found = torch.cat(gradients).view(batch.shape)
        mean = found.mean(1) if shares is None else torch.einsum("pr...,r->p...", found, shares)
        return mean.flatten(1)

    z, jacobian, settled = _descend(field, truths.numel())
    with torch.no_grad():
        p = objective.transform(z.view(contexts, -1)).softmax(-1)
    # training does not end at an unstable stationary point
    stable = settled and bool((torch.linalg.eigvals(jacobian).real >= -1e-3 * jacobian.abs().max()).all())
    off = (p - truths).abs()
    here = int(off.amax(-1).argmax())  # the context that is further off
    entropies = [float(torch.special.entr(each).sum()) for each in (truths, p)]
    return {
        "found": stable, "truth": truths[here].tolist(), "softmax": p[here].tolist(),
        "logits": z.view(contexts, -1)[here].tolist(), "max_abs": float(off.max()),
        "kl_nats": float((truths * (truths.log() - p.log())).sum(-1).max()),
        "direction": "flatter" if entropies[1] > entropies[0] else "sharper",
    }


def _descend(field, size: int) -> tuple[Tensor, Tensor, bool]:
    """Follow `-field` from zero, by steps of its linearization that last longer and longer.

    While a step is short this is what training does; a long one near a stationary point is Newton's.

    Returns:
        the point, the derivative of the field there, and whether it settled.
    """
    z = torch.zeros(size, dtype=torch.float64)
    sharpest = float(_jacobian(field, z).abs().max())
    # where a shift of all logits changes nothing, none is made
    (tried,) = field(torch.linspace(-1, 1, size, dtype=torch.float64).unsqueeze(0))
    invariant = bool(tried.sum().abs() < 1e-5 * tried.abs().max())
    time, longest, largest, quiet = 1 / max(sharpest, 1e-9), 1e6 / max(sharpest, 1e-9), torch.inf, 0
    for _ in range(STEPS if size < len(MANY) else STEPS_OF_MANY):
        before, asked, jacobian, slope = largest, time, _jacobian(field, z), field(z.unsqueeze(0))[0]
        if not bool(jacobian.isfinite().all() and slope.isfinite().all()):
            return z, jacobian, False
        while not (largest := float((step := _flow(jacobian, slope, time, invariant)).abs().max())) <= 1:
            time /= 2  # further than the linearization can be trusted, or not finite
        if quiet >= QUIET and (time < asked or largest > max(SETTLED, 4 * before)):
            return z, jacobian, True  # a drift would have doubled: in so long a time the rounding of a file grows
        quiet = quiet + 1 if largest < SETTLED else 0
        if time == longest and (largest < 1e-4 * SETTLED or before <= largest < SETTLED):
            break  # or rounding is all that moves it
        z = z + step
        if float(z.max() - z.min()) > FAR:
            return z, jacobian, False
        time = min(2 * time, longest)
    return z, jacobian, time == longest and largest < SETTLED


def _flow(jacobian: Tensor, slope: Tensor, time: float, invariant: bool) -> Tensor:
    """How far `dx/dt = -(slope + jacobian x)` goes from zero in `time`."""
    size = len(slope)
    system = torch.zeros(size + 1, size + 1, dtype=slope.dtype)
    system[:size, :size], system[:size, size] = -time * jacobian, -time * slope
    step = torch.linalg.matrix_exp(system)[:size, size]
    return step - step.mean() if invariant else step


def _jacobian(field, z: Tensor) -> Tensor:
    # by differences: autograd would take a detached weight for a constant, and training does not
    h = 1e-3 if len(z) < len(MANY) else 3e-2  # of a rare class the curvature is near the rounding of a float32 file
    steps = h * torch.eye(len(z), dtype=z.dtype)
    above, below = field(torch.cat([z + steps, z - steps])).chunk(2)
    return ((above - below) / (2 * h)).T
