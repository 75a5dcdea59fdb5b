"""One run in separate processes: one that trains, then one that measures. This process waits, checks and writes."""

import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from losslab import processes, records, signals, trackers
from losslab.experiment import measuring
from losslab.experiment.plan import Experiment, Tell
from losslab.experiment.watching import Watch, keep_text
from losslab.experiment.worker import CANNOT, CODES
from losslab.untrusted import one_line

ATTEMPTS = 3  # a worker killed from outside is started again; one that keeps dying is not
ENDED = tuple(CODES.values())


class Job:
    """A run folder on its way to a result; `advance` is called again and again, and never waits long.

    Args:
        experiment: what the folder asks for, known to this process from its own reading.
        folder: of the run, created.
        threads: of training and of measuring.
        tell: takes what is worth keeping, a sentence each.
        on_line: takes each new line of the log.
        on_said: takes what the training process says for people.
        place: around the work on the run; gives variables for the environment of its processes, such as which GPU.
        tells_signs: whether signs of trouble are told as they come.
    """

    def __init__(
        self, experiment: Experiment, folder: Path, *, threads: int = 0, tell: Tell = lambda text: None,
        on_line: Callable[[dict], None] | None = None, on_said: Tell | None = None,
        tells_signs: bool = False,
        place: Callable[[], AbstractContextManager[Mapping[str, str]]] = lambda: nullcontext({}),
    ):
        self.experiment, self.folder, self.threads, self.tell = experiment, Path(folder), threads, tell
        self.on_line, self.on_said, self._place, self.variables = on_line, on_said, place, {}
        self.signs = signals.Teller(tell, self.folder.name, advice=False) if tells_signs else None
        self.phase = "starting"
        self.asked_to_stop = False
        self.process = None
        self.seconds = 0.0  # of training: what the newest checkpoint says, and from then on the clock of this process
        self.tokens = 0  # trained so far, as the log says
        self.utilization = 0.0  # of the peak of matrix products, as the log says
        self.is_over = False
        self._life = self._steps()

    @property
    def loss_files(self) -> list[str]:
        return [source.sha256 for source in self.experiment.objective.sources]

    def advance(self) -> bool:
        """Do what can be done now; whether the run has come to its end, or was stopped."""
        try:
            self.phase = next(self._life)
            return False
        except StopIteration:
            self.is_over = True
            return True

    def stop(self) -> None:
        """Ask the training process to save and end; measuring is broken off, and done again another time."""
        self.asked_to_stop = True
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def close(self) -> None:
        """End its processes at once."""
        self._life.close()

    def _steps(self) -> Iterator[str]:
        with records.lock(self.folder), self._place() as self.variables:
            record = records.read(self.folder)
            if record.status in ("finished", "diverged"):
                return
            (self.folder / "result.json").unlink(missing_ok=True)  # a failed run gets another chance
            records.update(self.folder, self.experiment.spec)  # what changes no run may be set anew
            try:
                yield from self._to_result(record.environment)
            except (ValueError, OSError) as error:  # of this run alone: the others of a study continue
                self._failed(str(error))

    def _to_result(self, environment: dict) -> Iterator[str]:
        experiment, folder = self.experiment, self.folder
        path = measuring.trained(experiment, folder)
        self.seconds = measuring.seconds_before(folder)
        if path is not None:
            self.tokens = experiment.num_tokens
        else:
            error = yield from self._train()
            records.restore(folder, experiment.spec, environment)
            if self.asked_to_stop:
                return
            path = measuring.trained(experiment, folder)
            diverged = None if path else measuring.divergence(experiment, folder)
            if diverged:
                return self._diverged(diverged)
            if path is None:
                return self._failed(error or "its training process ended without the last checkpoint")
        measuring.check_budget(experiment, path)
        measured = yield from self._measure(path)
        if measured is not None:
            found = measuring.result(experiment, folder, path, measured, seconds=self.seconds, by="apart")
            if found["status"] == "diverged":
                return self._diverged(found)
            records.write_result(folder, found)

    def _train(self) -> Iterator[str]:
        """Start the worker, and start it again where it dies; a sentence where it cannot continue."""
        request = json.dumps({"folder": str(self.folder), "threads": self.threads, "trusted": self.loss_files})
        command = processes.ordinary("losslab.experiment.worker")
        why = None
        for attempt in range(1, ATTEMPTS + 1):
            with processes.workplace() as place:
                self.process = processes.start(command, request, place / "out", place / "said",
                                               env=trackers.without_keys(processes.inherited())
                                               | processes.thread_variables(self.threads) | self.variables)
                started, watched = time.monotonic(), Watch(self.folder, place / "said")
                try:
                    while self.process.poll() is None:
                        yield "training" if self._look(watched) else "starting"
                finally:
                    processes.end(self.process)
                    self.seconds += time.monotonic() - started
                self._look(watched)
                keep_text(self.folder / "worker.log", watched.said_last(5_000))
                said, code = one_line(watched.last_sentence), self.process.returncode
            if code in ENDED or self.asked_to_stop:
                return None
            why = f"killed by signal {-code}" if code < 0 else said or f"exit code {code}"
            if code == CANNOT:
                return why
            if attempt < ATTEMPTS:
                self.tell(f"the worker of {self.folder.name} ended ({why}); starting it again from its last checkpoint")
        return f"its worker ended {ATTEMPTS} times ({why})"

    def _look(self, watched: Watch) -> bool:
        for line in watched.new_lines():
            self.tokens = min(max(0, int(line["tokens"])), self.experiment.num_tokens)
            self.utilization = signals.utilization(line) or self.utilization
            if self.on_line:
                self.on_line({**line, "num_steps": self.experiment.num_steps})
            if self.signs:
                self.signs(line)
        for sentence in watched.new_sentences():
            if self.on_said:
                self.on_said(one_line(sentence))
        return watched.any_line

    def _measure(self, path: Path) -> Iterator[str]:
        waiting = measuring.apart(self.experiment, path, threads=self.threads, variables=self.variables)
        while True:
            try:
                next(waiting)
            except StopIteration as done:
                return done.value
            if self.asked_to_stop:
                waiting.close()
                return None
            yield "measuring"

    def _diverged(self, result: dict) -> None:
        records.write_result(self.folder, result)
        self.tell(f"{self.folder.name} {measuring.told(result)}")

    def _failed(self, error: str) -> None:
        try:
            records.write_result(self.folder, {"status": "failed", "error": error})
        except (ValueError, OSError) as unwritten:
            error = f"{error}; nor can that be recorded: {unwritten}"
        self.tell(f"failed: {self.folder.name}: {error}")
