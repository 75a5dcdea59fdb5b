"""Kills at random moments of a small real study, and the same command again until it is done.

The command is `losslab compare` of a built-in loss and a loss file, two seeds, checkpoints on the way. A kill is
SIGKILL, after a time that is uniform over an undisturbed study: to the command alone (its children live on for a
while), to one of its children (training, measuring, trying), or to all of them at once, as when a machine loses power.
In the end weights and scores must be those of the undisturbed study, to the bit, and no run may be left failed.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import faults_material

LIMIT_SECONDS = 900  # of one command; longer is a hang
SIZES = ("--model.n-layer", "1", "--model.n-embd", "32", "--model.n-head", "2", "--model.num-positions", "64",
         "--train.num-steps", "60", "--train.batch-size", "8", "--data.max-bytes", "200000", "--data.val-bytes",
         "20000", "--data.tune-bytes", "20000", "--evaluate.tune-tokens", "2048", "--evaluate.sample-tokens", "16",
         "--train.checkpoint-every", "10", "--train.device", "cpu", "--train.dtype", "float32")  # fmt: skip


@dataclass(frozen=True)
class Kill:
    """One kill: after how long, of which process, and in which phase."""

    number: int
    seconds: float
    victim: str  # command, child, all
    during: str


@dataclass
class Outcome:
    """What the killed studies came to."""

    kills: list[Kill]
    studies: int = 0
    differing: int = 0  # weights or scores with other bits
    failed: int = 0  # runs left failed or unfinished
    hangs: int = 0
    waits: int = 0  # times that the command was refused because a worker of the killed one was still at work
    troubles: list[str] | None = None

    def to_dict(self) -> dict:
        return asdict(self)


def run(
    folder: Path, kills: int, seed: int, tell: Callable[[str, int, int], None], *,
    study: Sequence[str] = ("cross_entropy", "gentle.py", "--seeds", "2"),
) -> Outcome:
    """Studies into `folder`, killed `kills` times in all; `study` says which losses and seeds."""
    rng = random.Random(f"{seed}/kills")
    (folder / "gentle.py").write_text(faults_material.LOSS, encoding="utf-8")
    begun = time.monotonic()
    with _command(folder, "undisturbed", study) as process:
        if process.wait(LIMIT_SECONDS):
            raise RuntimeError(f"the undisturbed study failed: {(folder / 'said.txt').read_text(encoding='utf-8')}")
    seconds = time.monotonic() - begun
    truth = bits(folder / "undisturbed")
    outcome = Outcome([], troubles=[])
    while len(outcome.kills) < kills:
        store = folder / "killed"
        shutil.rmtree(store, ignore_errors=True)
        _until_done(folder, study, outcome, kills, rng, seconds, tell)
        outcome.studies += 1
        found = bits(store)
        failed = [name for name, (status, *_) in found.items() if status not in ("finished", "diverged")]
        outcome.failed += len(failed)
        outcome.differing += len([name for name in truth if found.get(name) != truth[name]])
        if found != truth:
            last = outcome.kills[-1] if outcome.kills else None
            outcome.troubles.append(f"study {outcome.studies}, last kill {last}: {failed or 'other bits'}")
    shutil.rmtree(folder / "killed", ignore_errors=True)
    return outcome


def _until_done(
    folder: Path, study: Sequence[str], outcome: Outcome, kills: int, rng: random.Random, seconds: float, tell
) -> None:
    """The command again and again; killed each time while kills are left, then to its end."""
    begun = time.monotonic()
    while True:
        with _command(folder, "killed", study) as process:
            number = len(outcome.kills)
            wait, victim = rng.uniform(0, seconds), rng.choice(("command", "child", "all"))
            if number < kills:
                try:
                    code = process.wait(wait)
                except subprocess.TimeoutExpired:
                    hit = _kill(process.pid, victim, rng)
                    if hit:
                        outcome.kills.append(Kill(number, wait, victim, hit))
                        tell("kills", number + 1, kills)
                    code = None
            else:
                code = None
            try:
                code = process.wait(LIMIT_SECONDS) if code is None else code
            except subprocess.TimeoutExpired:
                _kill(process.pid, "all", rng)
                outcome.hangs += 1
                return
        said = (folder / "said.txt").read_text(encoding="utf-8", errors="replace")
        if code == 0:
            return
        if code == 2 and "in use by another losslab" in said and time.monotonic() - begun < LIMIT_SECONDS:
            outcome.waits += 1  # what the killed command had started is still at work
            time.sleep(1)
        elif code > 0 and not (code == 6 and number < kills):
            outcome.troubles.append(f"exit code {code} after kill {number}: {said.strip().splitlines()[-1:]}")
            if len(outcome.troubles) > 20:
                raise RuntimeError(f"too much fails: {outcome.troubles}")
            if code != 6:
                return


def _command(folder: Path, store: str, study: Sequence[str]) -> subprocess.Popen:
    arguments = ["compare", *study, "--store", store, "--workers", "2", *SIZES]
    with open(folder / "said.txt", "w", encoding="utf-8") as said:
        return subprocess.Popen([sys.executable, "-m", "losslab.cli", *arguments], stdout=subprocess.DEVNULL,
                                stderr=said, start_new_session=True, cwd=folder)  # fmt: skip


def _kill(pid: int, victim: str, rng: random.Random) -> str:
    """Kill, and return the phase in which that was; None where no process was left."""
    children = descendants(pid)
    doing = sorted({_stage(child) for child in children}) or ["planning or comparing"]
    if victim == "child":
        if not children:
            return ""
        chosen = rng.choice(children)
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
                        ("experiment", "training"), ("git", "asking git")):  # fmt: skip
        if word in words:
            return stage
    return "starting"


def bits(store: Path) -> dict[str, tuple]:
    """Run -> its status, the sum of its weights and all its scores."""
    import hashlib

    found = {}
    for run in sorted(path for path in store.iterdir() if (path / "spec.json").is_file()):
        result = json.loads((run / "result.json").read_text(encoding="utf-8")) if (run / "result.json").exists() else {}
        weights = sorted((run / "checkpoint").glob("step-*/model.safetensors"))
        digest = hashlib.sha256(weights[-1].read_bytes()).hexdigest() if weights else None
        found[run.name] = (result.get("status"), digest, result.get("scores"), result.get("temperature"))
    return found
