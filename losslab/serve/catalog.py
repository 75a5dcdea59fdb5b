"""What a served folder holds: its stores and the rows of their runs, kept in memory and looked at again.

A store of ten thousand runs is read once, through its index. After that only what can change is looked at: folders
whose time of change is another one, runs that have not ended, and a few of the others each time.
"""

import hashlib
import os
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from losslab import records
from losslab.records import index
from losslab.records.index import Row
from losslab.serve.folder import Folder
from losslab.words import printable

LEAST_SECONDS = 0.5  # between two looks at the disk
MOST_DEPTH, MOST_FOLDERS = 4, 1_000  # of folders in folders
SWEPT = 50  # runs that ended which are looked at again in one go
NOT_ENTERED = ("checkpoint", "rows", "games")
KINDS = {"ladder.toml": "ladder", "stages.toml": "stages", "study.toml": "study"}


class Catalog:
    """The stores below a folder.

    Args:
        root: the folder that is served.
        clock: seconds of a clock that only goes forward.

    Raises:
        ValueError: for what is no store, saying what would do.
    """

    def __init__(self, root: str | Path, *, clock=time.monotonic):
        self.root, self.clock = Path(root), clock
        self.version = 0
        """Counts the changes that were seen."""
        self._lock = threading.RLock()
        self._folders: dict[str, Folder] = {}
        self._next, self._swept = 0.0, 0
        self._ended: list[tuple[Folder, str]] | None = None
        """The runs that ended; None where they are to be listed anew."""
        _check(self.root)
        self._add(self.root, "", 0)
        self.refresh()
        if not any(folder.rows or folder.kind != "store" for folder in self._folders.values()) and _is_used(self.root):
            raise ValueError(printable(f"{self.root} holds no run, no study and no ladder; give a store of runs, or a "
                                       "new empty folder in which runs will be"))

    # --- reading -------------------------------------------------------------------------------

    def stores(self) -> list[Folder]:
        """The folders that hold runs, or the file of a study or ladder, by name."""
        with self._lock:
            return sorted((folder for folder in self._folders.values() if folder.rows or folder.kind != "store"),
                          key=lambda folder: folder.name)

    def store(self, name: str) -> Folder | None:
        with self._lock:
            found = self._folders.get(name)
            return found if found and (found.rows or found.kind != "store") else None

    def rows(self, stores: Iterable[Folder] | None = None) -> Iterator[tuple[Folder, Row]]:
        """Every run with its store; of all stores but trials, unless some are given."""
        with self._lock:
            chosen = [each for each in self.stores() if each.kind != "trials"] if stores is None else stores
            return iter([(folder, row) for folder in chosen for row in folder.rows.values()])

    def run(self, address: str) -> tuple[Folder, Row] | None:
        """The run at an address, which is looked up among those that are known: no path is made of it."""
        store, _, name = address.rpartition("/")
        with self._lock:
            folder = self._folders.get(store)
            if folder is None:
                return None
            row = folder.rows.get(name) or next((r for n, r in folder.rows.items() if _spelled(n) == name), None)
            return (folder, row) if row else None

    def refresh(self, *, now: bool = False) -> int:
        """Look at what may have changed, unless that was done a moment ago; the version."""
        with self._lock:
            if not now and self.clock() < self._next:
                return self.version
            for name in list(self._folders):
                if name in self._folders:
                    self._look(self._folders[name])
            self._sweep()
            self._next = self.clock() + LEAST_SECONDS
            return self.version

    # --- looking -------------------------------------------------------------------------------

    def _add(self, path: Path, name: str, depth: int) -> None:
        if len(self._folders) < MOST_FOLDERS:
            self._folders[name] = Folder(path, name, depth)

    def _look(self, folder: Folder) -> None:
        try:
            changed = os.stat(folder.path).st_mtime_ns
        except OSError:
            self._drop(folder)
            return
        if changed != folder.changed:
            self._list(folder, changed)
        for name in folder.inner & self._new_runs(folder):  # its spec.json is written after the folder is made
            folder.inner.discard(name)
            self._folders.pop(_joined(folder.name, name), None)
            self._ended = None
            self._read(folder, name)
        for name in sorted(folder.going):
            self._again(folder, name, folder.rows[name])

    def _new_runs(self, folder: Folder) -> set[str]:
        return {name for name in folder.inner if records.is_run(folder.path / name)}

    def _list(self, folder: Folder, changed: int) -> None:
        first, folder.changed = folder.changed < 0, changed
        try:
            with os.scandir(folder.path) as entries:
                names = {entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()}
        except OSError:
            names = set()
        folder.kind = "trials" if folder.path.name == "trials" else next(
            (kind for file, kind in KINDS.items() if (folder.path / file).is_file()), "store")
        if first:
            try:
                rows = index.rows(folder.path)
            except ValueError:
                rows = []
            for row in rows:
                if row.path != str(folder.path):
                    folder.put(os.path.basename(row.path), row)
            self.version += bool(folder.rows)
        gone = folder.rows.keys() - names
        for name in gone:
            folder.take(name)
        self.version += bool(gone)
        self._ended = None
        for name in names - folder.rows.keys() - folder.inner:
            if records.is_run(folder.path / name):
                self._read(folder, name)
            elif folder.depth < MOST_DEPTH and name not in NOT_ENTERED:
                folder.inner.add(name)
                self._add(folder.path / name, _joined(folder.name, name), folder.depth + 1)
                if (inner := self._folders.get(_joined(folder.name, name))) and first:
                    self._look(inner)
        folder.inner &= names

    def _drop(self, folder: Folder) -> None:
        """What is gone is shown no more; the served folder itself stays, and is empty."""
        self.version += bool(folder.rows)
        if folder.name:
            self._folders.pop(folder.name, None)
        else:
            for name in list(folder.rows):
                folder.take(name)
            folder.changed = -1
        self._ended = None

    def _read(self, folder: Folder, name: str) -> None:
        place = str(folder.path / name)
        folder.stamps[name] = index.stamp_of(place)
        row = index.row(place)
        if folder.rows.get(name) != row:
            self._put(folder, name, row)

    def _again(self, folder: Folder, name: str, row: Row) -> None:
        stamp = index.stamp_of(row.path)
        if folder.stamps.get(name) != stamp:
            self._read(folder, name)
        elif not row.problem and (status := records.record.status_of(Path(row.path), {})) != row.status:
            self._put(folder, name, replace(row, status=status))

    def _put(self, folder: Folder, name: str, row: Row) -> None:
        if folder.put(name, row):
            self._ended = None
        self.version += 1

    def _sweep(self) -> None:
        """Some of the runs that have ended, in turn: they may be tagged, or measured again."""
        if self._ended is None:
            self._ended = [(folder, name) for folder in self._folders.values()
                           for name in folder.rows if name not in folder.going]
        ended = self._ended
        for i in range(min(SWEPT, len(ended))):
            folder, name = ended[(self._swept + i) % len(ended)]
            stamp = index.stamp_of(str(folder.path / name))
            if folder.stamps.setdefault(name, stamp) != stamp:
                self._read(folder, name)
        self._swept = (self._swept + SWEPT) % max(1, len(ended))


def address(folder: Folder, row: Row) -> str:
    """Where a run is found: its store and its folder."""
    return _joined(folder.name, _spelled(os.path.basename(row.path)))


def _spelled(name: str) -> str:
    """A folder's name as an address has it: what is no plain text is named by its digest."""
    if name.isprintable() and name.isascii():
        return name
    return "~" + hashlib.sha256(os.fsencode(name)).hexdigest()[:16]


def _joined(store: str, name: str) -> str:
    return f"{store}/{name}" if store else name


def _check(root: Path) -> None:
    if not root.exists():
        raise ValueError(printable(f"there is no folder {root}; give a store of runs, such as runs"))
    if not root.is_dir():
        raise ValueError(printable(f"{root} is a file, and a store of runs is a folder; give that"))
    if records.is_run(root):
        raise ValueError(printable(f"{root} is one run; give the store that it lies in: {root.resolve().parent}"))
    if not os.access(root, os.R_OK | os.X_OK):
        raise ValueError(printable(f"{root} may not be read by you; give a folder that you may read"))


def _is_used(root: Path) -> bool:
    return any(not name.startswith(".") for name in os.listdir(root))
