"""Writing a run folder: what was asked, what happened, how it ended; and taking it away."""

import contextlib
import json
import os
import re
import secrets
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

from losslab.records import checks, files, logs
from losslab.records.locks import StoreBusy, is_locked, lock
from losslab.records.record import FORMAT, folders, is_run, read, read_environment
from losslab.records.tags import is_tag, tags_in
from losslab.words import printable

OWN = re.compile(r"(spec|environment|result|tags|evaluation.*)\.json|log\.jsonl|checkpoint|worker\.log|"
                 r"evaluation.*\.(html|md)|judgement.*\.(html|md|jsonl?)|\..*|"
                 r".*\.aside-[0-9a-f]+")  # what lies in a run folder


def create(path: str | Path, spec: dict, environment: dict, *, present: Sequence[str] = ()) -> Path:
    """A new run folder, or the one that is there when it asks for the same thing.

    Args:
        present: names that the caller has put into the folder already.

    Raises:
        ValueError: if the folder cannot be written, or holds another run, a store of runs, or something else.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        if is_run(path):
            old = read(path)
            if old.condition != spec["condition"] or old.seed != spec["config"]["seed"]:
                raise ValueError(printable(
                    f"{path} already holds another run ({old.loss}, seed {old.seed}, condition {old.condition}); "
                    "give another folder with --out"))
            return path
        _check_empty(path, present)
        _write(path / "environment.json", environment, checks.environment)
        _write(path / "spec.json", spec, checks.spec)  # last: from here on it is a run
    except OSError as error:
        raise ValueError(printable(f"cannot write the run folder {path}: {error.strerror}; give a writable "
                                   "place")) from None
    return path


def _check_empty(path: Path, present: Sequence[str]) -> None:
    """Refuse a store, and a folder of somebody's; what a kill or the system left behind is ignored."""
    with os.scandir(path) as entries:
        others = sorted(entry.name for entry in entries if entry.name not in ("environment.json", *present)
                        and not (entry.name.startswith(".") and entry.is_file(follow_symlinks=False)))
    runs = [folder.name for folder in folders(path)] if others else []
    if runs:
        raise ValueError(printable(
            f"{path} is a store that holds runs ({runs[0]}{' and others' if len(runs) > 1 else ''}), not a place for "
            f"one run; give a folder in it, such as --out {path / 'NAME'} (`losslab compare` takes --store)"))
    if others:
        raise ValueError(printable(f"{path} holds something that is no run ({', '.join(others[:3])}"
                                   f"{', ...' if len(others) > 3 else ''}); give a new folder with --out"))


def write_result(folder: str | Path, result: dict) -> None:
    """How the run ended: with checksums of the result and of the log as it lies there now.

    Whatever else lies at `result.json` is replaced, or given another name where it is a folder. `result` has a
    `status`, in a finished run `scores`, and `weights`, the sha256 of the weights that were measured.

    Raises:
        ValueError: if the result says what no measurement gives; nothing is written then.
        OSError: if it cannot be written.
    """
    folder = Path(folder)
    value = result | {"log": logs.seal_of(folder / "log.jsonl")}
    if files.is_plain_folder(folder / "result.json"):
        files.set_aside(folder / "result.json")
    _write(folder / "result.json", value, checks.result)


def update(folder: str | Path, spec: dict) -> None:
    """Write a specification of the same run over that of the folder, if it says anything else.

    Raises:
        ValueError: for a specification that says what no run says; nothing is written then.
        OSError: if it cannot be written.
    """
    _put_back(Path(folder) / "spec.json", spec, checks.spec)


def note_environment(folder: str | Path, environment: dict) -> None:
    """Write down what a run is computed with, where that is not what its folder was made with.

    Raises:
        ValueError: for what says nothing of a machine; nothing is written then.
        OSError: if it cannot be written.
    """
    _put_back(Path(folder) / "environment.json", environment, checks.environment)


def restore(folder: str | Path, spec: dict, environment: dict | None = None) -> None:
    """Put the folder right after a training process had it, of which only the checkpoint and the log are used.

    Its specification and its environment are put back, even where the whole folder is gone, and a result that it left
    is taken away: neither may keep the run from being read, measured and written down. Without `environment`, what it
    made of `environment.json` is taken away where it can no longer be read.

    Raises:
        OSError: if the folder cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError):
        folder.chmod(folder.stat().st_mode | stat.S_IRWXU)
    files.set_aside(folder / "result.json")
    if environment is not None:
        _put_back(folder / "environment.json", environment, checks.environment)
    elif _is_spoilt(folder / "environment.json"):
        files.set_aside(folder / "environment.json")
    update(folder, spec)


def _put_back(path: Path, value: dict, check) -> None:
    with contextlib.suppress(ValueError, FileNotFoundError):
        if files.read_sealed(path, FORMAT) == {**json.loads(json.dumps(value)), "format": FORMAT}:
            return
    if files.is_plain_folder(path):
        files.set_aside(path)
    _write(path, value, check)


def _is_spoilt(environment: Path) -> bool:
    try:
        read_environment(environment.parent)
    except ValueError:
        return True
    return False


def _write(path: Path, value: dict, check) -> None:
    value = {"format": FORMAT} | value | {"format": FORMAT}
    try:
        check(json.loads(json.dumps(value)))
    except checks.Wrong as wrong:
        raise ValueError(printable(f"{path} is not written: {wrong}")) from None
    files.write_sealed(path, value)


class Log:
    """`log.jsonl`, one flushed line per logged step, cut back to `step` when a run resumes.

    What cannot be read as a log is not written over: it is kept next to it as `log.jsonl.aside-...`.
    """

    def __init__(self, path: str | Path, *, step: int = 0):
        self.path = Path(path) / "log.jsonl"
        if os.path.lexists(self.path):
            record = read(path)
            kept = [line for line in record.log if line["step"] <= step]
            if record.log_damage:
                files.set_aside(self.path)
            files.write_whole(self.path, "".join(json.dumps(line) + "\n" for line in kept).encode())

    def write(self, **line) -> None:
        # opened for each line, so that a run that ends in any way has lost none
        opened = files.descriptor(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, own=True)
        with os.fdopen(opened, "ab", buffering=0) as file:
            file.write((json.dumps(line) + "\n").encode())


# --- what people do with runs -------------------------------------------------------------------

def tag(folder: str | Path, add: Sequence[str] = (), remove: Sequence[str] = ()) -> tuple[str, ...]:
    """The tags of a run after some were added and removed; they are no part of its condition or checksums.

    Raises:
        ValueError: for what is no run or no tag, or a tag to remove that the run does not have.
    """
    folder = Path(folder)
    read(folder)
    for name in (*add, *remove):
        if not is_tag(name):
            raise ValueError(printable(f"a tag is a word of at most 40 characters without commas and =, got {name!r}"))
    old = tags_in(folder)
    if unknown := [name for name in remove if name not in old]:
        raise ValueError(printable(f"{folder} has no tag {unknown[0]!r}; its tags are {', '.join(old) or 'none'}"))
    tags = tuple(sorted({*old, *add} - set(remove)))
    files.write_json(folder / "tags.json", {"tags": list(tags)})
    return tags


def check_removable(folder: str | Path) -> Path:
    """The folder by its full name, if it holds one run and nothing else, and nobody is at work in it.

    A damaged run may go too, as long as its folder holds nothing but what runs have.

    Raises:
        ValueError: saying why it stays; `StoreBusy` where it is in use.
    """
    folder = Path(folder)
    if folder.is_symlink():
        raise ValueError(printable(f"{folder} is a link; remove the link itself, or give the folder it leads to"))
    if not is_run(folder):
        read(folder)  # says that there is none
    full = folder.resolve()
    others = sorted(name for name in os.listdir(full) if not OWN.fullmatch(name))
    if others:
        what = "other runs" if folders(full) else "more than a run"
        raise ValueError(printable(f"{folder} holds {what} ({others[0]}); move what is to stay, then remove it"))
    if is_locked(full) or is_locked(full.parent):
        raise StoreBusy(printable(f"{folder} is in use by another losslab; wait for it"))
    return full


def remove(folder: str | Path) -> None:
    """Remove a run folder and nothing else; links in it are removed, not followed.

    Raises:
        ValueError: as `check_removable`, before anything is removed.
    """
    full = check_removable(folder)
    with lock(full):
        gone = full.with_name(f".removed-{secrets.token_hex(6)}")
        os.rename(full, gone)  # at once: a half-removed folder is never read as a run
        shutil.rmtree(gone)
