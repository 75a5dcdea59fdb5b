"""The nats of a model by position, by the frequency of the token, and by the model's confidence."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from losslab.evaluate.logprobs import Tokens
from losslab.evaluate.summing import Sums, ratio
from losslab.stats import Score

CALIBRATION_BINS = 15  # of equal width in confidence, as in Guo et al., On Calibration of Modern Neural Networks, 2017
FREQUENCY_BINS = 7  # decades of the training unigram; the last is everything rarer
COLUMNS = ("tokens", "nats", "hits", "confidence")


@dataclass(frozen=True)
class Axis:
    """A way to sort tokens into bins."""

    name: str
    bounds: list[tuple[float, float]]  # of each bin, as they are printed
    bin_of: Callable[[Tokens], np.ndarray]

    def zeros(self, num_documents: int) -> Sums:
        """By document too, since documents are what a standard error is over."""
        return {f"{self.name}/{column}": np.zeros((len(self.bounds), num_documents)) for column in COLUMNS}

    def add(self, tokens: Tokens, sums: Sums) -> None:
        values = (np.ones(len(tokens.nats)), tokens.nats, tokens.is_greedy, tokens.confidence)
        at = self.bin_of(tokens), tokens.document
        for column, value in zip(COLUMNS, values, strict=True):
            np.add.at(sums[f"{self.name}/{column}"], at, value)

    def table(self, sums: Sums) -> list[dict]:
        """A row for each bin that is not empty: its bounds, tokens, nll with its standard error, greedy accuracy, and
        the mean of the largest probability."""
        rows = []
        columns = zip(*(sums[f"{self.name}/{column}"] for column in COLUMNS), strict=True)
        for (low, high), (count, nats, hits, confidence) in zip(self.bounds, columns, strict=True):
            if count.any():
                here = count > 0
                nll = ratio(nats[here], count[here], "nats/token")
                rows.append({
                    "from": low, "to": high, "tokens": int(count.sum()), "nll": nll.value, "stderr": nll.stderr,
                    "documents": nll.n, "accuracy": float(hits.sum() / count.sum()),
                    "confidence": float(confidence.sum() / count.sum()),
                })
        return rows


def position_axis(context_length: int) -> Axis:
    """By tokens read before the token: 1, 2 to 3, 4 to 7, ... up to the context length."""
    starts = [2**k for k in range(int(context_length).bit_length())]
    bounds = [(start, min(2 * start - 1, context_length)) for start in starts]
    return Axis("position", bounds, lambda tokens: np.log2(tokens.context).astype(np.int64))


def frequency_axis(unigram: np.ndarray) -> Axis:
    """By the token's share of the training text: above 1 in 10, down to 1 in 100, ..."""
    decade = np.clip(np.floor(-np.log10(unigram)), 0, FREQUENCY_BINS - 1).astype(np.int64)
    bounds = [(10.0 ** -(k + 1) if k + 1 < FREQUENCY_BINS else 0.0, 10.0**-k) for k in range(FREQUENCY_BINS)]
    return Axis("frequency", bounds, lambda tokens: decade[tokens.target])


def confidence_axis() -> Axis:
    """By the largest probability, in bins of equal width: the data of a reliability chart."""
    edges = [k / CALIBRATION_BINS for k in range(CALIBRATION_BINS + 1)]

    def bin_of(tokens: Tokens) -> np.ndarray:
        return np.minimum((tokens.confidence * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)

    return Axis("confidence", list(zip(edges[:-1], edges[1:], strict=True)), bin_of)


def calibration_error(sums: Sums, *, resamples: int = 200, seed: int = 0) -> Score:
    r"""How far a model's confidence is from its accuracy: the expected calibration error.

    Tokens are sorted by the largest probability of their row into bins of equal width:

    $$\text{ECE} = \sum_b \frac{n_b}{n}\, |\text{accuracy}_b - \text{confidence}_b|.$$

    Args:
        sums: of `confidence_axis`.
        resamples: documents are drawn again so often for the standard error.

    Returns:
        A probability, with n = documents. It is not below 0, so noise alone lifts it: by about
        $0.4 \sqrt{\text{bins} / n}$ for n independent tokens.

    Example:
        >>> sums = {f"confidence/{name}": np.zeros((15, 1)) for name in COLUMNS}
        >>> for bin, tokens, hits, confidence in [(4, 10, 5, 3.0), (13, 30, 24, 27.0)]:
        ...     sums["confidence/tokens"][bin], sums["confidence/hits"][bin] = tokens, hits
        ...     sums["confidence/confidence"][bin] = confidence
        >>> print(calibration_error(sums))  # (|5 - 3| + |24 - 27|) / 40
        0.125 (n=1)

    Reference:
        Guo et al., On Calibration of Modern Neural Networks, 2017.
    """
    count, hits, confidence = (sums[f"confidence/{column}"] for column in ("tokens", "hits", "confidence"))
    gap, n = hits - confidence, count.shape[1]
    value = np.abs(gap.sum(1)).sum() / count.sum()
    if n < 2:
        return Score(float(value), None, n, "probability")
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)
    drawn = np.abs(weights @ gap.T).sum(1) / np.maximum(weights @ count.sum(0), 1)
    return Score(float(value), float(drawn.std(ddof=1)), n, "probability")
