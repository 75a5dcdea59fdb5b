"""A run folder read back: every value is checked, and nothing in it is trusted to be a file or a number."""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from losslab import config as configuration
from losslab.records import checks, files, logs
from losslab.records.earlier import current
from losslab.records.locks import is_locked
from losslab.records.tags import read_tags
from losslab.words import printable

FORMAT = 2  # of the documents in a run folder: from 2 on they carry a checksum; a reader refuses a larger one
STATUSES = ("waiting", "running", "finished", "diverged", "failed", "stopped", "imported")


@dataclass(frozen=True)
class Record:
    """One run as its folder tells it."""

    path: Path
    spec: dict
    environment: dict
    result: dict
    status: str
    """One of `STATUSES`; `waiting` is a run that nothing was done for yet."""

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

    @property
    def log(self) -> list[dict]:
        """The lines of `log.jsonl`; what is no line of a log is left out, and `log_damage` says so."""
        return self._logged[0]

    @property
    def log_damage(self) -> str | None:
        """A sentence where `log.jsonl` is not what the run wrote; None where nothing is known to be wrong.

        A last line cut short by a kill is no damage in a run that has not ended.
        """
        return self._logged[1]

    @cached_property
    def _logged(self) -> tuple[list[dict], str | None]:
        ended = self.status in ("finished", "diverged")
        return logs.read(self.path / "log.jsonl", self.result.get("log") if ended else None, ended=ended)

    @property
    def tags(self) -> tuple[str, ...]:
        """What people called this run; no part of what it is."""
        return read_tags(self.path)

    def curve(self, key: str) -> list[tuple[int, float]]:
        """`(tokens, value)` of every logged line that has `key`, such as `tune/nll`."""
        return [(line["tokens"], line[key]) for line in self.log if key in line]


# --- reading -----------------------------------------------------------------------------------

def is_run(path: str | Path) -> bool:
    return os.path.lexists(os.path.join(path, "spec.json"))


def read(path: str | Path) -> Record:
    """The run in the folder `path`.

    Raises:
        ValueError: in one sentence, where there is no run, or one of its documents is not as it was written.
    """
    path = Path(path)
    if not is_run(path):
        raise ValueError(printable(f"{path} is not a run folder: it has no spec.json; `losslab runs list STORE` shows "
                                   "the runs"))
    spec, result = read_spec(path), read_result(path)
    return Record(path, spec, read_environment(path), result, status_of(path, result))


def read_spec(path: Path) -> dict:
    """The specification of a run, as this version would write it.

    Args:
        path: the run folder.

    Raises:
        ValueError: for a folder without one, or one that is damaged or from a newer losslab.
    """
    try:
        return current(_document(path / "spec.json", checks.spec, missing=False))
    except FileNotFoundError:
        raise ValueError(printable(f"{path} was removed while it was read")) from None


def read_result(path: Path) -> dict:
    """What the run ended in; empty where it has not ended.

    Raises:
        ValueError: for a result that is damaged or from a newer losslab.
    """
    return _document(path / "result.json", checks.result)


def read_environment(path: Path) -> dict:
    """What a run was computed with: versions, machine, commit, threads; empty where the file is missing.

    Raises:
        ValueError: for a file that is damaged or from a newer losslab.
    """
    environment = _document(path / "environment.json", checks.environment)
    environment.pop("format", None)
    return environment


def status_of(path: Path, result: dict) -> str:
    """The status of a run.

    Args:
        path: the run folder.
        result: what `read_result` gave.

    Returns:
        that of the result; without one `running` while a process holds the folder, `stopped` where training has begun,
        else `waiting`.
    """
    if "status" in result:
        return result["status"]
    if is_locked(path):
        return "running"
    begun = os.path.lexists(path / "log.jsonl") or os.path.lexists(path / "checkpoint")
    return "stopped" if begun else "waiting"


def names(store: str | Path) -> list[str]:
    """The names of the run folders in a store, in order; a hidden one is being removed.

    Raises:
        ValueError: for a folder that cannot be read.
    """
    try:
        with os.scandir(store) as entries:
            return sorted(entry.name for entry in entries if not entry.name.startswith(".") and entry.is_dir()
                          and is_run(entry.path))
    except OSError as error:
        raise ValueError(printable(f"cannot read the folder {store}: {error.strerror}")) from None


def folders(store: str | Path) -> list[Path]:
    """The run folders in a store, by name."""
    return [Path(store) / name for name in names(store)]


def find(paths: Iterable[str | Path]) -> list[Record]:
    """The runs that `paths` name: each is a run folder, or a store that holds some, or both.

    Raises:
        ValueError: for a path that does not exist, or the first run that cannot be read: none is left out in silence.
    """
    found = []
    for path in map(Path, paths):
        if is_run(path):
            found.append(read(path))
        if not path.is_dir():
            raise ValueError(printable(f"{path} does not exist; give a run folder or a store of runs"))
        found += map(read, folders(path))
        if not found:
            readable = (inner for inner in sorted(path.iterdir()) if os.path.isdir(inner) and os.access(inner, os.R_OK))
            if (store := next((inner for inner in readable if names(inner)), None)):
                told = f"{path} holds no run, but {store} holds {len(names(store))}; give that store"
                raise ValueError(printable(told))
    return found


def place(store: str | Path, slug: str, condition: str, seed: int) -> Path:
    """Where a run lies in a store: in the folder of its name, or in one that is named after an earlier condition of it.

    Where several runs were different conditions once, the last of them that ended counts, or the last.
    """
    store = Path(store)
    named = store / f"{slug}-{condition}-seed{seed}"
    if is_run(named) or not store.is_dir():
        return named
    like = re.compile(rf"{re.escape(slug)}-[0-9a-f]{{12}}-seed{seed}")
    others = [path for path in folders(store) if like.fullmatch(path.name)]
    same = [path for path in others if _condition(path, (path / "spec.json").lstat().st_mtime_ns) == condition]
    ended = [path for path in same if read_result(path).get("status") in ("finished", "diverged")]
    return (ended or same or [named])[-1]


@lru_cache(maxsize=2**16)
def _condition(path: Path, written: int) -> str | None:
    """The condition of a run; None where it cannot be read. A search of a store opens each file once."""
    try:
        return read_spec(path)["condition"]
    except ValueError:
        return None


def _document(path: Path, check, *, missing: bool = True) -> dict:
    try:
        value = files.read_sealed(path, FORMAT)
    except FileNotFoundError:
        if missing:
            return {}
        raise
    try:
        check(value)
    except checks.Wrong as wrong:
        raise files.damaged(path, str(wrong)) from None
    return value
