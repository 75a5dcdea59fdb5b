"""A jail, from the side of the host: started, given micro-batches, watched, ended.

Whatever happens inside, the host reads a fixed number of bytes from memory that it laid out itself, waits no longer
than it said, and ends the process and all that it started.
"""

import contextlib
import json
import os
import select
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from losslab import processes
from losslab.arena import inside, memory, tiers
from losslab.untrusted import one_line

INSIDE = "losslab.arena.inside"
START_SECONDS = 300.0  # until the walls are up: reading torch takes a minute on a machine that is very busy
LOOK_SECONDS = 0.2  # between looks at a process that computes
FOLDER_EVERY = 50  # calls between looks at what lies in the scratch folder


class Ended(ValueError):
    """A run that is over, and gets no row.

    Args:
        status: `refused` (it never was a loss), `killed` (it broke a limit), `disqualified` (it is no pure function).
        reason: one sentence.
    """

    def __init__(self, status: str, reason: str):
        super().__init__(f"{status}: {reason}")
        self.status, self.reason = status, reason


class Failed(Ended):
    """A call that raised an error inside, and said so."""


@dataclass(frozen=True)
class Limits:
    """What a jail may use."""

    memory_bytes: int = 2_000_000_000  # beyond Python and torch
    scratch_bytes: int = 10_000_000
    seconds: int = 3600  # of processor time in all
    load_seconds: float = 30.0  # until the file is read
    call_seconds: float = 20.0


@dataclass(frozen=True)
class Submission:
    """What is computed in a jail: a formula, and the text of its files by their names. Transforms are the host's."""

    formula: str
    files: dict = field(default_factory=dict)


class Jail:
    """One process in a jail; a context that ends it.

    Args:
        submission: what it computes.
        layout: the largest micro-batch.
        limits: what it may use.
        accepted: the tiers that will do, best first; the first that is to be had is taken.
        waits: whether it is ready when this returns; otherwise when its context is entered.

    Raises:
        NotToBeHad: where no such tier is to be had.
        Ended: where the submission cannot be read.
    """

    def __init__(self, submission: Submission, layout: memory.Layout, limits: Limits,
                 accepted: Sequence[str] = ("plain",), *, waits: bool = True):
        self.layout, self.limits, self.submission, self.accepted = layout, limits, submission, accepted
        self.calls, self.tier, self.begun = 0, "", ""
        self.open = contextlib.ExitStack()
        processes.adopt_orphans()
        if waits:
            self._ready()
        else:  # in the tier that is most likely to be had; the others are tried where it is not
            self._begin(next((tier for tier in accepted if tier not in _unfit and not tiers.missing(tier)), ""))

    def __enter__(self) -> "Jail":
        self._ready()
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def close(self) -> None:
        """End the process and all that it started, and remove its folder."""
        self.open.close()

    # --- a call --------------------------------------------------------------------------------

    def __call__(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of each token, and the gradient of their sum by the logits.

        Args:
            logits: `[rows, seq, vocab]`, float32, after every transform.
            targets: `[rows, seq]`, int64; `IGNORE_INDEX` does not count.

        Returns:
            `[rows, seq]` and `[rows, seq, vocab]`, float32 copies of what lay in shared memory. Nothing is known of
            their values.

        Raises:
            Ended: for a call that fails, takes too long, or ends the process.
        """
        rows, seq = targets.shape
        tokens, size = rows * seq, logits.numel()
        assert tokens <= self.layout.tokens and size == tokens * self.layout.vocab_size, (logits.shape, self.layout)
        self.inputs["shape"][:] = rows, seq
        self.inputs["targets"][:tokens] = targets.detach().reshape(-1).cpu().numpy()
        self.inputs["logits"][:size] = logits.detach().float().reshape(-1).cpu().numpy()
        number = inside.FIRST + self.calls
        self.calls += 1
        self._tell(b"%d\n" % number)
        if self._wait(number, self.limits.call_seconds, "a call") != b"k":
            raise Failed("killed", f"call {self.calls} failed: {self._said()}")
        if self.calls % FOLDER_EVERY == 0:
            self._look_at_folder()
        losses = torch.from_numpy(self.outputs["losses"][:tokens].copy()).view(rows, seq)
        gradient = torch.from_numpy(self.outputs["gradient"][:size].copy()).view(logits.shape)
        return losses.to(logits.device), gradient.to(logits.device)

    # --- start ---------------------------------------------------------------------------------

    def _ready(self) -> None:
        if self.tier:
            return
        try:
            self._start()
            self._load(self.submission)
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        why, accepted = [], self.accepted
        for tier in accepted:
            told = _unfit.get(tier) or tiers.missing(tier)
            if not told:
                if tier != self.begun:
                    self.close()
                    self._begin(tier)
                told = self._greet()
            if not told:
                self.tier = tier
                return
            _unfit[tier] = told
            why.append(f"{tier}: {told}")
        raise tiers.NotToBeHad(one_line(f"no jail of the tier {accepted[-1]} or better is to be had here "
                                        f"({'; '.join(why)}); nothing was run"))

    def _begin(self, tier: str) -> None:
        """Start a process in this tier, and do not wait for it."""
        if not tier:
            return
        self.open, self.begun = contextlib.ExitStack(), tier
        self.place = place = self.open.enter_context(processes.workplace())
        staged, scratch = tiers.stage(place / "code"), place / "scratch"
        scratch.mkdir()
        (place / "canary").write_text("a file of the host", encoding="utf-8")
        blocks = {"inputs": memory.make(self.layout.inputs()), "outputs": memory.make(self.layout.outputs())}
        answers, given = os.pipe()
        self.answers, self.scratch = answers, scratch
        self.open.callback(os.close, answers)
        readable, listed = tiers.readable(staged, tier)
        request = blocks | {
            "answers": given, "tier": tier, "layout": list(asdict(self.layout).values()), "readable": readable,
            "listed": listed, "scratch": str(scratch), "canary": str(place / "canary"),
            "file_bytes": self.limits.scratch_bytes, "memory_bytes": self.limits.memory_bytes,
            "seconds": self.limits.seconds,
        }
        self.process = processes.start(
            tiers.command(tier, staged, scratch, INSIDE), json.dumps(request), place / "out", place / "said",
            env=tiers.environment(scratch), cwd=scratch, pass_fds=[*blocks.values(), given],
        )
        self.open.callback(processes.end, self.process)
        os.close(given)
        self.inputs = memory.views(blocks["inputs"], self.layout.inputs(), writes=True)
        self.outputs = memory.views(blocks["outputs"], self.layout.outputs(), writes=False)
        for block in blocks.values():
            os.close(block)

    def _greet(self) -> str:
        """Wait until the walls of the process are up; why they are not in force, or nothing."""
        tier = self.begun
        try:
            self._wait(inside.READY, START_SECONDS, "starting")
            self.evidence = json.loads(self._said_whole())
        except (Ended, ValueError) as error:
            said = (self.place / "said").read_text("utf-8", "replace").strip().splitlines()
            self.open.close()
            return one_line(said[-1] if said else str(error))
        broken = sorted(wall for wall in tiers.PROMISED[tier] if self.evidence.get(wall) is not False)
        if broken or not self.evidence.get("one_thread") and tier != "plain":
            self.open.close()
            return f"its walls are not in force ({', '.join(broken) or 'more than one thread'})"
        return ""

    def _load(self, submission: Submission) -> None:
        self._tell(json.dumps({"formula": submission.formula, "files": submission.files}).encode() + b"\n")
        try:
            letter = self._wait(inside.LOAD, self.limits.load_seconds, "reading the file")
        except Ended as error:
            raise Ended("killed", error.reason) from None
        if letter != b"k":
            raise Ended("refused", self._said())

    # --- talking to it -------------------------------------------------------------------------

    def _tell(self, line: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has ended, which the wait for an answer finds out
            left = memoryview(line)
            while left:
                left = left[self.process.request.write(left):]

    def _wait(self, number: int, seconds: float, what: str) -> bytes:
        """The letter of the answer to `number`."""
        deadline, raw = time.monotonic() + seconds, b""
        while len(raw) < inside.ANSWER.size:
            ready, _, _ = select.select([self.answers], [], [], LOOK_SECONDS)
            if ready:
                found = os.read(self.answers, inside.ANSWER.size - len(raw))
                if not found:
                    raise Ended("killed", f"its process ended in {what} ({self._how_it_ended()})")
                raw += found
            elif self.process.poll() is not None:
                raise Ended("killed", f"its process ended in {what} ({self._how_it_ended()})")
            elif time.monotonic() > deadline:
                raise Ended("killed", f"{what} took more than {seconds:g} seconds")
            else:
                self._look_at_folder()
        answered, letter = inside.ANSWER.unpack(raw)
        if answered != number or letter not in (b"k", b"e"):
            raise Ended("killed", f"an answer came that nothing had asked for, in {what}")
        return letter

    def _how_it_ended(self) -> str:
        with contextlib.suppress(Exception):
            self.process.wait(2)
        code = self.process.poll()
        return "it closed its pipe" if code is None else f"signal {-code}" if code < 0 else f"exit code {code}"

    def _said(self) -> str:
        return one_line(self._said_whole() or "it gave no reason")

    def _said_whole(self) -> str:
        return memory.text_in(self.outputs)

    def _look_at_folder(self) -> None:
        used = folder_bytes(self.scratch)
        if used > self.limits.scratch_bytes:
            raise Ended("killed", f"it wrote more than {self.limits.scratch_bytes:,} bytes into its scratch folder")


_unfit: dict[str, str] = {}  # tier -> why it is not to be had, found out once in a process


def folder_bytes(folder: Path, most_files: int = 1000) -> int:
    """Bytes on disk beneath a folder; links are not followed, and no more than so many files are counted apart."""
    total = count = 0
    todo = [folder]
    while todo:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    count += 1
                    if count > most_files:
                        return 1 << 62
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(Path(entry.path))
        except OSError:
            continue
    return total
