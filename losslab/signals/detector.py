"""What finds signs of trouble in the numbers of a training, as they come."""

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence

from losslab.signals.kinds import DEVIATION, KINDS, LARGEST, Event, events
from losslab.signals.spikes import Spikes

SAME_SPIKE = 16  # steps after a step far out, in which others belong to the same spike
PLATEAU_SHARE, PLATEAU_NATS = 0.2, 0.01  # of the run; of ln V
PLATEAU_STEPS = 20  # that a fifth of the run has at least: fewer can gain next to nothing
GAP_NATS, GAP_LOOKS = 0.1, 3
GAP_NOISE = 4.0  # standard errors by which a gap must have grown; with 3 of them 1 healthy run in 20 had one by chance
LEAST_STD, MOST_LOGIT, WARM_SHARE = 0.05, 100.0, 0.1
SLOW_SHARE, SLOW_STEPS = 0.2, 100  # of the run; and at least so many steps


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
