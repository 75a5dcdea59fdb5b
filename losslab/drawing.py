"""The line on a terminal that shows how far things are, and how wide a terminal is."""

import os
import sys
from typing import ClassVar, TextIO

from losslab.progress import Lines, State, line
from losslab.words import shorten

BAR_CELLS = 20
MIN_WIDTH = 20
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


class Ticker(Lines):
    """Draws progress: one line that is written over on a terminal, elsewhere a plain line now and then.

    Args:
        stream: standard error unless given.
        options: of `Lines`.
    """

    current: ClassVar["Ticker | None"] = None  # the one whose line stands on the terminal

    def __init__(self, stream: TextIO | None = None, **options):
        super().__init__(self.say, **options)
        self._stream, self._drawn = stream, ""

    @property
    def stream(self) -> TextIO:
        return self._stream or sys.stderr

    def show(self, state: State) -> None:
        if state.is_news or not is_terminal(self.stream):
            return super().show(state)
        if state.share == 1 and not state.running:  # what comes next may take long without a word
            return self.close()
        text = line(state, most_named=None)
        if state.share is not None:
            text = f"{bar(state.share)} {text}"
        # the last column stays free: a cursor behind it may already have moved to the next line
        self._drawn, Ticker.current = shorten(text, columns(self.stream) - 1), self
        self._write(CLEAR + self._drawn)

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
