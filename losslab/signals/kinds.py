"""What signs of trouble there are, how they stand in a log as numbers, and how a reader puts them into words."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

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
        "over three evaluations",
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


def tokens_per_parameter(tokens: float, num_params: int) -> str:
    """How long a training is for its size, next to what is best for a fixed amount of compute.

    Example:
        >>> tokens_per_parameter(1_000_000, 250_000)
        '4 tokens per parameter (about 20 are best for a given amount of compute)'
    """
    ratio = tokens / max(1, num_params)
    return f"{ratio:.3g} tokens per parameter (about {COMPUTE_OPTIMAL:g} are best for a given amount of compute)"
