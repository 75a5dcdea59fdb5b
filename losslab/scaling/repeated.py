r"""The law where tokens repeat: repetitions, and parameters beyond what the data can use, count for less and less.

$$L = E + \frac{A}{N'^\alpha} + \frac{B}{D'^\beta}, \qquad D' = U_D + U_D R_D^* (1 - e^{-R_D/R_D^*}), \quad
  N' = U_N + U_N R_N^* (1 - e^{-R_N/R_N^*}),$$

with $U_D$ unique tokens, $R_D = D/U_D - 1$ repetitions of them, $U_N$ the parameters that they are best for (or N,
where it is smaller) and $R_N = N/U_N - 1$. Muennighoff et al., Scaling Data-Constrained Language Models, 2023,
arXiv:2305.16264.
"""

import math
from dataclasses import dataclass

import numpy as np

from losslab.progress import Progress, counting, silent
from losslab.scaling import terms
from losslab.scaling.fit import fit as fit_law
from losslab.scaling.intervals import FEWEST_RESAMPLES
from losslab.scaling.intervals import found as interval
from losslab.scaling.law import Constants, Law
from losslab.scaling.minimize import minimize
from losslab.scaling.runs import Runs

LEAST_RUNS, LEAST_DRAWN = 4, 2  # that repeat: of a table, and of a set of its runs drawn again
REPEATED = 1.001  # tokens over unique tokens from which data repeats
STARTS = np.log([[d, n] for d in (1.0, 4.0, 16.0, 64.0) for n in (1.0, 4.0, 16.0, 64.0)])
LARGEST, SMALLEST = 1e4, 1e-2  # of R*: beyond it repeated tokens are as good as new ones; below it worth nothing

MUENNIGHOFF = Constants(
    "muennighoff", Law(math.exp(0.6254804), 6.255414, 7.3049974, 0.3526596, 0.3526596), (1e17, 3e21),
    "Muennighoff et al., Scaling Data-Constrained Language Models, 2023, arXiv:2305.16264, fitted on C4 with one "
    "exponent for both")
MUENNIGHOFF_R = (15.387756, 5.309743)  # R_D*, R_N*


@dataclass(frozen=True)
class Repeated:
    """The law with repetition.

    Args:
        base: the law of data that does not repeat.
        r_tokens: R_D*; repetitions beyond about this many add little.
        r_params: R_N*.
        base_source: where the base comes from.
        objective: sum of Huber's losses of the residuals of log nll.
        draws: `[resamples, 2]` of R_D* and R_N*, the base held fixed; None where there are none.
        bounds: constants at the ends of what they may be, each with its sentence.
        agreeing, starts: of the starts of the search, how many ended here.
    """

    runs: Runs
    base: Law
    r_tokens: float
    r_params: float
    base_source: str
    objective: float
    draws: np.ndarray | None = None
    bounds: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    agreeing: int = 1
    starts: int = 1

    @property
    def residuals(self) -> np.ndarray:
        return self.runs.nll - nll(self.base, self.r_tokens, self.r_params, self.runs.num_params,
                                   self.runs.num_tokens, self.runs.more["unique_tokens"])

    def intervals(self) -> dict[str, dict]:
        """R_D* and R_N*, each `{"value", "low", "high"}`."""
        return {name: interval(value, None if self.draws is None else self.draws[:, i], len(self.runs), 2)
                for i, (name, value) in enumerate((("R_D", self.r_tokens), ("R_N", self.r_params)))}


def effective(amount, unique, r):
    """What `amount` is worth in units of which none repeats.

    Example:
        >>> float(effective(4e9, 4e9, 15.0)), round(float(effective(16e9, 4e9, 15.0)) / 1e9, 2)
        (4000000000.0, 14.88)
    """
    return unique * (1 + r * -np.expm1(-(np.maximum(amount / unique, 1) - 1) / r))


def nll(base: Law, r_tokens, r_params, num_params, num_tokens, unique_tokens):
    """The loss with `num_tokens` read of which `unique_tokens` differ, nats per token.

    Example:
        >>> found = nll(MUENNIGHOFF.law, *MUENNIGHOFF_R, 2.8e9, 55e9, 55e9 / np.array([1, 4, 8, 40]))
        >>> found.round(3).tolist()
        [2.354, 2.378, 2.417, 2.676]
    """
    tokens, params = _worth(base, r_tokens, r_params, num_params, num_tokens, unique_tokens)
    return base.nll(params, tokens)


def _worth(base: Law, r_tokens, r_params, num_params, num_tokens, unique_tokens):
    unique = np.minimum(unique_tokens, num_tokens)
    best = np.minimum(num_params, base.optimum(base.flops_for(num_tokens=unique))[0])
    return effective(num_tokens, unique, r_tokens), effective(num_params, best, r_params)


def objective(runs: Runs, base: Law, r_tokens: float, r_params: float) -> float:
    """Sum of Huber's losses of the residuals of log nll: of constants that were not fitted here."""
    predicted = nll(base, r_tokens, r_params, runs.num_params, runs.num_tokens, runs.more["unique_tokens"])
    return float(terms.huber(np.log(predicted) - np.log(runs.nll)).sum())


def fit(runs: Runs, base: Constants | None = None, *, resamples: int = 1000, seed: int = 0,
        progress: Progress = silent) -> Repeated:  # fmt: skip
    """Fit R_D* and R_N*, the law of data that does not repeat being known.

    Args:
        runs: with `unique_tokens`; at least 4 of them repeat their data.
        base: the law without repetition; fitted to the runs that do not repeat unless given.
        resamples: how often runs are drawn again; the base is held fixed in them.
        seed: of the draws.
        progress: is told how many refits are done.

    Raises:
        ValueError: where too few runs repeat, or too few do not and no base is given.
    """
    repeats = runs.num_tokens > REPEATED * runs.more["unique_tokens"]
    if repeats.sum() < LEAST_RUNS:
        raise ValueError(f"a law of repeated data takes at least {LEAST_RUNS} runs with more tokens than "
                         f"unique_tokens, and {runs.source} has {repeats.sum()}")
    source = "given"
    if base is None:
        try:
            law = fit_law(runs.only(~repeats), resamples=0, leave_out=False).law
        except ValueError as error:
            raise ValueError(f"the runs that do not repeat carry no law of their own ({error}); name one with --base, "
                             "such as --base muennighoff") from None
        source = f"fitted to the {(~repeats).sum()} runs that do not repeat"
    else:
        law, source = base.law, base.name
    task = _objective(runs, law)
    found = minimize(task(None), STARTS)
    best = int(np.argmin(found.values))
    near = int((found.values <= found.values[best] * (1 + terms.SAME)).sum())
    draws, told = None, []
    if resamples:
        # two constants take two runs that repeat; a draw with fewer says nothing of one of them, and keeps its start
        weights, _ = terms.resamples(len(runs), (), (), resamples, seed,
                                     lambda weights: (weights[:, repeats] > 0).sum(-1) >= LEAST_DRAWN)
    if resamples and len(weights) < min(resamples, FEWEST_RESAMPLES):
        told = [f"there are no intervals: of {len(runs)} runs drawn again, hardly any set keeps {LEAST_DRAWN} that "
                "repeat; add runs that do"]
    elif resamples:
        refits = minimize(task(weights), np.repeat(found.points[best : best + 1], len(weights), 0),
                          progress=counting(progress, "refitting runs drawn again", "refits"))
        draws = np.exp(np.clip(refits.points, -50, 50))
    r_tokens, r_params = np.exp(np.clip(found.points[best], -50, 50))
    bounds = []
    for name, value, what in (("R_D", r_tokens, "tokens"), ("R_N", r_params, "parameters")):
        if value > LARGEST:
            bounds.append((name, f"{name} is at its upper bound: repeated {what} are as good as new in these runs"))
        elif value < SMALLEST:
            bounds.append((name, f"{name} is at its lower bound 0: repeated {what} are worth nothing in these runs"))
    warnings = [*runs.notes, *(sentence for _, sentence in bounds), *told]
    warnings.append(f"the law without repetition is held fixed ({source}), so intervals of R_D and R_N leave out what "
                    "is not known of it")
    return Repeated(runs, law, float(r_tokens), float(r_params), source, float(terms.DELTA * found.values[best]),
                    draws, tuple(bounds), tuple(warnings), near, len(STARTS))


def _objective(runs: Runs, base: Law):
    target, log_floor = np.log(runs.nll), np.log(base.E) if base.E > 0 else -np.inf
    unique = np.minimum(runs.more["unique_tokens"], runs.num_tokens)
    best = np.minimum(runs.num_params, base.optimum(base.flops_for(num_tokens=unique))[0])
    parts = ((unique, np.maximum(runs.num_tokens / unique, 1) - 1, base.log_B, base.beta),
             (best, np.maximum(runs.num_params / best, 1) - 1, base.log_A, base.alpha))

    def weighted(weights):
        def value_and_slope(points, which):
            terms_, turns = [np.full((len(points), len(target)), log_floor)], []
            for i, (size, times, log_factor, exponent) in enumerate(parts):
                r = np.exp(np.clip(points[:, i : i + 1], -50, 50))
                left = np.exp(-times / r)
                worth = 1 + r * (1 - left)
                terms_.append(log_factor - exponent * (np.log(size) + np.log(worth)))
                turns.append(-exponent * r * ((1 - left) - times / r * left) / worth)
            predicted = np.logaddexp.reduce(terms_, axis=0)
            residual = predicted - target
            pull = np.clip(residual / terms.DELTA, -1, 1)
            cost = terms.huber(residual) / terms.DELTA
            if weights is not None:
                pull, cost = pull * weights[which], cost * weights[which]
            slopes = [(pull * np.exp(term - predicted) * turn).sum(-1)
                      for term, turn in zip(terms_[1:], turns, strict=True)]
            return cost.sum(-1), np.stack(slopes, -1)
        return value_and_slope

    return weighted
