"""What a submitter has done, entry by entry: the budget is counted here, and never in the workspace.

Each entry is written twice, as a line of `ledger.jsonl` and as a file in `records/`, and holds a digest of all before
it. Damage to one is mended from the other; where both are damaged, everything stops.
"""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

from losslab.records import files

FIRST = "0" * 64
SPENDS = {"actions": ("edit", "undo", "test"), "tests": ("test",), "submissions": ("submit",)}


class Ledger:
    """The entries of one workspace, in a folder of the host; its user holds the lock of that folder.

    Args:
        folder: of the host, not of the workspace.
        tell: takes a sentence where damage was found and mended.
        mends: False for a reader without the lock, who writes nothing: what looks like damage may be an entry that
            another process is just writing.

    Raises:
        ValueError: where entries are lost.
    """

    def __init__(self, folder: Path, tell: Callable[[str], None] = lambda text: None, *, mends: bool = True):
        self.folder, self.path, self.records = folder, folder / "ledger.jsonl", folder / "records"
        self.entries = self._read(tell, mends)

    def add(self, verb: str, **details) -> dict:
        """Write down one entry; it is on disk when this returns."""
        entry = {"n": len(self.entries), "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "verb": verb,
                 **details}
        entry["chain"] = _chain(self.entries[-1]["chain"] if self.entries else FIRST, entry)
        self.records.mkdir(parents=True, exist_ok=True)
        files.write_whole(self._record(entry["n"]), _line(entry))
        self.entries.append(entry)
        files.write_whole(self.path, b"".join(map(_line, self.entries)))
        return entry

    def spent(self, what: str) -> int:
        """How many of `actions`, `tests` or `submissions` were used."""
        return sum(entry["verb"] in SPENDS[what] for entry in self.entries)

    def _record(self, number: int) -> Path:
        return self.records / f"{number:06d}.json"

    def _read(self, tell: Callable[[str], None], mends: bool) -> list[dict]:
        try:
            lines = files.read_bytes(self.path).splitlines()
        except (FileNotFoundError, ValueError) as error:
            lines, why = [], "it is gone" if isinstance(error, FileNotFoundError) else "it is no plain file"
        else:
            why = ""
        entries = _whole(lines)
        if not why and len(entries) < len(lines):
            why = f"line {len(entries) + 1} is not what was written"
        saved, count = [], 0
        if self.records.is_dir():
            names = sorted(path.name for path in self.records.iterdir() if path.name.endswith(".json"))
            count = len(names)
            saved = _whole([_bytes(self.records / name) for name in names])
        if not why and len(entries) >= count:
            for entry in entries[len(saved):] if mends else ():  # a record that is gone or damaged
                self.records.mkdir(exist_ok=True)
                files.write_whole(self._record(entry["n"]), _line(entry))
            return entries
        if not count and not lines:
            return []
        if len(saved) < count or len(saved) < len(entries):
            raise ValueError(f"{self.path} is damaged ({why or 'its end is gone'}), and so are its records: what was "
                             "spent is not known; put back a copy of that folder, or make a new workspace")
        if not mends:
            return saved
        files.set_aside(self.path)
        files.write_whole(self.path, b"".join(map(_line, saved)))
        tell(f"{self.path} was damaged ({why or 'its end is gone'}); it was rebuilt from its {len(saved)} records")
        return saved


def _line(entry: dict) -> bytes:
    return json.dumps(entry, sort_keys=True, ensure_ascii=True).encode() + b"\n"


def _chain(before: str, entry: dict) -> str:
    bare = {key: value for key, value in entry.items() if key != "chain"}
    return hashlib.sha256(before.encode() + _line(bare)).hexdigest()


def _bytes(path: Path) -> bytes:
    try:
        return files.read_bytes(path)
    except (OSError, ValueError):
        return b""


def _whole(lines: list[bytes]) -> list[dict]:
    """The entries up to the first that is not what was written."""
    found, chain = [], FIRST
    for line in lines:
        try:
            entry = files.parse(line)
            good = isinstance(entry, dict) and entry.get("n") == len(found) and entry["chain"] == _chain(chain, entry)
        except (ValueError, KeyError, TypeError):
            good = False
        if not good:
            break
        found.append(entry)
        chain = entry["chain"]
    return found
