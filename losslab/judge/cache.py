"""Answers that were paid for, each in its own file: a run that is killed pays for none of them again."""

import hashlib
import json
import threading
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

from losslab.corpus.disk import root
from losslab.records import files
from losslab.untrusted import one_line

FORMAT = 1


def key(value) -> str:
    """The name of what `value`, JSON, asks for."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


class Cache:
    """A folder of JSON documents by key.

    Args:
        folder: made where it is missing; the folder `judge` of losslab's cache unless given.
        tell: takes a sentence on a damaged file, which counts as none.
    """

    def __init__(self, folder: Path | None = None, tell: Callable[[str], None] = lambda text: None):
        self.folder, self.tell = folder or root() / "judge", tell
        self._busy: dict[str, list] = {}  # key -> its lock, and how many wait for it
        self._lock = threading.Lock()

    def read(self, name: str) -> dict | None:
        """The document; None where there is none, or not what was written."""
        try:
            return files.read_sealed(self._path(name), FORMAT, always=True)["found"]
        except FileNotFoundError:
            return None
        except (ValueError, OSError, KeyError) as error:
            self.tell(f"an answer that was kept cannot be read and is asked for again: {one_line(str(error))}")
            return None

    def write(self, name: str, found: dict) -> None:
        """Keep a document, whole or not at all.

        Raises:
            OSError: if it cannot be written; what is paid for and cannot be kept is reason enough to stop.
        """
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_sealed(path, {"format": FORMAT, "found": found})

    @contextmanager
    def alone(self, name: str):
        """While one thread asks, others that would ask the same wait for its answer."""
        with self._lock:
            entry = self._busy.setdefault(name, [threading.Lock(), 0])
            entry[1] += 1
        try:
            with entry[0]:
                yield
        finally:
            with self._lock:
                entry[1] -= 1
                if not entry[1]:
                    del self._busy[name]

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / f"{name}.json"
