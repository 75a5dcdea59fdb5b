"""The state of work under way, and how long, in words: what a study knows and a terminal draws."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Running:
    """One run at work.

    Args:
        label: the name of its loss or arm, as its author wrote it.
        phase: `starting`, `training` or `measuring`.
        done: how much of the phase is done, from 0 to 1.
    """

    label: str
    seed: int
    phase: str = "starting"
    done: float = 0.0


@dataclass(frozen=True)
class State:
    """How far some runs have come, all of them together.

    Args:
        tokens_done: trained so far, in the runs that are part of this work.
        tokens: to be trained in all.
        tokens_per_second: over the runs at once; 0 while it is not known.
        seconds_left: until the last token is trained; None while it is not known.
        running: the runs at work now.
    """

    runs_done: int
    runs: int
    tokens_done: int
    tokens: int
    tokens_per_second: float = 0.0
    seconds_left: float | None = None
    running: tuple[Running, ...] = ()


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
