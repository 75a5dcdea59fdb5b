"""The logs of runs as they grow: only what was added since the last look is read."""

import os
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from losslab.records import Record, checks, files
from losslab.records.logs import MOST_BYTES

MOST_KEPT = 256  # logs that are remembered


@dataclass
class _Log:
    place: int = 0
    """Bytes that were read."""
    identity: tuple = ()
    lines: list[dict] = field(default_factory=list)


class Logs:
    """Lines of `log.jsonl` by run folder; what is no line of a log is left out."""

    def __init__(self):
        self._kept: OrderedDict[str, _Log] = OrderedDict()
        self._lock = threading.Lock()

    def lines(self, folder: str | Path) -> list[dict]:
        """The lines of a run, oldest first; none where there is no log that can be read.

        A last line without its end is left for the next look.
        """
        key = str(folder)
        with self._lock:
            log = self._kept.pop(key, None) or _Log()
            self._kept[key] = log
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
            try:
                self._read(Path(folder) / "log.jsonl", log)
            except (OSError, ValueError):
                return []
            return list(log.lines)

    def _read(self, path: Path, log: _Log) -> None:
        found = os.lstat(path)
        identity = found.st_dev, found.st_ino
        if found.st_size < log.place or identity != log.identity:  # cut back by a resume, or another file
            log.place, log.lines, log.identity = 0, [], identity
        if found.st_size == log.place or found.st_size > MOST_BYTES:
            return
        with os.fdopen(files.descriptor(path, os.O_RDONLY), "rb") as file:
            file.seek(log.place)
            new = file.read(found.st_size - log.place)
        whole, end, _ = new.rpartition(b"\n")
        log.place += len(whole) + len(end)
        for piece in whole.split(b"\n"):
            try:
                line = files.parse(piece)
            except ValueError:
                continue
            if checks.log_line(line):
                log.lines.append(line)


def size(folder: str | Path) -> int:
    """Bytes of the log of a run; 0 where there is none."""
    try:
        return os.lstat(os.path.join(folder, "log.jsonl")).st_size
    except OSError:
        return 0


@dataclass(frozen=True)
class Watched(Record):
    """A run whose log is that of `Logs`, so that a growing one is not read from its start each time."""

    lines: tuple[dict, ...] = ()

    @property
    def log(self) -> list[dict]:
        return list(self.lines)

    @property
    def log_damage(self) -> str | None:
        return None
