"""Verbs at work in processes of their own, each known by a handle."""

import contextlib
import json
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from losslab import processes
from losslab.untrusted import one_line
from losslab.words import nearest

PLAYER = "losslab.arena.player"
GRACE_SECONDS = 20.0  # for a job that was cancelled to end what it has started
MOST_BYTES = 10_000_000  # of an answer
MOST_SAID = 10  # sentences that are shown, the last ones


@dataclass
class Job:
    """One of them; `result` is None while it runs."""

    handle: str
    verb: str
    place: Path
    process: subprocess.Popen
    room: contextlib.ExitStack
    folder: Path
    result: dict | None = None
    said: tuple[str, ...] = ()


class Jobs:
    """All jobs of this process; used by several threads. Those that run end with it."""

    def __init__(self):
        self.known: dict[str, Job] = {}
        self.lock = threading.RLock()  # processes are started and ended by one thread at a time
        processes.adopt_orphans()

    def begin(self, verb: str, place: Path, *arguments) -> Job:
        """Start a verb of the player.

        Raises:
            ValueError: where another is at work in that workspace.
        """
        with self.lock:
            self.free(place)
            handle = f"{verb}-{len(self.known) + 1}"
            room = contextlib.ExitStack()
            folder = room.enter_context(processes.workplace())
            asked = json.dumps({"verb": verb, "place": str(place), "arguments": arguments})
            process = processes.start(processes.ordinary(PLAYER), asked, folder / "answer", folder / "said")
            self.known[handle] = Job(handle, verb, place, process, room, folder)
            return self.known[handle]

    def free(self, place: Path) -> Path:
        """The workspace, in which no job is at work; an error where one is, which must find the file as it was."""
        for job in list(self.known.values()):
            if job.place == place and self._ended(job) is None:
                raise ValueError(f"{job.handle} is at work in {place.name}: `status` says how far it is, and `cancel` "
                                 "ends it")
        return place

    def status(self, handle: str, seconds: float = 0.0) -> dict:
        """How far a job is; waits up to so many seconds for its end.

        Returns:
            `handle`, `verb`, `workspace`, `status` (`running`, or how it ended), `reason`, `said` (what it last told),
            `result` (what the verb gave; None while it runs).

        Raises:
            ValueError: for a handle that is none.
        """
        job, until = self._job(handle), time.monotonic() + seconds
        while self._ended(job) is None and time.monotonic() < until:
            time.sleep(0.1)
        found = self._ended(job) or {"status": "running", "reason": ""}
        return {"handle": handle, "verb": job.verb, "workspace": job.place.name, "status": found["status"],
                "reason": found["reason"], "said": list(job.said), "result": job.result}

    def cancel(self, handle: str) -> dict:
        """End a job, with all that it started; one that has ended stays as it is. As `status`."""
        job = self._job(handle)
        if self._ended(job) is None:
            job.process.request.close()
            self._wait(job)
        return self.status(handle)

    def close(self) -> None:
        """Cancel every job."""
        jobs = [job for job in self.known.values() if self._ended(job) is None]
        for job in jobs:
            job.process.request.close()
        for job in jobs:
            self._wait(job)

    def _wait(self, job: Job) -> None:
        """Until it has ended by itself; one that does not is killed."""
        until = time.monotonic() + GRACE_SECONDS
        while self._ended(job) is None:
            if time.monotonic() > until:
                self._end(job, {"status": "cancelled", "reason": "cancelled; it did not stop and was killed"})
            time.sleep(0.05)

    def _job(self, handle: str) -> Job:
        if handle not in self.known:
            raise ValueError(f"there is no job {handle[:40]!r}{nearest(handle, self.known)}; "
                             + (f"the jobs are {', '.join(self.known)}" if self.known else
                                "`test` and `submit` give a handle"))
        return self.known[handle]

    def _ended(self, job: Job) -> dict | None:
        """What came of it; None while it runs. What it said so far is read, too."""
        with self.lock:
            if job.result is None:
                lines = (job.folder / "said").read_text("utf-8", "replace").splitlines()
                job.said = tuple(one_line(line) for line in lines[-MOST_SAID:])
                if job.process.poll() is not None:
                    self._end(job, self._answer(job))
            return job.result

    def _answer(self, job: Job) -> dict:
        with open(job.folder / "answer", "rb") as file:
            raw = file.read(MOST_BYTES)
        try:
            return json.loads(raw)
        except ValueError:
            why = job.said[-1] if job.said else f"code {job.process.returncode}"
            return {"status": "failed", "reason": f"the process of the host ended ({why}); the same command goes on"}

    def _end(self, job: Job, result: dict) -> None:
        with self.lock:
            processes.end(job.process)
            job.result = result
            job.room.close()
