"""Run folders: what one experiment writes down, and how it is read back.

A run is a folder. `spec.json` says what was asked, `environment.json` where it ran, `log.jsonl` what
happened step by step, `checkpoint/` holds the weights, and `result.json` is written once, at the end.
The folder is the truth; nothing else is kept.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from losslab import config as configuration

FORMAT = 1  # of the run folder; a reader refuses a larger one
STATUSES = ("running", "finished", "diverged", "failed", "stopped", "imported")


class StoreBusy(ValueError):
    """Another process is at work in this folder."""


@dataclass(frozen=True)
class Record:
    """One run as its folder tells it."""

    path: Path
    spec: dict
    environment: dict
    result: dict
    status: str

    @property
    def loss(self) -> str:
        return self.spec["config"]["loss"]

    @property
    def seed(self) -> int:
        return self.spec["config"]["seed"]

    @property
    def condition(self) -> str:
        return self.spec["condition"]

    @property
    def scores(self) -> dict[str, dict]:
        """Name -> `{value, stderr, n, unit}`; empty unless finished."""
        return self.result.get("scores", {})

    @property
    def config(self) -> configuration.ExperimentConfig:
        return configuration.from_dict(self.spec["config"], source=str(self.path / "spec.json"))

    @cached_property
    def log(self) -> list[dict]:
        """The lines of `log.jsonl`; a last line cut short by a kill is left out."""
        lines = []
        with contextlib.suppress(FileNotFoundError):
            for line in (self.path / "log.jsonl").read_text(encoding="utf-8").splitlines():
                with contextlib.suppress(json.JSONDecodeError):
                    lines.append(json.loads(line))
        return lines

    def curve(self, key: str) -> list[tuple[int, float]]:
        """`(tokens, value)` of every logged line that has `key`, such as `tune/nll`."""
        return [(line["tokens"], line[key]) for line in self.log if key in line]


# --- reading -----------------------------------------------------------------------------------

def is_run(path: str | Path) -> bool:
    return (Path(path) / "spec.json").is_file()


def read(path: str | Path) -> Record:
    path = Path(path)
    if not is_run(path):
        raise ValueError(f"{path} is not a run folder: it has no spec.json; `losslab runs list STORE` shows the runs")
    spec = _read_json(path / "spec.json")
    if spec.get("format", 0) > FORMAT:
        raise ValueError(
            f"{path} was written by a newer losslab (run format {spec['format']}, this one reads up to {FORMAT}); "
            "update losslab to read it"
        )
    result = _read_json(path / "result.json") if (path / "result.json").exists() else {}
    environment = _read_json(path / "environment.json") if (path / "environment.json").exists() else {}
    status = result.get("status") or ("running" if _is_locked(path) else "stopped")
    return Record(path, spec, environment, result, status)


def find(paths: Iterable[str | Path]) -> list[Record]:
    """The runs that `paths` name: each is a run folder, or a store that holds some."""
    found = []
    for path in map(Path, paths):
        if is_run(path):
            found.append(read(path))
        elif path.is_dir():
            found += [read(folder) for folder in sorted(path.iterdir()) if is_run(folder)]
        else:
            raise ValueError(f"{path} does not exist; give a run folder or a store of runs")
    return found


def labels(records: Iterable[Record]) -> dict[str, str]:
    """Condition -> the name of its arm: the formula, with the condition where two share one formula."""
    formula = {record.condition: record.loss for record in records}
    shared = list(formula.values())
    return {c: f if shared.count(f) == 1 else f"{f} #{c[:6]}" for c, f in formula.items()}


def score_name(records: Iterable[Record], score: str = "nll") -> str:
    """`nll`, or `nll_stride_64` where evaluation windows overlap: the stride is part of a score's name."""
    found = {name for record in records for name in record.scores}
    strided = f"{score}_stride_"
    return min((name for name in found if name == score or name.startswith(strided)), key=len, default=score)


def outcomes(records: Iterable[Record], score: str = "nll") -> dict[str, dict[int, float | None]]:
    """Arm -> seed -> value, `None` where the run diverged: what `stats.compare` takes.

    A run that was stopped or that failed says nothing of its loss, and is left out.
    """
    records = list(records)
    names, score = labels(records), score_name(records, score)
    arms: dict[str, dict[int, float | None]] = {}
    for record in records:
        if record.status in ("finished", "diverged"):
            value = record.scores[score]["value"] if record.status == "finished" else None
            arms.setdefault(names[record.condition], {})[record.seed] = value
    return arms


def baseline(arms: Iterable[str], name: str | None = None) -> str:
    """The arm that the others are compared with: the one named, else `cross_entropy`, else the first."""
    arms = list(arms)
    if name is None:
        return "cross_entropy" if "cross_entropy" in arms else arms[0]
    if name not in arms:
        hint = configuration.nearest(name, arms)
        raise ValueError(f"the baseline {name!r} is not an arm{hint}; the arms are {', '.join(arms)}")
    return name


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); remove the run folder and run it again") from None


# --- writing -----------------------------------------------------------------------------------

def write_json(path: str | Path, value) -> None:
    """Write whole or not at all: a reader never sees half a file."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=1, ensure_ascii=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_result(path: str | Path, result: dict) -> None:
    write_json(Path(path) / "result.json", {"format": FORMAT, **result})


def restore(path: str | Path, spec: dict) -> None:
    """Put back the specification, should a training process have changed it."""
    if read(path).spec != {"format": FORMAT, **spec}:
        write_json(Path(path) / "spec.json", {"format": FORMAT, **spec})


def create(path: str | Path, spec: dict, environment: dict) -> Path:
    """A new run folder, or the one that is there when it asks for the same thing."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        if is_run(path):
            old = read(path)
            if old.condition != spec["condition"] or old.seed != spec["config"]["seed"]:
                raise ValueError(
                    f"{path} already holds another run ({old.loss}, seed {old.seed}, condition {old.condition}); "
                    "give another folder with --out"
                )
            return path
        write_json(path / "environment.json", environment)
        write_json(path / "spec.json", {"format": FORMAT, **spec})  # last: from here on it is a run
    except OSError as error:
        raise ValueError(f"cannot write the run folder {path}: {error.strerror}; give a writable place") from None
    return path


class Log:
    """`log.jsonl`, one flushed line a logged step, cut back to `step` when a run resumes."""

    def __init__(self, path: str | Path, *, step: int = 0):
        self.path = Path(path) / "log.jsonl"
        if self.path.exists():
            kept = [line for line in read(path).log if line["step"] <= step]
            temporary = self.path.with_suffix(".cut")
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
            os.replace(temporary, self.path)

    def write(self, **line) -> None:
        # opened for each line, so that a run that ends in any way has lost none
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


# --- one writer at a time ----------------------------------------------------------------------

@contextlib.contextmanager
def lock(folder: str | Path, what: str = "run") -> Iterator[None]:
    """Hold `folder` alone; the system lets go of it when this process ends, however it ends."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = open(folder / ".lock", "a+", encoding="utf-8")
    except OSError as error:
        why = "it is a file" if folder.is_file() else error.strerror
        raise ValueError(f"cannot write to {folder}: {why}; give a writable folder") from None
    with handle:
        if not _take(handle):
            handle.seek(0)
            owner = handle.read().strip() or "unknown"
            raise StoreBusy(
                f"{what} {folder} is in use by another losslab (process {owner}); wait for it, or give another folder"
            )
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def _take(handle) -> bool:
    try:
        import fcntl
    except ImportError:  # not a Unix: no lock to be had, and none is claimed
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_locked(folder: Path) -> bool:
    try:
        with open(folder / ".lock", "a+", encoding="utf-8") as handle:
            return not _take(handle)
    except OSError:
        return False
