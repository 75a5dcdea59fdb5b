"""The law L(N, D) = E + A/N^alpha + B/D^beta: what it predicts, and where its least loss for a compute is."""

import math
from dataclasses import dataclass, replace

import numpy as np

FLOPS_PER_PARAMETER = 6  # of one token, forward and backward: C = 6 N D


@dataclass(frozen=True)
class Law:
    """Constants of a scaling law; each a number, or an array where many laws are asked at once.

    Args:
        E: nll that no size and no amount of data gets below, in nats per token.
        log_A: logarithm of A. Logarithms, as A may be beyond the range of a float in a resample.
        log_B: logarithm of B.
        alpha: exponent of the parameters.
        beta: exponent of the tokens.

    Example:
        >>> law = Law(1.69, math.log(406.4), math.log(410.7), 0.34, 0.28)
        >>> round(float(law.nll(70e9, 1.4e12)), 3)
        1.937
    """

    E: float
    log_A: float
    log_B: float
    alpha: float
    beta: float

    @property
    def A(self):
        return np.exp(np.minimum(self.log_A, 700.0))

    @property
    def B(self):
        return np.exp(np.minimum(self.log_B, 700.0))

    def nll(self, num_params, num_tokens):
        """The loss of a model of `num_params` parameters after `num_tokens` tokens, in nats per token."""
        with np.errstate(over="ignore"):  # a steep power far below the runs may be more than a float holds
            return (self.E + np.exp(self.log_A - self.alpha * np.log(num_params))
                    + np.exp(self.log_B - self.beta * np.log(num_tokens)))

    def optimum(self, flops):
        r"""Parameters and tokens of least loss under C = 6 N D.

        $$N = G\,(C/6)^{\beta/(\alpha+\beta)}, \qquad G = \left(\frac{\alpha A}{\beta B}\right)^{1/(\alpha+\beta)}.$$

        Example:
            >>> rounded = Law(1.69, math.log(406.4), math.log(410.7), 0.34, 0.28)
            >>> num_params, num_tokens = rounded.optimum(5.76e23)
            >>> round(float(num_tokens / num_params), 1)
            92.6
        """
        with np.errstate(all="ignore"):  # where an exponent is at its bound 0 there is no optimum, and infinity says so
            log_n = self._log_g() + self.beta / (self.alpha + self.beta) * np.log(flops / FLOPS_PER_PARAMETER)
            return np.exp(log_n), np.exp(np.log(flops / FLOPS_PER_PARAMETER) - log_n)

    def flops_for(self, *, num_params=None, num_tokens=None):
        """The compute of which `num_params`, or `num_tokens`, is the optimum."""
        with np.errstate(all="ignore"):  # as in optimum
            if num_params is not None:
                return FLOPS_PER_PARAMETER * np.exp(
                    (np.log(num_params) - self._log_g()) * (self.alpha + self.beta) / self.beta)
            return FLOPS_PER_PARAMETER * np.exp(
                (np.log(num_tokens) + self._log_g()) * (self.alpha + self.beta) / self.alpha)

    def _log_g(self):
        return ((np.log(self.alpha) + self.log_A) - (np.log(self.beta) + self.log_B)) / (self.alpha + self.beta)

    def at(self, index) -> "Law":
        """One law of many."""
        return Law(*(np.asarray(getattr(self, name))[index] for name in self.__dataclass_fields__))

    def scaled(self, compute: float) -> "Law":
        """The law of a recipe that is worth `compute` times the compute at every size: N and D count sqrt of it more.

        Example:
            >>> law = Law(1.7, 6.0, 6.0, 0.35, 0.3)
            >>> twice = law.scaled(2.0)
            >>> bool(np.isclose(twice.nll(1e8, 1e9), law.nll(1e8 * 2**0.5, 1e9 * 2**0.5)))
            True
        """
        half = math.log(compute) / 2
        return replace(self, log_A=self.log_A - self.alpha * half, log_B=self.log_B - self.beta * half)


@dataclass(frozen=True)
class Constants:
    """A law with a name, where it comes from, and between which computes its runs lie.

    Args:
        flops: lowest and highest compute of the runs that it was fitted on; 0 and infinity where they are not known.
    """

    name: str
    law: Law
    flops: tuple[float, float]
    source: str

    def to_dict(self) -> dict:
        law, known = self.law, math.isfinite(self.flops[1])
        return {"name": self.name, "E": float(law.E), "A": float(f"{law.A:.12g}"),
                "B": float(f"{law.B:.12g}"), "alpha": float(law.alpha), "beta": float(law.beta),
                "fitted_from_flops": self.flops[0] if known else None,
                "fitted_to_flops": self.flops[1] if known else None, "source": self.source}


_CHINCHILLA = (1.4e18, 1.3e22)  # the points of its figure 4 less the five highest, as read off by Besiroglu et al.
NAMED = {one.name: one for one in (
    Constants("epoch", Law(1.8172, math.log(482.01), math.log(2085.43), 0.3478, 0.3658), _CHINCHILLA,
              "Besiroglu et al., Chinchilla Scaling: A replication attempt, 2024, arXiv:2404.10102: a refit to the "
              "points of Chinchilla's figure 4"),
    Constants("chinchilla", Law(1.69, math.log(406.4), math.log(410.7), 0.34, 0.28), _CHINCHILLA,
              "Hoffmann et al., Training Compute-Optimal Large Language Models, 2022, arXiv:2203.15556, approach 3, as "
              "printed; the rounding moves its optimum far from the 20 tokens per parameter of its text"),
    Constants("chinchilla-unrounded", Law(math.exp(0.5267228), 6.0073404, 6.0179186, 0.33917084, 0.2849083),
              _CHINCHILLA, "the same law with the digits of the paper's TeX source, as quoted by Besiroglu et al."),
)}  # fmt: skip
