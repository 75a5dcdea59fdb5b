"""What compute is worth to the baseline: the change in loss that m times the compute brings, and the m of a change."""

import math

import numpy as np

from losslab.progress import Progress, silent
from losslab.scaling import design, terms
from losslab.scaling import fit as fits
from losslab.scaling.intervals import LEVEL
from losslab.scaling.law import Law
from losslab.scaling.runs import Runs
from losslab.scaling.worth import LARGEST

LEAST_RUNGS = 3  # computes, for a trend: two constants, and one rung to judge them by
LEAST_SIZES = 4  # of one ratio, for a power law of compute: three constants, and one size to judge it by
NO_FALL = "the baseline's nll does not fall with compute"


def exchange(base: Runs, found: fits.Fit | None = None, *, progress: Progress = silent) -> tuple[Law | None, str]:
    """What compute is worth to the baseline: its law, and refits of it, as one law of arrays; or why there is none.

    Where all runs have one ratio of tokens to parameters, a power law of compute takes the place of L(N, D): along
    that ratio the two are the same curve. A baseline whose nll does not fall has no exchange: compute buys nothing.

    Args:
        base: the baseline's runs.
        found: its fit, where there is one already.
        progress: is told how many refits are done.
    """
    try:
        found = found or fits.fit(base, leave_out=False, progress=progress)
        return _exchange(base, found.law, found.draws)
    except ValueError as error:
        reason = str(error)
    if design.one_ratio(base) and len(np.unique(base.num_params)) >= LEAST_SIZES:
        ratio = base.num_tokens / base.num_params
        problem = terms.Problem(np.log(base.flops)[:, None], base.nll)
        one = terms.solve(problem)
        weights, _ = terms.resamples(len(base), (np.log(base.num_params),), (LEAST_RUNGS,), 1000, 0)
        many = terms.resolve(problem, weights, one)
        law, draws = (_of_compute(each, float(np.median(ratio))) for each in (one, many))
        return _exchange(base, law, draws)
    return None, f"the baseline has no law ({reason})"


def _exchange(base: Runs, law: Law, draws: Law | None) -> tuple[Law | None, str]:
    return (_with_draws(law, draws), "") if falls(base, law) else (None, NO_FALL)


def falls(base: Runs, law: Law) -> bool:
    """Whether the law falls over the runs, and log nll falls with log compute by more than chance.

    A law can only fall: fitted to runs that do not, it makes a small fall of their noise, at which compute is worth
    nearly nothing and every difference in loss more than any compute. So the runs are asked, too: the plane of log nll
    over log N and log D, along equal shares of both, by Student's t.
    """
    from scipy.special import stdtrit

    if np.ptp(law.nll(base.num_params, base.num_tokens)) < fits.NEAR_ZERO * base.nll.min():
        return False
    plane = np.log(np.column_stack([base.num_params, base.num_tokens]))
    plane, height = plane - plane.mean(0), np.log(base.nll) - np.log(base.nll).mean()
    slopes, _, rank, _ = np.linalg.lstsq(plane, height, rcond=1e-9)
    free = len(base) - 1 - rank
    if free < 1:
        return True
    along = np.array([0.5, 0.5])  # of log compute: sqrt(m) times N and D
    variance = ((height - plane @ slopes) ** 2).sum() / free * (along @ np.linalg.pinv(plane.T @ plane, 1e-12) @ along)
    return bool(along @ slopes < stdtrit(free, (1 - LEVEL) / 2) * math.sqrt(variance))


def flat(law: Law, size: float, tokens: float) -> bool:
    """Whether neither more nor less compute changes the loss at a rung."""
    most = math.log(LARGEST)
    reach = np.max([np.abs(change(law, size, tokens, log_m)) for log_m in (-most, most)])
    return bool(reach < fits.NEAR_ZERO * np.max(law.nll(size, tokens)))


def _of_compute(found: terms.Solution, ratio: float) -> Law:
    """E + K C^-p as a law of N alone, at one ratio: C = 6 ratio N^2; the term of D is nothing."""
    exponents, factors = found.exponents[..., 0], found.factors[..., 0]
    log_a = factors - exponents * math.log(6 * ratio)
    return Law(found.floor, log_a, np.full_like(log_a, -700.0), 2 * exponents, np.ones_like(log_a))


def _with_draws(law: Law, draws: Law | None) -> Law:
    """The law first, then its refits."""
    names = law.__dataclass_fields__
    every = [[np.atleast_1d(getattr(each, name)) for each in (law, draws) if each is not None] for name in names]
    return Law(*(np.concatenate(each) for each in every))


def solve(laws: Law, size: float, tokens: float, differences: np.ndarray) -> np.ndarray:
    """The m at which m times the compute changes the loss by a difference, by bisection in log m.

    Args:
        laws: `[k]`, one for each difference.
        size, tokens: of the rung.
        differences: `[k]`, in nats; negative for an arm that is better.

    Returns:
        `[k]`; infinity where even 10,000 times the compute does not do it, 0 where a 10,000th is not little enough.
    """
    low, high = np.full(len(differences), -math.log(LARGEST)), np.full(len(differences), math.log(LARGEST))
    beyond = change(laws, size, tokens, high) > differences
    below = change(laws, size, tokens, low) < differences
    for _ in range(60):
        middle = (low + high) / 2
        more = change(laws, size, tokens, middle) > differences  # the loss is still too high: more compute
        low, high = np.where(more, middle, low), np.where(more, high, middle)
    return np.where(beyond, np.inf, np.where(below, 0.0, np.exp((low + high) / 2)))


def change(laws: Law, size, tokens, log_m):
    """What exp(log_m) times the compute, at the same ratio, changes the loss by, in nats."""
    with np.errstate(over="ignore"):  # a steep power at a ten thousandth of the compute
        return (np.exp(laws.log_A - laws.alpha * np.log(size)) * np.expm1(-laws.alpha * log_m / 2)
                + np.exp(laws.log_B - laws.beta * np.log(tokens)) * np.expm1(-laws.beta * log_m / 2))


def some(laws: Law, count: int, rng) -> Law:
    """`count` laws, drawn from the refits; the law itself where there are none."""
    every = len(laws.E)
    return laws.at(rng.integers(1, every, size=count) if every > 1 else np.zeros(count, dtype=int))
