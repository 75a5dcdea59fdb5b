"""A run that an executor computes, seen from here: advanced and stopped as a `Job`, which computes it on this machine.

What is seen is the run's folder, and the answer of the executor at the end.
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
        self.future: Future | None = None

    def submit(self, executor: Executor) -> None:
        """Hand the run to an executor."""
        (self.folder / node.STOP).unlink(missing_ok=True)  # of an earlier time
        records.update(self.folder, self.experiment.spec)
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
            self._end()
            self.is_over = True
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

    def _end(self) -> None:
        try:
            answer = json.loads(self.future.result())
        except CancelledError:
            return
        except Exception as error:  # engines raise classes of their own; the run is lost to them, not to the store
            if not self.asked_to_stop:
                self._failed(f"its executor gave it up ({_last_line(error)}); the same command continues it")
            return
        for sentence in answer["told"]:
            self.tell(one_line(sentence))
        if answer["status"] == "refused":
            self._failed(one_line(answer["told"][-1]), tells=False)

    def _failed(self, error: str, *, tells: bool = True) -> None:
        try:
            with records.lock(self.folder):
                if records.read(self.folder).status not in node.ENDED:
                    records.write_result(self.folder, {"status": "failed", "error": error})
        except (ValueError, OSError) as unwritten:
            error = f"{error}; nor can that be recorded: {unwritten}"
        if tells:
            self.tell(f"failed: {self.folder.name}: {error}")


def _last_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip(" -")]
    return one_line(lines[-1]) if lines else type(error).__name__
