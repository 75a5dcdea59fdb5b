"""The disk that corpora are cached on: its folder, its free space, its locks, and what its files hold."""

import errno
import hashlib
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from losslab.progress import Progress

try:
    import fcntl
except ImportError:  # Windows: two processes then build the same corpus, and the second finds it done
    fcntl = None

REMEMBER_BYTES = 64_000_000  # below it, hashing a file again costs less than a tenth of a second
CHECK_BYTES = 16_000_000  # of a file that grows, between two checks of the free space on its disk
KEPT_FREE = 500_000_000, 0.05  # of a disk, for others: the smaller of so many bytes and this share of it
UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST,
              errno.ELOOP}  # a link in place of a lock
_found_whole: dict[tuple, str] = {}  # sha256 of big files that this process has read


def root() -> Path:
    """The cache folder: `LOSSLAB_CACHE`, or `losslab` in the user's cache."""
    if given := os.environ.get("LOSSLAB_CACHE"):
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "losslab"


def check_room(folder: Path, what: str) -> None:
    """An error if the disk of `folder` is nearly full while `what` is being written there."""
    disk = shutil.disk_usage(folder)
    if disk.free < min(KEPT_FREE[0], KEPT_FREE[1] * disk.total):
        raise OSError(
            f"the disk of the corpus cache {root()} has only {disk.free / 1e6:,.0f} MB left while {what} is written to "
            "it; free some space there, set LOSSLAB_CACHE to a folder on a larger disk, or give a smaller text"
        )


@contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Say which folder cannot be written, and what would do."""
    try:
        yield
    except OSError as error:
        ours = error.filename is None or str(root()) in str(error.filename)
        if error.errno in UNWRITABLE and ours:
            raise OSError(
                f"the corpus cache {folder} cannot be written ({error.strerror}); free some space there, or set "
                "LOSSLAB_CACHE to a folder that can be"
            ) from None
        raise


@contextmanager
def locked(path: Path, progress: Progress) -> Iterator[bool]:
    """Hold the lock while the block runs; gives whether there is one. The rename is safe without it."""
    with open(os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666), "w") as file:
        alone = False
        if fcntl:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                alone = True
            except BlockingIOError:
                progress("waiting for the process that prepares this corpus", 0, 0)
                fcntl.flock(file, fcntl.LOCK_EX)
                alone = True
            except OSError:  # a file system without locks
                pass
        yield alone  # closing the file releases the lock


@contextmanager
def held_by_none(path: Path) -> Iterator[None]:
    """Hold a lock that is there, while the block runs; an OSError where another process holds it, or there is none."""
    with open(path, "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


class _End(BaseException):
    """The process was asked to end."""


@contextmanager
def end_delayed(remove: Callable[[], None]) -> Iterator[None]:
    """Call `remove` before the signal SIGTERM ends the process, where nobody else has a plan for that signal."""
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return

    def end(*_) -> None:
        raise _End

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    except _End:
        remove()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def sha256(path: Path, *, remember: bool = False) -> str:
    """Of a file; `remember`: as this process found it, if the file is big and nothing about it has changed since."""
    stat = path.stat()
    key = str(path), stat.st_size, stat.st_mtime_ns, stat.st_ino
    if remember and key in _found_whole:
        return _found_whole[key]
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if stat.st_size >= REMEMBER_BYTES:
        _found_whole[key] = found
    return found


def file_digest(path: Path) -> str:
    """sha256 of a file; that of a big one is remembered under its path, size and time of change."""
    stat = path.stat()
    # a file changed a moment ago may change again without its time moving
    remember = stat.st_size >= REMEMBER_BYTES and time.time_ns() - stat.st_mtime_ns > 2 * 10**9
    where = f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ino}"
    note = root() / "files" / hashlib.sha256(where.encode()).hexdigest()[:24]
    if remember and note.is_file() and len(known := note.read_text()) == 64:
        return known
    found = sha256(path)
    if remember:
        with explained(note.parent):
            note.parent.mkdir(parents=True, exist_ok=True)
            partial = note.with_name(f".{note.name}.{os.getpid()}")
            partial.write_text(found)
            partial.replace(note)
    return found
