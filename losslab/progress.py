"""How far work under way has come: modules report it in numbers, and only this one puts it into words.

Code that works calls a `Progress`; rates, seconds and terminals are not its concern. `Lines` says it in plain lines, as
does its kind for terminals, `drawing.Ticker`, which draws a bar.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from losslab.words import printable

MAX_NAMED = 4  # runs that are named where the line is not cut to a width


@dataclass(frozen=True)
class Running:
    """One run of several.

    Args:
        label: the name of its loss or arm, as its author wrote it; empty for the only run.
        phase: `waiting`, `starting`, `training`, `measuring` or `over`.
        done: how much of the phase is done, from 0 to 1.
        utilization: the share of the machine's peak that its matrix products reach; 0 where it is not known.
        trial: of tuning, the settings that are tried, in words; empty for a run that is no trial.
    """

    label: str
    seed: int
    phase: str = "starting"
    done: float = 0.0
    utilization: float = 0.0
    trial: str = ""


class Progress(Protocol):
    """What code that works is given, to say how far it is."""

    def __call__(
        self, what: str, done: int, total: int, unit: str = "bytes", running: Sequence[Running] = ()
    ) -> None:
        """Say how far `what` is.

        Args:
            what: what is at work, such as `tokenizing tales`.
            done: so far, in `unit`.
            total: in all; 0 where it is not known. Where `done` is 0 too, `what` is news, to be said once.
            unit: what is counted, such as `tokens`; `seconds` of work of which nothing else is known.
            running: every run, where it is training that is reported.
        """


def silent(what: str, done: int, total: int, unit: str = "bytes", running: Sequence[Running] = ()) -> None:
    """The `Progress` that says nothing."""


def counting(progress: Progress, what: str, unit: str) -> Callable[[int, int], None]:
    """For a loop that counts and does not know what: takes (done, total)."""
    return lambda done, total: progress(what, done, total, unit)


@dataclass(frozen=True)
class State:
    """What was reported, with the rate (0 while it is not known) and the seconds left (None while not known)."""

    what: str
    done: int
    total: int
    unit: str = "bytes"
    running: Sequence[Running] = ()
    per_second: float = 0.0
    seconds_left: float | None = None

    @property
    def is_news(self) -> bool:
        return not (self.done or self.total or self.running)

    @property
    def share(self) -> float | None:
        """Of the whole, from 0 to 1; None where that is not known."""
        return min(1.0, self.done / self.total) if self.total else 1.0 if self.running else None


class Lines:
    """A `Progress` in plain lines: one now and then, and news at once.

    Args:
        tell: takes a line.
        every_seconds: between two lines; work that is over sooner is not worth one, unless more work follows at once.
            Training is, from the start.
        clock: seconds of a clock that only goes forward.
    """

    def __init__(self, tell: Callable[[str], None], *, every_seconds: float = 15.0,
                 clock: Callable[[], float] = time.monotonic):  # fmt: skip
        self.tell, self.every_seconds, self.clock = tell, every_seconds, clock
        self.state: State | None = None
        self._begun: tuple[float, int] | None = None  # the first report of this work with something done
        self._next = self._reported = self._quiet_since = 0.0

    def __call__(
        self, what: str, done: int, total: int, unit: str = "bytes", running: Sequence[Running] = ()
    ) -> None:
        now = self.clock()
        if self.state is None or now - self._reported >= self.every_seconds:
            self._quiet_since = now  # nothing was at work before
        self._reported = now
        if self.state is None or self.state.what != what or done < self.state.done:
            # other work, or the next of its kind
            self._begun, self._next = None, now if running else self._quiet_since + self.every_seconds
        if self._begun is None and done:
            self._begun = now, done  # what was done before, and the time until then, say nothing of the rate
        since, before = self._begun or (now, done)
        rate = max(0.0, (done - before) / max(now - since, 1e-9))
        left = (total - done) / rate if total and rate > 0 else None
        self.state = State(what, done, total, unit, running, rate, left)
        self.show(self.state)

    def show(self, state: State) -> None:
        """Say it, where it is time to."""
        if state.is_news:
            self.tell(printable(state.what))
        elif self.clock() >= self._next:
            self._quiet_since = self.clock()
            self._next = self._quiet_since + self.every_seconds
            self.tell(line(state))


def line(state: State, most_named: int | None = MAX_NAMED) -> str:
    """One line of text: how much of what, how fast, how long still; of training also what each run does."""
    if state.running:
        return _training(state, most_named)
    if state.is_news:
        return printable(state.what)
    if state.unit == "seconds":
        return f"{printable(state.what)}: {duration(state.done)} so far"
    done, total, rate = (_count(count, state.unit) for count in (state.done, state.total, state.per_second))
    unit = "MB" if state.unit == "bytes" else state.unit
    parts = [f"{printable(state.what)}: {done}{f' of {total}' if state.total else ''} {unit}"]
    parts += [f"{rate} {unit}/s"] if rate.strip("0.") else []  # one that rounds to 0 says nothing
    parts += [f"{duration(state.seconds_left)} left"] if state.seconds_left is not None else []
    return ", ".join(parts)


def _count(count: float, unit: str) -> str:
    return f"{count / 1e6:.1f}" if unit == "bytes" else f"{count:,.0f}"


def _training(state: State, most_named: int | None) -> str:
    at_work = [run for run in state.running if run.phase not in ("waiting", "over")]
    parts = []
    if state.share < 1:
        parts.append(f"{min(99, int(100 * state.share))} % trained")
        if state.per_second > 0:
            parts.append(f"{state.per_second:,.0f} {state.unit}/s")
        if shares := [run.utilization for run in at_work if run.utilization > 0]:
            parts.append(f"{100 * sum(shares) / len(shares):.0f} % of the product peak")
        if state.seconds_left is not None:
            parts.append(f"{duration(max(1.0, state.seconds_left))} left")
    else:  # measuring takes its own time, so that no share of it and no remaining time is claimed here
        parts.append("trained, measuring" if at_work else "trained")
    if len(state.running) > 1:
        parts.append(f"{sum(run.phase == 'over' for run in state.running)} of {len(state.running)} runs done")
    named = at_work[:most_named]
    more = len(at_work) - len(named)
    runs = [_run(run) for run in named if run.label] + ([f"{more} more"] if more else [])
    return f"{', '.join(parts)}{'; ' if runs else ''}{', '.join(runs)}"


def _run(run: Running) -> str:
    share = f" {min(99, int(100 * run.done))} %" if run.done > 0 else ""
    which = f": trial {printable(run.trial)}" if run.trial else f" seed {run.seed}"
    return f"{printable(run.label)}{which}: {printable(run.phase)}{share}"


def duration(seconds: float) -> str:
    """A time for people, rounded to what they would say.

    Example:
        >>> duration(45.2), duration(512), duration(3840), duration(200_000)
        ('45 s', '8 min 32 s', '1 h 04 min', '2 d 8 h')
    """
    if not math.isfinite(seconds):
        return "an unknown time"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(whole / 60)
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(whole / 3600)
    return f"{hours // 24} d {hours % 24} h"
