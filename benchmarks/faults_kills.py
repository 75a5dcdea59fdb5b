"""Kills at random moments of work of each kind, and the same command again until it is done.

A kill is SIGKILL, after a time that is uniform over the undisturbed work: to the command alone (its children live on
for a while), to one of its children (training, measuring, trying), or to all of them at once, as when a machine loses
power. In the end the work must have come to what it comes to undisturbed, to the bit: weights, scores, tables, looks,
grades, entries of a ledger; and nothing may be paid for again but what was on its way when a kill came.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from faults_works import JAIL, WORKS, Work, difference

LIMIT_SECONDS = 900  # of one command; longer is a hang
MOST_TROUBLES = 20


@dataclass(frozen=True)
class Kill:
    """One kill: after how long, of which process, and in which phase."""

    number: int
    seconds: float
    victim: str  # command, child, all
    during: str


@dataclass
class Outcome:
    """What the kills of one work came to."""

    kills: list[Kill] = field(default_factory=list)
    ends: int = 0  # how often the work was carried to its end
    differing: int = 0  # of these, those that came to something else
    hangs: int = 0
    waits: int = 0  # times that a command was refused because what the killed one had started was still at work
    again: int = 0  # what was paid for twice, at most one for each kill
    troubles: list[str] = field(default_factory=list)

    def to_dict(self) -> dict:
        return asdict(self)


def run(
    folder: Path, kills: int, seed: int, tell: Callable[[str, int, int], None], *, works: Sequence[Work] = WORKS,
    keep: Callable[[str, Outcome], None] = lambda name, outcome: None,
) -> dict[str, Outcome]:
    """Works in `folder`, each killed by its share of `kills`; `keep` is given the outcome of each when it is there."""
    found, whole = {}, sum(work.share for work in works)
    for work in works:
        place, count = folder / work.name.replace(" ", "-"), max(1, round(kills * work.share / whole))
        found[work.name] = _killed(place, work, count, seed, tell)
        keep(work.name, found[work.name])
        shutil.rmtree(place)
    return found


def _killed(place: Path, work: Work, kills: int, seed: int, tell: Callable[[str, int, int], None]) -> Outcome:
    """One work, killed so often."""
    rng, outcome = random.Random(f"{seed}/kills/{work.name}"), Outcome()
    work.begin(place / "given")
    shutil.copytree(place / "given", place / "undisturbed")
    before, seconds = work.spent(), []
    for number in range(len(work.commands)):
        begun = time.monotonic()
        with _command(place / "undisturbed", work, number) as process:
            if process.wait(LIMIT_SECONDS):
                raise RuntimeError(f"{work.name} failed undisturbed: {_said(place / 'undisturbed')}")
        seconds.append(time.monotonic() - begun)
        tell(f"{work.name}, undisturbed", number + 1, len(work.commands))
    truth, cost = work.came(place / "undisturbed"), work.spent() - before
    while len(outcome.kills) < kills and len(outcome.troubles) < MOST_TROUBLES:
        at, before, hit = place / "killed", work.spent(), len(outcome.kills)
        shutil.rmtree(at, ignore_errors=True)
        shutil.copytree(place / "given", at)
        for number in range(len(work.commands)):
            _until_done(at, work, number, outcome, kills, rng, seconds[number], tell)
        outcome.ends += 1
        again, hit = work.spent() - before - cost, len(outcome.kills) - hit
        outcome.again += max(0, again)
        if again > hit:
            outcome.troubles.append(f"{again} paid for again after {hit} kills")
        if (found := _came(work, at)) != truth:
            outcome.differing += 1
            outcome.troubles.append(f"last {outcome.kills[-1:]}: {difference(truth, found)}")
    return outcome


def _came(work: Work, place: Path):
    try:
        return work.came(place)
    except (OSError, ValueError, LookupError, AssertionError) as error:
        return f"{type(error).__name__}: {error}"


def _until_done(
    place: Path, work: Work, command: int, outcome: Outcome, kills: int, rng: random.Random, seconds: float, tell,
) -> None:
    """A command again and again; killed each time while kills are left, then to its end."""
    begun = time.monotonic()
    while True:
        with _command(place, work, command) as process:
            number = len(outcome.kills)
            wait, victim = rng.uniform(0, seconds), rng.choice(("command", "child", "all"))
            code = None
            if number < kills:
                try:
                    code = process.wait(wait)
                except subprocess.TimeoutExpired:
                    if hit := _kill(process.pid, victim, rng, work.spares):
                        outcome.kills.append(Kill(number, wait, victim, hit))
                        tell(f"kills of {work.name}", number + 1, kills)
            try:
                code = process.wait(LIMIT_SECONDS) if code is None else code
            except subprocess.TimeoutExpired:
                _kill(process.pid, "all", rng)
                outcome.hangs += 1
                return
        if code == 0 or work.is_done(place, command):
            return
        said = _said(place)
        if code == 2 and "in use by another losslab" in said and time.monotonic() - begun < LIMIT_SECONDS:
            outcome.waits += 1  # what the killed command had started is still at work
            time.sleep(1)
        elif code > 0 and not (code == 6 and number < kills):
            outcome.troubles.append(f"exit code {code} after kill {number}: {said.splitlines()[-1:]}")
            if code != 6 or len(outcome.troubles) > MOST_TROUBLES:
                return


def _command(place: Path, work: Work, number: int) -> subprocess.Popen:
    with open(place.with_suffix(".said"), "w", encoding="utf-8") as said:
        return subprocess.Popen([sys.executable, "-m", "losslab.cli", *work.words(number)], stdout=subprocess.DEVNULL,
                                stderr=said, start_new_session=True, cwd=place,
                                env=os.environ | {"LOSSLAB_ARENA": str(place / "host")})  # fmt: skip


def _said(place: Path) -> str:
    return place.with_suffix(".said").read_text(encoding="utf-8", errors="replace").strip()


def _kill(pid: int, victim: str, rng: random.Random, spares: str = "") -> str:
    """Kill, and return the phase in which that was; nothing where no process was left."""
    children = descendants(pid)
    doing = sorted({_stage(child) for child in children}) or ["in the command itself"]
    if victim == "child":
        if not children:
            return ""
        chosen = rng.choice([child for child in children if _stage(child) != spares] or [pid])
        doing = [_stage(chosen)]
        targets = [chosen]
    else:
        targets = [pid] if victim == "command" else [pid, *children]
    for target in targets:
        try:
            os.kill(target, signal.SIGKILL)
        except ProcessLookupError:
            if target == pid or victim == "child":
                return ""
    return " and ".join(doing)


def descendants(pid: int) -> list[int]:
    """Every process below `pid` (Linux)."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue
            parents.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        below = parents.get(todo.pop(), [])
        found += below
        todo += below
    return found


def _stage(pid: int) -> str:
    """What a process of losslab is there for, by its command line."""
    try:
        words = (Path("/proc") / str(pid) / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ")
    except OSError:
        return "ending"
    for word, stage in (("losslab.evaluate", "measuring"), ("experiment.trial", "trying the file"),
                        ("arena.worker", "refereeing"), ("arena", JAIL), ("experiment", "training"),
                        ("git", "asking git")):  # fmt: skip
        if word in words:
            return stage
    return "starting"
