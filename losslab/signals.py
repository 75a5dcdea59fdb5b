"""Signs of trouble in a training: found from its numbers as they come, kept as numbers, and put into words by readers.

A `Detector` is fed in order what a training measures and answers with events. An event goes into the log of a run as
numbers with names that are known here (`Event.numbers`). Whoever reads a log takes these names and finite numbers from
it, and nothing else (`events`): a training process may have run a stranger's loss file, and writes no sentence that
anybody is shown. The rules, with their reasons, are in docs/signals.md.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

WINDOW = 128  # steps that say what is usual
DEVIATIONS = 6.0  # beyond which a step is not usual
LEAST_RISE = 0.03  # of the usual size: where a loss hardly varies, a smaller rise is far out and yet nothing
LEAST_FACTOR = 4.0  # of the usual norm: healthy gradients reach 3 times theirs now and then
SAME_SPIKE = 16  # steps after a step far out, in which others belong to the same spike
PLATEAU_SHARE, PLATEAU_NATS = 0.2, 0.01  # of the run; of ln V
PLATEAU_STEPS = 20  # that a fifth of the run has at least: fewer can gain next to nothing
GAP_NATS, GAP_LOOKS = 0.1, 3
GAP_NOISE = 3.0  # standard errors by which a gap must have grown
LEAST_STD, MOST_LOGIT, WARM_SHARE = 0.05, 100.0, 0.1
SLOW_SHARE, SLOW_STEPS = 0.2, 100  # of the run; and at least so many steps
COMPUTE_OPTIMAL = 20.0  # tokens per parameter; Hoffmann et al. 2022, arXiv 2203.15556
MOST_TOLD = 12  # sentences about one run on a terminal; its log and its page have the rest
PREFIX, DIVERGED = "signal/", "diverged/"
DEVIATION, LARGEST = "logits/deviation", "logits/largest"  # in a log, with each look at `tune`
UTILIZATION = "speed/utilization"  # in a log: of the peak of a matrix product on that machine, a share


class Kind(NamedTuple):
    """A sign: what it is called, the figures that go with it, how they read, and what to try."""

    figures: tuple[str, ...]
    sentence: str
    advice: str


KINDS: dict[str, Kind] = {
    "spike in the loss": Kind(
        ("loss", "usual", "deviations"),
        "the loss is {loss:.4g}, {deviations:.3g} standard deviations above the {usual:.4g} that the 128 steps before "
        "lead to",
        "a lower learning rate or a longer warm-up, or train.skip_spikes in every arm; look at the batch of this step"),
    "spike in the gradient": Kind(
        ("norm", "usual", "deviations"),
        "the norm of the gradient is {norm:.4g}, {deviations:.3g} standard deviations above the {usual:.4g} that the "
        "128 steps before lead to",
        "train.grad_clip at about twice the usual norm, or train.skip_spikes in every arm; look at the batch of this "
        "step"),
    "plateau": Kind(
        ("tune_nll", "before", "steps"),
        "nll on tune is {tune_nll:.4f} at best and was {before:.4f} at best {steps:,.0f} steps before: less than 1 % "
        "of ln V gained in a fifth of the run",
        "another learning rate, 3 times as high and a third of it; then whether targets belong to their tokens; a "
        "model that has learned all it can needs a shorter run or a larger size"),
    "slow start": Kind(
        ("tune_nll", "frequencies"),
        "nll on tune is {tune_nll:.4f} after a fifth of the run, above the {frequencies:.4f} that frequencies of "
        "tokens alone give",
        "a learning rate 10 times as high, or a shorter warm-up; a loss without probabilities is to be read by "
        "nll_calibrated"),
    "gap": Kind(
        ("gap", "first", "tune_nll"),
        "nll on tune is {tune_nll:.4f}, {gap:.3f} nats above that of the batches, and this gap grew from {first:.3f} "
        "over three looks",
        "more text or fewer passes over it; model.dropout 0.1, a smaller model, or fewer tokens"),
    "small logits": Kind(
        ("deviation",),
        "the logits of a token have a standard deviation of {deviation:.3g}, below 0.05 after a tenth of the run",
        "a higher learning rate of the head; whether the head is trained at all; a loss without probabilities is to be "
        "read by nll_calibrated"),
    "large logits": Kind(
        ("largest",),
        "a logit is {largest:.4g} away from 0, beyond 100",
        "1e-4*z_loss in the formula, softcap(15), or a lower learning rate of the head"),
    "divergence": Kind(
        ("objective", "grad_norm"),
        "the objective is {objective}, the norm of its gradient {grad_norm}, and the run has ended",
        "a lower learning rate, a longer warm-up, or clipping (train.grad_clip 1.0)"),
}  # fmt: skip


@dataclass(frozen=True)
class Event:
    """One sign at one step, with the figures of its kind."""

    kind: str
    step: int
    figures: Mapping[str, float] = field(default_factory=dict)

    @property
    def numbers(self) -> dict[str, float]:
        """What a line of a log says of it.

        Example:
            >>> Event("small logits", 40, {"deviation": 0.01}).numbers
            {'signal/small_logits': 1.0, 'signal/small_logits/deviation': 0.01}
        """
        name = PREFIX + self.kind.replace(" ", "_")
        return {name: 1.0} | {f"{name}/{figure}": self.figures[figure] for figure in KINDS[self.kind].figures}

    @property
    def sentence(self) -> str:
        """What happened, in words."""
        return f"{self.kind} at step {self.step:,}: {KINDS[self.kind].sentence.format(**self.figures)}"

    @property
    def advice(self) -> str:
        """What to try."""
        return KINDS[self.kind].advice


def events(lines: Iterable[Mapping[str, object]]) -> list[Event]:
    """The events in lines of a log, in order; what is no number with a name that is known here is passed over.

    Example:
        >>> found, = events([{"step": 40, "signal/small_logits": 1.0, "signal/small_logits/deviation": 0.01, "x": "y"}])
        >>> found.sentence
        'small logits at step 40: the logits of a token have a standard deviation of 0.01, below 0.05 after a tenth of the run'
    """  # noqa: E501
    found = []
    for line in lines:
        step = line.get("step")
        if type(step) is not int or step < 0:
            continue
        for kind, about in KINDS.items():
            is_end = kind == "divergence"
            name = PREFIX + kind.replace(" ", "_")
            figures = {figure: line.get(f"{DIVERGED}{figure}" if is_end else f"{name}/{figure}")
                       for figure in about.figures}
            if (is_end or line.get(name) == 1.0) and all(_is_number(value, is_end) for value in figures.values()):
                found.append(Event(kind, step, figures))
    return found


def utilization(line: Mapping[str, object]) -> float:
    """The share of the machine's peak that a line of a log tells; 0 where it tells none that can be."""
    found = line.get(UTILIZATION, 0.0)
    return found if type(found) is float and 0 < found < 10 else 0.0


class Teller:
    """Says the events in lines of a log as they come, a dozen at most; a divergence is the result, and said as that.

    Args:
        tell: takes a sentence.
        about: of which run, where there are several.
        advice: whether to add what to try.
    """

    def __init__(self, tell: Callable[[str], None], about: str = "", *, advice: bool = True):
        self.tell, self.about, self.advice, self.left = tell, about and f"{about}: ", advice, MOST_TOLD

    def __call__(self, line: Mapping[str, object]) -> None:
        for event in events([line]):
            if event.kind == "divergence" or self.left < 0:
                continue
            self.left -= 1
            told = f"{event.sentence}{f'; try {event.advice}' if self.advice else ''}"
            self.tell(self.about + (told if self.left >= 0 else "further signs are in the log of the run"))


def _is_number(value: object, may_be_infinite: bool) -> bool:
    return type(value) in (int, float) and (may_be_infinite or -(2.0**1000) < value < 2.0**1000)


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


class Detector:
    """Finds events in the numbers of one run, fed in the order of its steps.

    Args:
        num_steps: of the whole run.
        vocab_size: of the model; an untrained one has the nll ln V.
        log_every: steps between observed batches; one that is observed besides, as after a resume, is passed over.
        frequencies: nll on the same text of the frequencies of its tokens, which a model soon falls below.
        window: of an earlier process of the same run.

    Example:
        >>> detector = Detector(1000, 256, 10)
        >>> detector.look(200, tune_nll=2.1, deviation=0.01, largest=3.0)[0].kind
        'small logits'
    """

    def __init__(
        self, num_steps: int, vocab_size: int, log_every: int, *, frequencies: float = math.inf,
        window: Sequence[Sequence[float]] = (),
    ):
        self.num_steps, self.vocab_size, self.log_every = num_steps, vocab_size, log_every
        self.frequencies = frequencies
        self.spikes = Spikes(window)
        self._last_spike: dict[str, int] = {}
        self._said: set[str] = set()  # kinds that are said once in a run
        self._looks: list[tuple[int, float]] = []
        self._batches: deque[float] = deque(maxlen=32)  # nll of the batches that were observed
        self._since_look = 0
        self._gaps: list[float] = []

    @property
    def window(self) -> list[tuple[float, float]]:
        """What must be kept so that another process can go on; the rest is in the log."""
        return self.spikes.window

    def replay(self, lines: Iterable[Mapping[str, float]]) -> None:
        """Take what the log of the run says up to its newest checkpoint; nothing in it is found a second time."""
        for line in lines:
            if "train/nll" in line:
                self.batch(line["step"], line["train/nll"])
            if "tune/nll" in line:
                self.look(line["step"], tune_nll=line["tune/nll"], deviation=line.get(DEVIATION),
                          largest=line.get(LARGEST))
            for event in events([line]):
                self._last_spike[event.kind] = event.step
                self._said.add(event.kind)

    def step(self, step: int, loss: float, norm: float) -> list[Event]:
        """After every step: its objective and the norm of its gradient, before clipping."""
        found = []
        for kind, (value, usual, deviations) in self.spikes.far_out(loss, norm).items():
            if step - self._last_spike.get(kind, -SAME_SPIKE - 1) > SAME_SPIKE:
                figures = dict(zip(KINDS[kind].figures, (value, usual, deviations), strict=True))
                found.append(Event(kind, step, figures))
                self._last_spike[kind] = step
        self.spikes.add(loss, norm)
        return found

    def batch(self, step: int, nll: float) -> None:
        """The nll of the batch of a step, where it was observed."""
        if step % self.log_every == 0:
            self._batches.append(nll)
            self._since_look += 1

    def look(self, step: int, *, tune_nll: float, deviation: float | None = None,
             largest: float | None = None) -> list[Event]:
        """After a look at `tune`.

        Args:
            step: updates done.
            tune_nll: nats/token.
            deviation: standard deviation of the logits of a token over the vocabulary, mean over tokens.
            largest: the largest distance of a logit from 0.
        """
        found = []
        if deviation is not None and deviation < LEAST_STD and step >= WARM_SHARE * self.num_steps:
            found.append(Event("small logits", step, {"deviation": deviation}))
        if largest is not None and largest > MOST_LOGIT:
            found.append(Event("large logits", step, {"largest": largest}))
        if tune_nll > self.frequencies and step >= max(SLOW_SHARE * self.num_steps, SLOW_STEPS):
            found.append(Event("slow start", step, {"tune_nll": tune_nll, "frequencies": self.frequencies}))
        self._looks.append((step, tune_nll))
        found += self._plateau(step) + self._gap(step, tune_nll)
        found = [event for event in found if event.kind not in self._said]
        self._said |= {event.kind for event in found}
        return found

    def _plateau(self, step: int) -> list[Event]:
        """The best nll against the best one a fifth of the run before: one bad look hides nothing and shows nothing."""
        if step > (1 - PLATEAU_SHARE) * self.num_steps:  # the end of a schedule gains little, and is meant to
            return []
        if PLATEAU_SHARE * self.num_steps < PLATEAU_STEPS:
            return []
        early = [(at, nll) for at, nll in self._looks if at <= step - PLATEAU_SHARE * self.num_steps]
        if not early:
            return []
        before, now = min(nll for _, nll in early), min(nll for _, nll in self._looks)
        if before - now >= PLATEAU_NATS * math.log(self.vocab_size):
            return []
        return [Event("plateau", step, {"tune_nll": now, "before": before, "steps": step - early[-1][0]})]

    def _gap(self, step: int, tune_nll: float) -> list[Event]:
        count, self._since_look = min(self._since_look, len(self._batches)), 0
        if not count:
            return []
        self._gaps.append(tune_nll - sum(list(self._batches)[-count:]) / count)
        last = self._gaps[-GAP_LOOKS:]
        grew = last[-1] - last[0]
        if len(last) < GAP_LOOKS or last[-1] <= GAP_NATS or any(b <= a for a, b in zip(last, last[1:], strict=False)):
            return []
        # successive batches differ by chance far more than by what is learned between them
        nlls = list(self._batches)
        changes = [b - a for a, b in zip(nlls, nlls[1:], strict=False)]
        usual = sum(changes) / len(changes)
        noise = math.sqrt(sum((change - usual) ** 2 for change in changes) / (2 * len(changes)))
        if grew <= GAP_NOISE * noise * math.sqrt(2 / count):
            return []
        return [Event("gap", step, {"gap": last[-1], "first": last[0], "tune_nll": tune_nll})]


def tokens_per_parameter(tokens: float, num_params: int) -> str:
    """How long a training is for its size, beside what is best for a fixed amount of compute.

    Example:
        >>> tokens_per_parameter(1_000_000, 250_000)
        '4 tokens per parameter (about 20 are best for a given amount of compute)'
    """
    ratio = tokens / max(1, num_params)
    return f"{ratio:.3g} tokens per parameter (about {COMPUTE_OPTIMAL:g} are best for a given amount of compute)"
