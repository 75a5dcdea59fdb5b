"""Progress while a cell runs: a bar below it in a notebook, a line on a terminal, plain lines elsewhere."""

import html
import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from losslab.drawing import Ticker
from losslab.progress import Lines, Progress, State, line, silent

Tell = Callable[[str], None]


@contextmanager
def watching(wanted: bool = True) -> Iterator[tuple[Progress, Tell]]:
    """What code that works is given: its `Progress`, and what takes a line worth keeping. Both are taken away after."""
    if not wanted:
        yield silent, lambda text: None
        return
    watcher: Panel | Ticker = Panel() if in_notebook() else Ticker()
    try:
        yield watcher, watcher.say
    finally:
        watcher.close()


def in_notebook() -> bool:
    """Whether a kernel runs this, which shows HTML below a cell."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None


class Panel(Lines):
    """Draws progress below a notebook cell: one line with a bar, written over."""

    def __init__(self, **options: Any):
        super().__init__(self.say, **options)
        self._handle: Any = None
        self._drawn = ""

    def show(self, state: State) -> None:
        if state.is_news:
            return super().show(state)
        if state.share == 1 and not state.running:
            return self.close()
        bar = "" if state.share is None else f'<progress max="1" value="{state.share:.3f}"></progress> '
        return self._draw(f"{bar}{html.escape(line(state))}")

    def say(self, text: str) -> None:
        """A line that stays."""
        print(text, flush=True)

    def close(self) -> None:
        """Take the line away."""
        if self._drawn:
            self._draw("")

    def _draw(self, text: str) -> None:
        if text == self._drawn:
            return
        display: Any = importlib.import_module("IPython.display")  # there is one: a kernel runs

        if self._handle is None:
            self._handle = display.display(display.HTML(text), display_id=True)
        else:
            self._handle.update(display.HTML(text))
        self._drawn = text
