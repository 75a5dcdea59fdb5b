"""Earlier verdicts over the runs of a store: each at fewer seeds than now was a chance of a false verdict.

They stand in `STORE/looks.json`. A look is a set of conditions and the seeds of which it gave a verdict.
"""

import json
import time
from collections.abc import Iterable
from pathlib import Path

from losslab import untrusted
from losslab.records import files
from losslab.records.record import Record

NAME = "looks.json"
MOST = 1_000  # looks that are kept; the newest


def looks(store: str | Path, runs: Iterable[Record]) -> list[list[int]]:
    """The seeds of each earlier look at two or more conditions of these runs, whatever they were called then.

    Args:
        store: the folder of runs, which keeps the looks in `looks.json`.
        runs: the runs that are compared now.

    Returns:
        the seeds of each, oldest first; none where the file is missing or cannot be read.
    """
    runs = list(runs)
    now = {run.spec.get("earlier"): run.condition for run in runs}
    wanted = {run.condition for run in runs}
    return [look["seeds"] for look in _read(store)
            if len(wanted & {now.get(name, name) for name in look["conditions"]}) > 1]


def note_look(store: str | Path, runs: Iterable[Record], seeds: Iterable[int]) -> None:
    """Remember that a verdict over these runs and seeds was given; the same look again is one look.

    Args:
        store: the folder of runs.
        runs: the runs that were compared.
        seeds: those that had an outcome.

    Raises:
        OSError: if the store cannot be written.
    """
    look = {"conditions": sorted({run.condition for run in runs}), "seeds": sorted(set(seeds))}
    before = _read(store)
    if any({**earlier, "at": None} == {**look, "at": None} for earlier in before):
        return
    look["at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    files.write_whole(Path(store) / NAME, json.dumps({"looks": [*before, look][-MOST:]}).encode())


def _read(store: str | Path) -> list[dict]:
    """The looks that are there; what is none is left out, since it can only warn."""
    try:
        found = untrusted.read_object(Path(store) / NAME)
    except (ValueError, OSError):
        return []
    rows = found.get("looks")
    return [row for row in rows if _is_look(row)] if isinstance(rows, list) else []


def _is_look(row: object) -> bool:
    if not isinstance(row, dict) or not isinstance(row.get("at"), str):
        return False
    conditions, seeds = row.get("conditions"), row.get("seeds")
    return (isinstance(conditions, list) and all(isinstance(name, str) for name in conditions)
            and isinstance(seeds, list) and all(type(seed) is int for seed in seeds))
