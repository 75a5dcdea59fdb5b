"""The line on a terminal that shows how far things are, and its like where there is no terminal."""

import os
import sys
import time
from collections.abc import Callable
from typing import ClassVar, TextIO

from losslab.progress import Running, State, duration
from losslab.words import printable, shorten

BAR_CELLS = 20
MIN_WIDTH = 20
MAX_NAMED = 4  # runs that are named where the line is not cut to a width
CLEAR = "\r\033[K"  # back to the first column, and clear to the end; no color


def is_terminal(stream: TextIO) -> bool:
    """Whether a line on this stream can be written over."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def columns(stream: TextIO) -> int:
    """The width that is there for text: `COLUMNS` where the user set it, else the terminal's, else 80."""
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given) > 0:
        return max(MIN_WIDTH, int(given))
    try:
        found = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError, AttributeError):  # not a terminal, or a stream without a file
        found = 0
    return max(MIN_WIDTH, found or 80)


def bar(share: float) -> str:
    filled = int(BAR_CELLS * min(1.0, max(0.0, share)))
    return f"[{'#' * filled}{'.' * (BAR_CELLS - filled)}]"


def line(state: State, *, with_bar: bool = False) -> str:
    """One line of text: training in percent, tokens and time while there is any; then what each run does."""
    share = state.tokens_done / state.tokens if state.tokens else 1.0
    parts = []
    if share < 1:
        parts.append(f"{min(99, int(100 * share))} % trained")
        if state.tokens_per_second > 0:
            parts.append(f"{state.tokens_per_second:,.0f} tokens/s")
        if state.seconds_left is not None:
            parts.append(f"{duration(max(1.0, state.seconds_left))} left")
    else:  # measuring takes its own time, so that no share of it and no remaining time is claimed here
        parts.append("trained, measuring" if state.running else "trained")
    if state.runs > 1:
        parts.append(f"{state.runs_done} of {state.runs} runs done")
    named = state.running if with_bar else state.running[:MAX_NAMED]
    more = len(state.running) - len(named)
    runs = [text for text in map(_running, named) if text] + ([f"{more} more"] if more else [])
    return f"{bar(share) + ' ' if with_bar else ''}{', '.join(parts)}{'; ' if runs else ''}{', '.join(runs)}"


def _running(run: Running) -> str:
    if not run.label:  # the only run; the rest of the line says how far it is
        return ""
    share = f" {min(99, int(100 * run.done))} %" if run.done > 0 else ""
    return f"{printable(run.label)} seed {run.seed}: {printable(run.phase)}{share}"


class Ticker:
    """Draws a `State`: one line that is written over on a terminal, elsewhere a plain line now and then.

    Args:
        stream: standard error unless given.
        every_seconds: between plain lines.
        clock: seconds of a clock that only goes forward.
    """

    current: ClassVar["Ticker | None"] = None  # the one whose line stands on the terminal

    def __init__(self, stream: TextIO | None = None, *, every_seconds: float = 15.0,
                 clock: Callable[[], float] = time.monotonic):  # fmt: skip
        self._stream, self.every_seconds, self._clock = stream, every_seconds, clock
        self._last: float | None = None
        self._drawn = ""

    @property
    def stream(self) -> TextIO:
        return self._stream or sys.stderr

    def __call__(self, state: State | str) -> None:
        """Show the state, or a sentence in its place."""
        if is_terminal(self.stream):
            text = printable(state) if isinstance(state, str) else line(state, with_bar=True)
            # the last column stays free: a cursor behind it may already have moved to the next line
            self._drawn, Ticker.current = shorten(text, columns(self.stream) - 1), self
            self._write(CLEAR + self._drawn)
        elif self._last is None or self._clock() - self._last >= self.every_seconds:
            self._last = self._clock()
            self._write((printable(state) if isinstance(state, str) else line(state)) + "\n")

    def say(self, text: str) -> None:
        """A line that stays: above the one that is written over."""
        self._write(f"{CLEAR if self._drawn else ''}{text}\n{self._drawn}")

    def close(self) -> None:
        """Take the line away; what comes next begins in the first column."""
        if self._drawn:
            self._write(CLEAR)
        self._drawn, Ticker.current = "", None

    def _write(self, text: str) -> None:
        self.stream.write(text)
        self.stream.flush()
