"""What a store holds, one row per run: read from the folders, and remembered in `.index.sqlite` for the next time.

The index is read by lists alone, never by a verdict or by `records.read`. It is made from the folders whenever it is
missing, damaged or of another version, and a store where it cannot be written is read without it. It is read and
written as one plain file and worked on in memory, so no journal that somebody put in the same folder is ever followed.
Its last bytes are the sha256 of all before: SQLite itself would read a turned bit of a score as another score.
"""

import contextlib
import hashlib
import itertools
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from losslab import config as configuration
from losslab.records import files
from losslab.records.record import Record, is_run, names, read_result, read_spec, status_of
from losslab.records.tags import read_tags

try:
    import sqlite3
except ImportError:  # a Python built without it: stores are read from their folders
    sqlite3 = None

NAME = ".index.sqlite"
WORTH_KEEPING = 50  # runs read anew; a small store is left as it is
MOST_BYTES = 512 << 20
DIGEST_BYTES = 32
UNREADABLE = "unreadable"
SCHEMA = (
    "CREATE TABLE settings (id INTEGER PRIMARY KEY, named TEXT)",
    f"CREATE TABLE runs (name BLOB, stamp TEXT, loss TEXT, seed INTEGER, condition_{configuration.VERSION} TEXT, "
    "corpus TEXT, digest TEXT, ended TEXT, nll REAL, tags TEXT, problem TEXT, settings INTEGER)",
)
KINDS = ((bytes,), (str,), (str,), (int, type(None)), (str,), (str, type(None)), (str, type(None)), (str,),
         (float, type(None)), (str,), (str,), (int,))  # of the columns of `runs`; untrusted text is only shown


@dataclass(frozen=True)
class Row:
    """What a list says of a run; everything but the path may come from somebody else."""

    path: str
    status: str
    """One of `STATUSES`, or `unreadable`, and then `problem` says why."""
    loss: str
    seed: int | None
    condition: str
    corpus: str | None
    digest: str | None
    nll: float | None
    tags: tuple[str, ...]
    settings: dict
    """Dotted names -> values, `loss` and `seed` left out."""
    problem: str = ""


def rows(store: str | Path) -> list[Row]:
    """The runs of a store by name, and the store itself where it is a run too.

    Raises:
        ValueError: if there is no such folder.
    """
    store = Path(store)
    found = names(store)
    place = "" if str(store) == "." else os.path.join(store, "")
    known, settings = _load(store / NAME)
    texts = {text: number for number, (text, _) in settings.items()}
    free = itertools.count(max(settings, default=-1) + 1)
    entries, news = [], 0
    for name in found:
        stamp = stamp_of(place + name)
        entry = known.get(os.fsencode(name))
        if entry is None or entry[1] != stamp:
            looked = _look(store / name)
            own = looked.pop("settings")
            text = json.dumps(own)
            if text not in texts:
                texts[text] = number = next(free)
                settings[number] = text, own
            entry, news = (os.fsencode(name), stamp, *looked.values(), texts[text]), news + 1
        entries.append(entry)
    if news >= WORTH_KEEPING or (known and (news or len(known) != len(entries))):
        _save(store / NAME, entries, settings)
    rows = [_row(place + name, entry[2:-1], settings[entry[-1]][1])
            for name, entry in zip(found, entries, strict=True)]
    if is_run(store):
        rows.insert(0, row(store))
    return rows


def row(folder: str | Path) -> Row:
    """One run as its folder tells it now, without the index; what cannot be read is said in `problem`."""
    looked = _look(Path(folder))
    return _row(str(folder), list(looked.values())[:-1], looked["settings"])


FIELDS = ("loss", "seed", "condition", "corpus", "digest", "ended", "nll", "tags", "problem")


def _row(path: str, entry: Sequence, settings: dict) -> Row:
    loss, seed, condition, corpus, digest, ended, nll, tags, problem = entry
    status = UNREADABLE if problem else ended or status_of(Path(path), {})
    return Row(path, status, loss, seed, condition, corpus, digest, nll, tuple(tags.split()), settings, problem)


def _look(folder: Path) -> dict:
    """A run as its folder tells it now; what cannot be read is said in `problem`."""
    entry = dict.fromkeys(FIELDS, "") | {"seed": None, "corpus": None, "digest": None, "nll": None, "settings": {}}
    entry["tags"] = " ".join(read_tags(folder))
    try:
        spec = read_spec(folder)
        config, corpus = spec["config"], spec["corpus"]
        entry |= {"loss": config["loss"], "seed": config["seed"], "condition": spec["condition"],
                  "corpus": corpus["name"], "digest": corpus["digest"], "settings": flat(config)}
        result = read_result(folder)
        entry |= {"ended": result.get("status", ""), "nll": nll(Record(folder, spec, {}, result, ""))}
    except ValueError as error:
        entry["problem"] = str(error)
    return entry


def nll(record: Record) -> float | None:
    """The nll of a run under the shortest of its names; a stride is part of a name."""
    found = [name for name in record.scores if re.fullmatch(r"nll(_stride_\d+)?", name)]
    value = record.scores[min(found, key=len)]["value"] if found else None
    return None if value is None else float(value)


def flat(config: dict) -> dict:
    """Dotted setting -> value, the loss and the seed aside."""
    return {key: value for key, value in configuration.flatten(config).items() if key not in ("loss", "seed")}


def stamp_of(folder: str) -> str:
    """Changes when a document of the run does; its log and its lock are none."""
    stamp = []
    for name in ("spec.json", "result.json", "tags.json"):
        try:
            found = os.lstat(f"{folder}/{name}")
        except OSError:
            stamp.append("-")
        else:
            stamp.append(f"{found.st_mtime_ns}.{found.st_ctime_ns}.{found.st_size}")
    return " ".join(stamp)


# --- the file ----------------------------------------------------------------------------------

def _load(path: Path) -> tuple[dict, dict]:
    """Name -> columns, and number -> settings as text and values; both empty where the index cannot be believed."""
    if sqlite3 is None:
        return {}, {}
    try:
        raw = files.read_bytes(path, MOST_BYTES)
        data = raw[:-DIGEST_BYTES]
        if hashlib.sha256(data).digest() != raw[-DIGEST_BYTES:]:
            return {}, {}
        with contextlib.closing(sqlite3.connect(":memory:")) as index:
            index.deserialize(data)
            index.execute("PRAGMA trusted_schema=OFF")
            made = index.execute("SELECT sql FROM sqlite_master").fetchall()
            if sorted(sql for (sql,) in made) != sorted(SCHEMA):
                return {}, {}
            texts = dict(index.execute("SELECT id, named FROM settings"))
            entries = index.execute("SELECT * FROM runs").fetchall()
        settings = {number: (text, _settings(text)) for number, text in texts.items()}
        for entry in entries:
            if not all(map(isinstance, entry, KINDS)) or entry[-1] not in settings:
                return {}, {}
    except (OSError, ValueError, TypeError, MemoryError, sqlite3.Error):
        return {}, {}
    return {entry[0]: entry for entry in entries}, settings


def _settings(text: str) -> dict:
    if not isinstance(text, str):
        raise ValueError("no settings")
    value = files.parse(text.encode())
    if not isinstance(value, dict) or any(isinstance(found, dict) for found in value.values()):
        raise ValueError("no settings")
    return value


def _save(path: Path, entries, settings: dict) -> None:
    """Keep the rows for the next time, if that can be done; settings that no run has any more are left out."""
    if sqlite3 is None:
        return
    entries = list(entries)
    used = {entry[-1] for entry in entries}
    try:
        with contextlib.closing(sqlite3.connect(":memory:")) as index:
            for statement in SCHEMA:
                index.execute(statement)
            index.executemany("INSERT INTO settings VALUES (?, ?)",
                              [(number, text) for number, (text, _) in settings.items() if number in used])
            index.executemany(f"INSERT INTO runs VALUES ({', '.join('?' * len(KINDS))})", entries)
            index.commit()
            data = index.serialize()
            files.write_whole(path, data + hashlib.sha256(data).digest())
    except (OSError, ValueError, sqlite3.Error):
        pass  # a store that cannot be written, or a name that is no text: read from its folders again
