"""Runs of submissions and baselines over seeds, each in a process of the host's own; those that are done are kept."""

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from losslab import machine, processes, records
from losslab.arena import tiers
from losslab.arena.home import Board
from losslab.config import digest
from losslab.records import files
from losslab.untrusted import one_line

WORKER = "losslab.arena.worker"
GRACE_SECONDS = 900.0  # beyond the wall time of a run: starting, repeating calls, measuring
LEAVE_SECONDS = 60.0
MOST_BYTES = 1_000_000  # of an answer


@dataclass(frozen=True)
class Entry:
    """What is trained: a formula, the texts of its files, and what it sets of the recipe."""

    formula: str
    files: dict = field(default_factory=dict)
    overrides: dict = field(default_factory=dict)

    @property
    def digest(self) -> str:
        return digest([self.formula, self.files, self.overrides])


def run(
    board: Board, entry: Entry, seeds: Sequence[int], split: str, *, workers: int = 0,
    tell: Callable[[str], None] = lambda text: None,
) -> dict[int, dict]:
    """Train and measure an entry on each seed; the first that does not finish ends the others.

    Args:
        board: that it is run for.
        entry: what is trained.
        seeds: of the host.
        split: `tune` for visible tests, `val` for the board.
        workers: runs at once; 0 is one a core.
        tell: takes sentences for people.

    Returns:
        what `worker.run` returns, by seed, of those that ended.
    """
    runs = board.path / "runs" / entry.digest
    with _held(runs, tell):
        return _run(board, entry, {seed: runs / f"{split}-seed{seed}" for seed in seeds}, split, workers, tell)


def _run(
    board: Board, entry: Entry, places: dict[int, Path], split: str, workers: int, tell: Callable[[str], None],
) -> dict[int, dict]:
    seeds = list(places)
    found = {seed: kept for seed in seeds if (kept := _kept(places[seed])) is not None}
    todo = [seed for seed in seeds if seed not in found]
    running: dict[int, _Run] = {}
    lost: set[int] = set()
    try:
        while todo or running:
            while todo and len(running) < (workers or machine.cores()):
                seed = todo.pop(0)
                running[seed] = _Run(board, entry, seed, split, places[seed])
            for seed, one in list(running.items()):
                if (ended := one.ended()) is None:
                    continue
                running.pop(seed).close()
                if ended.pop("unanswered", False) and seed not in lost:  # killed, such as for want of memory
                    tell(f"{entry.formula}: {ended['reason']}; it is started once more")
                    lost.add(seed)
                    todo.insert(0, seed)
                    continue
                found[seed] = ended
                tell(f"{entry.formula}: {len(found)} of {len(seeds)} seeds, {ended['status']}"
                     + (f": {ended['reason']}" if ended["reason"] else ""))
                if ended["status"] != "finished":
                    return {seed: found[seed] for seed in seeds if seed in found}
                files.write_sealed(places[seed].with_suffix(".json"), ended | {"format": 1})
            time.sleep(0.1)
    finally:
        for one in running.values():
            one.close()
    return {seed: found[seed] for seed in seeds}


def status(found: dict[int, dict]) -> tuple[str, str]:
    """Of an entry over all its seeds: `finished`, or how the first that did not ended, and why."""
    bad = next((one for one in found.values() if one["status"] != "finished"), None)
    return (bad["status"], bad["reason"]) if bad else ("finished", "")


def weakest(found: dict[int, dict]) -> str:
    """The weakest tier that any of the runs had."""
    return min((one["tier"] for one in found.values() if "tier" in one), key=tiers.WEAKEST_FIRST.index, default="")


@contextlib.contextmanager
def _held(folder: Path, tell: Callable[[str], None]) -> Iterator[None]:
    """The lock on the runs of an entry, waited for: another workspace may be running the same, such as a baseline."""
    told = False
    with contextlib.ExitStack() as held:
        while True:
            try:
                held.enter_context(records.lock(folder, "the runs in"))
                break
            except records.StoreBusy as busy:
                if not told:
                    tell(f"waiting: {busy}")
                told = True
                time.sleep(1)
        yield


def _left(place: Path) -> None:
    """Wait until the worker of a command that was killed has left the folder, which it does once it sees that.

    Raises:
        records.StoreBusy: where it does not.
    """
    deadline = time.monotonic() + LEAVE_SECONDS
    while records.is_locked(place):
        if time.monotonic() > deadline:
            raise records.StoreBusy(f"{place} is in use by another losslab; wait for it")
        time.sleep(0.1)


def _kept(place: Path) -> dict | None:
    try:
        return files.read_sealed(place.with_suffix(".json"), 1, always=True)
    except (FileNotFoundError, ValueError):
        return None


class _Run:
    """One worker, watched."""

    def __init__(self, board: Board, entry: Entry, seed: int, split: str, place: Path):
        _left(place)
        if place.exists():  # broken off: what a jail was asked then is not known any more
            shutil.rmtree(place)
        place.parent.mkdir(parents=True, exist_ok=True)
        self.context = processes.workplace()
        self.room = self.context.__enter__()
        request = {"challenge": board.challenge.to_dict(), "formula": entry.formula, "files": entry.files,
                   "overrides": entry.overrides, "seed": seed, "split": split, "folder": str(place),
                   "tiers": tiers.at_least(board.challenge.tier)}
        self.process = processes.start(
            processes.ordinary(WORKER), json.dumps(request), self.room / "answer", self.room / "said",
            env=processes.inherited() | processes.thread_variables(1),
        )
        self.deadline = time.monotonic() + board.challenge.budget.seconds + GRACE_SECONDS

    def ended(self) -> dict | None:
        """How it ended; None while it runs."""
        if self.process.poll() is None:
            if time.monotonic() < self.deadline:
                return None
            return {"status": "killed", "reason": "the run took longer than its wall time, and its end with it"}
        with open(self.room / "answer", "rb") as file:
            raw = file.read(MOST_BYTES)
        try:
            return json.loads(raw)
        except ValueError:
            said = (self.room / "said").read_text("utf-8", "replace").strip().splitlines()
            why = f"the process of the host ended ({said[-1] if said else ''}; code {self.process.returncode})"
            return {"status": "failed", "reason": one_line(why), "unanswered": True}

    def close(self) -> None:
        processes.end(self.process)
        self.context.__exit__(None, None, None)
