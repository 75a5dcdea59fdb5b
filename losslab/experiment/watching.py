"""What a training process writes while it runs, read by the process that waits for it, which believes none of it."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from losslab import untrusted

AT_ONCE = 1_000_000  # bytes of a file that are read at once
LONGEST = 100_000  # bytes of a line


class Watch:
    """New lines of the log, and new sentences on standard error, as they come."""

    def __init__(self, folder: Path, said: Path):
        self._log, self._said = _Tail(folder / "log.jsonl", at_end=True), _Tail(said)
        self.any_line = False
        self.last_sentence = ""

    def new_lines(self) -> Iterator[dict]:
        """Lines of the log as numbers by name; what is anything else is left out."""
        for text in self._log.new():
            with contextlib.suppress(ValueError, RecursionError):
                line = json.loads(text)
                if isinstance(line, dict):
                    line = {key: value for key, value in line.items() if _is_number(value)}
                    if {"step", "tokens", "seconds"} <= line.keys():
                        self.any_line = True
                        yield line

    def new_sentences(self) -> Iterator[str]:
        for text in self._said.new():
            if text.strip():
                self.last_sentence = text
                yield text

    def said_last(self, letters: int) -> str:
        """The end of what it said, for the run folder."""
        return self._said.kept[-letters:]


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and -(2.0**63) <= value < 2.0**63  # a whole number may be beyond all floats


class _Tail:
    """The lines that were added to a file since the last look; of a file that is none, nothing."""

    def __init__(self, path: Path, *, at_end: bool = False):
        self.path, self.rest, self.kept = path, b"", ""
        self.place = 0
        if at_end:
            with contextlib.suppress(OSError):
                self.place = os.lstat(path).st_size

    def new(self) -> Iterator[str]:
        for line in self._lines():
            text = line[:LONGEST].decode("utf-8", "replace")
            self.kept = (self.kept + text + "\n")[-LONGEST:]
            yield text

    def _lines(self) -> list[bytes]:
        try:
            with untrusted.open_file(self.path) as file:
                size = os.fstat(file.fileno()).st_size
                if size < self.place:  # the worker cut the log back to its checkpoint
                    self.place, self.rest = size, b""
                file.seek(self.place)
                new = file.read(AT_ONCE)
        except (ValueError, OSError):
            return []
        self.place += len(new)
        *lines, self.rest = (self.rest + new).split(b"\n")
        self.rest = self.rest[-LONGEST:]
        return lines


def keep_text(path: Path, text: str) -> None:
    """Write a note for people into a run folder, in place of whatever lies there."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644), "w", encoding="utf-8") as file:
            file.write(text)
