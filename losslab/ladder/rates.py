"""The learning rate of a rung: by the width of its model, or by a power law of what was tuned at smaller ones."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from losslab.config import ExperimentConfig

RATE = "train.learning_rate"
DIGITS = 4  # of a rate that was computed


@dataclass(frozen=True)
class RateLaw:
    """rate = k C^p of one arm, with C = 6 N D.

    Args:
        log_k: natural logarithm of k.
        exponent: p.
        flops: `[points]`, computes at which the rate was tuned.
        rates: `[points]`, what was chosen there.
    """

    log_k: float
    exponent: float
    flops: tuple[float, ...]
    rates: tuple[float, ...]

    def at(self, flops: float) -> float:
        return rounded(math.exp(self.log_k + self.exponent * math.log(flops)))

    @property
    def farthest(self) -> float:
        """The largest ratio, as a factor from 1, between a tuned rate and that of the law."""
        return max(math.exp(abs(math.log(rate) - self.log_k - self.exponent * math.log(flops)))
                   for flops, rate in zip(self.flops, self.rates, strict=True))

    def to_dict(self) -> dict:
        return {"k": math.exp(self.log_k), "exponent": self.exponent, "flops": list(self.flops),
                "rates": list(self.rates), "farthest": self.farthest}


def rounded(rate: float) -> float:
    return float(f"{rate:.{DIGITS}g}")


def power_law(flops: Sequence[float], rates: Sequence[float]) -> RateLaw:
    """Least squares of log rate over log C.

    Args:
        flops: `[points]`, at least two unlike ones.
        rates: `[points]`, above 0.

    Raises:
        ValueError: for computes that are all alike.

    Example:
        >>> law = power_law([1e10, 1e12], [4e-3, 2e-3])
        >>> round(law.exponent, 4), law.at(1e14)
        (-0.1505, 0.001)
    """
    x, y = np.log(np.asarray(flops, dtype=float)), np.log(np.asarray(rates, dtype=float))
    if len(x) < 2 or np.ptp(x) < 1e-6:
        raise ValueError(f"a power law of the learning rate takes 2 rungs of unlike compute that are tuned, got "
                         f"{len(x)}; tune at more sizes (ladder.tuned_sizes), or give more tokens_per_param")
    slope = float(((x - x.mean()) @ (y - y.mean())) / ((x - x.mean()) @ (x - x.mean())))
    return RateLaw(float(y.mean() - slope * x.mean()), slope, tuple(map(float, flops)), tuple(map(float, rates)))


def transferred(base: ExperimentConfig, width: int) -> dict[str, float]:
    """The rates of a model of another width, as settings; `settings.RATES` has the formula and its sources.

    Args:
        base: with the rates that are good at its own width.
        width: `n_embd` of the other model.

    Example:
        >>> from losslab import config
        >>> transferred(config.preset("tiny"), 192)["train.learning_rate"]  # tiny has width 96 and rate 4e-3
        0.002
    """
    train, ratio = base.train, base.model.n_embd / width
    if train.optimizer == "muon":
        rate, table, head, vectors = 1.0, math.sqrt(ratio), math.sqrt(ratio), 1.0
    else:
        rate, head, vectors = ratio, 1.0, 1 / ratio
        table = 1.0 if base.model.tied else 1 / ratio  # a tied table is the output weights
    own = {} if base.model.tied else {"train.head_rate_ratio": rounded(train.head_rate_ratio * head)}
    return {RATE: rounded(train.learning_rate * rate),
            "train.embedding_rate_ratio": rounded(train.embedding_rate_ratio * table),
            "train.vector_rate_ratio": rounded(train.vector_rate_ratio * vectors), **own}
