"""Optuna's journal: a file that several processes write, and that anybody may have damaged.

It is lines of JSON, one operation each, which Optuna replays. Nothing in it is executed: neither Optuna's replay of a
file nor losslab loads a pickle. What is no journal is refused before Optuna sees it, and left as it is.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from losslab.records import files
from losslab.untrusted import one_line, parse_json
from losslab.words import printable

try:
    import fcntl
except ImportError:  # not a Unix: no lock to be had, and none is claimed
    fcntl = None

OPERATIONS = range(11)
BEGINS = b'{"op_code"'  # every line that Optuna writes
PATIENCE_SECONDS = 60.0  # for the others, who hold the lock for a moment each


class Journal:
    """Where the trials of arms are shared: a journal file, or another storage of Optuna.

    Args:
        place: a file, or a URL, which is passed on to Optuna.
        tell: takes what is worth keeping.

    Raises:
        ValueError: for what is no journal of Optuna, or a storage that cannot be used.
        OSError: for a place that cannot be written.
    """

    def __init__(self, place: str | Path, tell: Callable[[str], None]):
        import optuna
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        scheme, is_url, _ = str(place).partition("://")
        self.path = None if is_url else Path(place)
        self._shown = f"Optuna's storage at {scheme}://" if is_url else str(place)
        if scheme.startswith("redis") and is_url:
            raise ValueError("Optuna keeps pickles in a redis storage, which can execute anything; give a journal "
                             "file, or the URL of a database")
        if is_url:
            tell("a storage other than a journal file is passed on to Optuna; losslab is not tested with it")
            with self.understood():
                self.storage = optuna.storages.get_storage(str(place))
            return
        lock = JournalFileOpenLock(str(self.path))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.alone():
                _check(self.path, lock, tell)
        except OSError as error:
            raise OSError(printable(f"cannot write the journal {self.path}: {error.strerror}; give a file in a "
                                    "writable folder")) from None
        with self.understood():
            self.storage = optuna.storages.JournalStorage(JournalFileBackend(str(self.path), lock_obj=lock))

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """What is looked up and then written in this block is one step to other processes; of a file only."""
        if self.path is None or fcntl is None:
            yield
            return
        handle = files.descriptor(self.path.with_name(f"{self.path.name}.turn"), os.O_RDWR | os.O_CREAT, own=True)
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not _taken(handle):
                if time.monotonic() > deadline:
                    raise ValueError(printable(f"another process holds the journal {self.path} for more than "
                                               f"{PATIENCE_SECONDS:.0f} s; end it, or give another --journal"))
                time.sleep(0.01)
            yield
        finally:
            os.close(handle)

    @contextlib.contextmanager
    def understood(self) -> Iterator[None]:
        """Whatever Optuna says of what it reads or writes in this block becomes one sentence."""
        try:
            yield
        except OSError as error:
            raise OSError(printable(f"cannot use {self._shown}: {error.strerror}; give a file in a writable folder "
                                    "with --journal")) from None
        except Exception as error:  # replaying what somebody wrote can fail in any way
            raise self.damaged("its entries do not follow from each other" if self.path else
                               f"Optuna fails with {type(error).__name__}") from None

    def damaged(self, why: str) -> ValueError:
        """The one sentence, with what would do."""
        if self.path is None:
            return ValueError(f"{self._shown} cannot be used ({why}); see that its URL is right and its library is "
                              "installed, or give a journal file")
        return ValueError(printable(f"{self.path} is not a journal of Optuna that can be continued ({why}); move it "
                                    "away or give another --journal: runs that have ended are found again"))


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        pass
    return True


def _check(path: Path, lock, tell: Callable[[str], None]) -> None:
    """That every line is an operation; the end of one that a killed process did not finish is cut off."""
    try:
        raw = files.read_bytes(path)
    except FileNotFoundError:
        return
    *lines, end = raw.split(b"\n")
    for number, line in enumerate(lines, 1):
        if why := _wrong(line):
            raise _refused(path, number, why)
    if not end:
        return
    if not lines or not (end.startswith(BEGINS) or BEGINS.startswith(end)):
        raise _refused(path, len(lines) + 1, "it has no end")
    lock.acquire()  # nobody writes now: a line without an end is one whose process has died
    try:
        handle = files.descriptor(path, os.O_RDWR, own=True)
        try:
            now = os.fstat(handle).st_size
            if now == len(raw):
                os.ftruncate(handle, len(raw) - len(end))
                tell(printable(f"the last line of {path} was not finished by the process that wrote it, and is left "
                               "out"))
        finally:
            os.close(handle)
    finally:
        lock.release()


def _wrong(line: bytes) -> str:
    try:
        found = parse_json(line, "a line")
    except ValueError:
        return f"it is {one_line(repr(line[:40]))}"
    if not isinstance(found, dict):
        return f"it is {one_line(repr(line[:40]))}"
    code = found.get("op_code")
    if type(code) is not int or code not in OPERATIONS or not isinstance(found.get("worker_id"), str):
        return f"it says {one_line(repr(line[:40]))}"
    return ""


def _refused(path: Path, number: int, why: str) -> ValueError:
    return ValueError(printable(f"{path} is not a journal of Optuna (line {number}: {why}); move it away or give "
                                "another --journal: runs that have ended are found again"))
