"""Steps that are far out: what the last 128 lead to, and how far above it a new one lies."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence

WINDOW = 128  # steps that say what is usual
DEVIATIONS = 6.0  # beyond which a step is not usual
LEAST_RISE = 0.03  # of the usual size: where a loss hardly varies, a smaller rise is far out and yet nothing
LEAST_FACTOR = 4.0  # of the usual norm: healthy gradients reach 3 times theirs now and then


class Usual:
    """The last 128 values of one series, and how far a new one lies above what they lead to.

    Args:
        values: the series so far.
        least: the smallest rise, given the value to be expected, that can be far out.
    """

    def __init__(self, values: Iterable[float] = (), least: Callable[[float], float] = lambda usual: 0.0):
        self.values, self.least = deque(values, maxlen=WINDOW), least

    def add(self, value: float) -> None:
        self.values.append(value)

    def above(self, value: float) -> tuple[float, float] | None:
        """(what was to be expected, how many standard deviations `value` lies above it); None before 128 values.

        A straight line is fitted to the window, so that a loss that still falls is neither taken for noise, which
        would hide a spike, nor expected to stand still. The standard deviation is that of what the line leaves, and
        never so small that less than the smallest rise were 6 of them.
        """
        count = len(self.values)
        if count < WINDOW:
            return None
        mean = sum(self.values) / count
        middle = (count - 1) / 2
        spread = count * (count * count - 1) / 12  # the sum of squares of the places
        slope = sum((place - middle) * (each - mean) for place, each in enumerate(self.values)) / spread
        left = sum((each - mean - slope * (place - middle)) ** 2 for place, each in enumerate(self.values))
        expected = mean + slope * (count - middle)
        deviation = max(math.sqrt(left / (count - 2)), self.least(expected) / DEVIATIONS, 1e-30)
        return expected, (value - expected) / deviation


class Spikes:
    """Steps whose loss, or the norm of whose gradient, is more than 6 standard deviations above the last 128.

    The norm varies by factors, so that its logarithm has the shape that standard deviations are made for: it is the
    logarithm that is compared. A loss that rises by less than 3 %, or a norm below 4 times the usual, is no spike.

    Args:
        window: (loss, norm of the gradient) of the steps before, as `window` of another one gave them.
    """

    def __init__(self, window: Sequence[Sequence[float]] = ()):
        self.losses = Usual((loss for loss, _ in window), lambda usual: abs(usual) * LEAST_RISE)
        self.norms = Usual((_log(norm) for _, norm in window), lambda usual: math.log(LEAST_FACTOR))
        self._raw = deque(((float(loss), float(norm)) for loss, norm in window), maxlen=WINDOW)

    @property
    def window(self) -> list[tuple[float, float]]:
        """All that is remembered, oldest first."""
        return list(self._raw)

    def far_out(self, loss: float, norm: float) -> dict[str, tuple[float, float, float]]:
        """What is too far out of the two: kind of the event -> (value, what was to be expected, deviations)."""
        found = {}
        if (at := self.losses.above(loss)) and at[1] > DEVIATIONS:
            found["spike in the loss"] = loss, *at
        if (at := self.norms.above(_log(norm))) and at[1] > DEVIATIONS:
            found["spike in the gradient"] = norm, math.exp(at[0]), at[1]
        return found

    def add(self, loss: float, norm: float) -> None:
        self.losses.add(loss)
        self.norms.add(_log(norm))
        self._raw.append((loss, norm))


def _log(norm: float) -> float:
    return math.log(max(norm, 1e-30))
