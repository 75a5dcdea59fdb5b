"""A run that an executor computes, seen from here: advanced and stopped as a `Job`, which computes it on this machine.

What is seen is the run's folder, and the answer of the executor at the end. Engines themselves take care of a machine
that is lost (Ray) or warns (SLURM). A run that comes back unfinished all the same, as one whose job was preempted, is
submitted again from here, some times, and without it there is no verdict.
"""

import contextlib
import json
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor, Future
from pathlib import Path

from losslab import records, signals
from losslab.experiment.plan import Experiment, Tell
from losslab.experiment.watching import Watch
from losslab.running import node
from losslab.untrusted import one_line

OVER = (*node.ENDED, "failed", "refused")  # answers after which a run is not submitted again
AGAIN = 3  # times that a run is submitted again which others stopped


class Remote:
    """A run folder on its way to a result, on a machine that an executor chooses.

    Args:
        experiment: what the folder asks for.
        folder: of the run, created.
        threads: of training and of measuring.
        tell: takes what is worth keeping, a sentence each.
        on_line: takes each new line of the log.
        tells_signs: whether signs of trouble are told as they come.
    """

    def __init__(
        self, experiment: Experiment, folder: Path, *, threads: int = 0, tell: Tell = lambda text: None,
        on_line: Callable[[dict], None] | None = None, tells_signs: bool = False,
    ):
        self.experiment, self.folder, self.threads, self.tell = experiment, Path(folder), threads, tell
        self.on_line = on_line
        self.signs = signals.Teller(tell, self.folder.name, advice=False) if tells_signs else None
        self.phase, self.tokens, self.utilization = "waiting", 0, 0.0
        self.asked_to_stop = self.is_over = False
        self.is_left = False  # over, but neither ended nor known to have failed
        self.times = 0  # that it was submitted
        self.future: Future | None = None

    def submit(self, executor: Executor) -> None:
        """Hand the run to an executor."""
        self.executor, self.times = executor, self.times + 1
        (self.folder / node.STOP).unlink(missing_ok=True)  # of an earlier time
        records.update(self.folder, self.experiment.spec)
        if self.times == 1:
            self._watch = Watch(self.folder, self.folder / ".nothing")
        self.future = executor.submit(node.run, node.request(
            self.folder, threads=self.threads, condition=self.experiment.condition,
            trusted=[source.sha256 for source in self.experiment.objective.sources]))

    def advance(self) -> bool:
        """Look what is new; whether the run has come to its end, or was stopped."""
        for line in self._watch.new_lines():
            self.phase = "training"
            self.tokens = min(max(0, int(line["tokens"])), self.experiment.num_tokens)
            self.utilization = signals.utilization(line) or self.utilization
            if self.on_line:
                self.on_line({**line, "num_steps": self.experiment.num_steps})
            if self.signs:
                self.signs(line)
        if self.tokens >= self.experiment.num_tokens:
            self.phase = "measuring"
        if self.future.done():
            self.is_over = not self._continues()
        if self.is_over:
            with contextlib.suppress(OSError):
                (self.folder / node.STOP).unlink(missing_ok=True)
        return self.is_over

    def stop(self) -> None:
        """Ask the machine that computes to save and end, and the executor to drop what has not begun."""
        self.asked_to_stop = True
        with contextlib.suppress(OSError):
            (self.folder / node.STOP).touch()
        if self.future is not None:
            self.future.cancel()

    def close(self) -> None:
        """Where nobody waits any more, the run is asked to stop."""
        if not self.is_over:
            self.stop()

    def _continues(self) -> bool:
        """Take the answer; whether the run was submitted again."""
        try:
            answer = json.loads(self.future.result())
        except CancelledError:
            return self._again("dropped by its executor")
        except Exception as error:  # engines raise classes of their own; the run is lost to them, not to the store
            if not self.asked_to_stop:
                self._failed(f"its executor gave it up ({_last_line(error)}); the same command continues it")
            return False
        for sentence in answer["told"]:
            self.tell(one_line(sentence))
        if answer["status"] == "refused":
            self._failed(one_line(answer["told"][-1]), tells=False)
        return answer["status"] not in OVER and self._again(f"stopped on {one_line(answer['node'])}")

    def _again(self, how: str) -> bool:
        """Submit a run again that is not finished, and that nobody here asked to stop; whether that was done."""
        if self.asked_to_stop:
            return False
        if self.times <= AGAIN:
            self.tell(f"{self.folder.name} was {how} before its end, as when a job has to make room for another; it is "
                      f"submitted again ({self.times} of {AGAIN})")
            try:
                self.submit(self.executor)
            except Exception as error:  # of the engine, or of the store; the other runs go on
                self.tell(f"{self.folder.name} cannot be submitted again ({_last_line(error)})")
            else:
                self.phase = "waiting"
                return True
        self.is_left = True
        return False

    def _failed(self, error: str, *, tells: bool = True) -> None:
        try:
            with records.lock(self.folder):
                if records.read(self.folder).status not in node.ENDED:
                    records.write_result(self.folder, {"status": "failed", "error": error})
        except (ValueError, OSError) as unwritten:  # as where another machine is at work on the run
            self.is_left = True
            error = f"{error}; nor can that be recorded: {unwritten}"
        if tells:
            self.tell(f"failed: {self.folder.name}: {error}")


def _last_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip(" -")]
    return one_line(lines[-1]) if lines else type(error).__name__
