"""The state of work under way, and how long, in words: what a study knows and a terminal draws."""

import math
import re
from dataclasses import dataclass

# C0 and C1 controls move a cursor or change a color; the rest turn the direction of a line or break it
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]|[\ud800-\udfff]")


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
        ('45 s', '8 min 32 s', '1 h 04 min', '2 d 7 h')
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


def printable(text: str) -> str:
    """A text of somebody else on one line, without the characters that control a terminal.

    Example:
        >>> printable("mse\\x1b[2J\\n: fine")
        'mse [2J : fine'
    """
    return re.sub(" +", " ", CONTROL.sub(" ", text)).strip()
