"""The numbers of runs, passed on to TensorBoard, Weights & Biases or Trackio; off unless asked.

Only the process that waits for training writes here, from lines that it read as numbers: a training process may run a
stranger's loss file and is given neither a tracker nor its keys. A tracker has a thread of its own, so that a network
that does not answer holds nothing up. One that fails is said once and left out; every run continues. Keys are the
tracker's own business: it finds them where its own login put them, and losslab neither reads nor writes any.
"""

import contextlib
import hashlib
import importlib.util
import io
import os
import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from losslab.words import extra, printable

NAMES = ("tensorboard", "wandb", "trackio")
MOST_WAITING = 10_000  # lines; one that a tracker is too slow for is dropped, the log has it
LAST_SECONDS = 60.0  # for a tracker to send what is left when everything is trained
PASSED = ("train/", "tune/", "task/", "signal/", "logits/", "speed/")  # and three names; others are ours
ALSO = ("learning_rate", "grad_norm", "tokens")
SECRETS = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "TRACKIO_SERVER_URL")  # of no use to a process that trains


@dataclass(frozen=True)
class Run:
    """A run as trackers show it: seeds of one `group` stand together.

    Args:
        name: of its folder, which no other run of its store has.
        group: the arm: its loss and condition.
        project: the name of the study, or `losslab`.
    """

    name: str
    group: str
    seed: int
    project: str
    settings: Mapping[str, object]


class Backend(Protocol):
    """One run of one tracker."""

    def log(self, step: int, values: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class Tracker:
    """One tracker for all runs of a command.

    Args:
        name: one of `NAMES`.
        folder: where files of a tracker go that keeps some: the store of the runs.
        tell: takes the sentence where it fails.
        open_run: for another tracker than these: takes a `Run` and the folder.

    Raises:
        ValueError: for an unknown name.
        ModuleNotFoundError: where it is not installed.
    """

    def __init__(
        self, name: str, folder: str | Path, *, tell: Callable[[str], None] = lambda text: None,
        open_run: Callable[[Run, Path], Backend] | None = None,
    ):
        self.name, self.folder, self.tell = name, Path(folder), tell
        self._open_run = open_run or _opener(name)
        self._lines: queue.Queue = queue.Queue(MOST_WAITING)
        self._runs: dict[str, Backend] = {}
        self._has_failed = False
        self._thread = threading.Thread(target=self._work, name=f"tracker {name}", daemon=True)
        self._thread.start()

    def takes(self, run: Run) -> Callable[[Mapping[str, float]], None]:
        """Takes the lines of the log of one run."""
        return lambda line: self._put(run, line)

    def close(self) -> None:
        """Wait, not long, until everything is passed on."""
        self._put(None, None)
        self._thread.join(LAST_SECONDS)
        if self._thread.is_alive():
            self._fail(f"it did not take the last numbers within {LAST_SECONDS:.0f} s")

    def _put(self, run: Run | None, line: Mapping[str, float] | None) -> None:
        if not self._has_failed:
            with contextlib.suppress(queue.Full):
                self._lines.put_nowait((run, line))

    def _work(self) -> None:
        try:
            while (given := self._lines.get())[0] is not None:
                run, line = given
                if run.name not in self._runs:
                    self._runs[run.name] = self._open_run(run, self.folder)
                self._runs[run.name].log(line["step"], passed(line))
            for backend in self._runs.values():
                backend.close()
        except (Exception, SystemExit) as error:  # of somebody else's program, which may raise anything
            self._fail(" ".join(str(error).split())[:200] or type(error).__name__)

    def _fail(self, why: str) -> None:
        if not self._has_failed:
            self._has_failed = True
            self.tell(printable(f"{self.name} cannot be reached ({why}); the runs go on without it, and their logs "
                                "have every number"))


def passed(line: Mapping[str, float]) -> dict[str, float]:
    """What of a line is passed on."""
    return {key: float(value) for key, value in line.items() if key in ALSO or key.startswith(PASSED)}


def check(name: str) -> None:
    """Raise for a tracker that does not exist, or is not installed."""
    _opener(name)


def without_keys(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for a process that trains: without the keys of trackers."""
    return {name: value for name, value in environment.items() if name not in SECRETS}


# --- the trackers ------------------------------------------------------------------------------

def _opener(name: str) -> Callable[[Run, Path], Backend]:
    if name not in NAMES:
        raise ValueError(f"--track takes {', '.join(NAMES[:-1])} or {NAMES[-1]}, got {name!r}")
    if importlib.util.find_spec(name) is None:
        raise ModuleNotFoundError(f"--track {name} needs {name}, which is not installed; {extra('trackers')}")
    return {"tensorboard": _TensorBoard, "wandb": _Wandb, "trackio": _Trackio}[name]


class _TensorBoard:
    """`STORE/tensorboard/ARM/RUN`: TensorBoard shows folders of one folder next to each other."""

    def __init__(self, run: Run, folder: Path):
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder / "tensorboard" / run.group / run.name))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        self.writer.close()


def _id(run: Run, folder: Path) -> str:
    """The same for a run that is resumed, another one for a run of that name elsewhere."""
    return hashlib.sha256(f"{folder.resolve()}/{run.name}".encode()).hexdigest()[:16]


class _Wandb:
    """One run of W&B; `WANDB_MODE=offline` keeps everything in `STORE/wandb`."""

    def __init__(self, run: Run, folder: Path):
        import wandb

        mode = os.environ.get("WANDB_MODE", "online")
        if mode == "online" and not wandb.login(prompt=False, timeout=20):
            raise OSError("nobody is logged in; `wandb login`, or WANDB_MODE=offline")
        folder.mkdir(parents=True, exist_ok=True)
        self.run = wandb.init(
            project=run.project, group=run.group, name=f"{run.group} seed {run.seed}", id=_id(run, folder),
            resume="allow", config=dict(run.settings), dir=str(folder), reinit="create_new", save_code=False,
            settings=wandb.Settings(console="off", silent=True, init_timeout=30, disable_git=True, disable_code=True,
                                    x_disable_stats=True, x_disable_meta=True))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self.run.log(dict(values), step=step)

    def close(self) -> None:
        self.run.finish()


class _Trackio:
    def __init__(self, run: Run, folder: Path):
        import trackio

        with contextlib.redirect_stdout(io.StringIO()):  # where a result may have to stand alone
            self.run = trackio.init(
                project=run.project, group=run.group, name=run.name, config=dict(run.settings), resume="allow",
                embed=False, auto_log_gpu=False, auto_log_cpu=False)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self.run.log(dict(values), step=step)

    def close(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            self.run.finish()
