"""One writer at a time: a lock that the system releases when its process ends, however it ends."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from losslab.records import files
from losslab.words import printable

try:
    import fcntl
except ImportError:  # not a Unix: no lock to be had, and none is claimed
    fcntl = None

PATIENCE_SECONDS = 0.2  # a reader that looks whether a folder is in use holds the lock for a moment


class StoreBusy(ValueError):
    """Another process is at work in this folder."""


@contextlib.contextmanager
def lock(folder: str | Path, what: str = "run") -> Iterator[None]:
    """Hold `folder` alone.

    Raises:
        StoreBusy: if another process holds it.
        ValueError: if the folder cannot be written, or what lies at `.lock` is not a lock: it is left as it is.
    """
    folder = Path(folder)
    path = folder / ".lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = files.descriptor(path, os.O_RDWR | os.O_CREAT, own=True)
    except OSError as error:
        why = "it is a file" if folder.is_file() else error.strerror
        raise ValueError(printable(f"cannot write to {folder}: {why}; give a writable folder")) from None
    try:
        owner = os.read(handle, 100).strip()
        if owner and not (owner.isdigit() and len(owner) < 20):
            raise ValueError(printable(f"{path} holds something that losslab did not write there; move it away"))
        if not _taken(handle):
            raise StoreBusy(printable(f"{what} {folder} is in use by another losslab (process "
                                      f"{owner.decode() or 'unknown'}); wait for it, or give another folder"))
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)


def is_locked(folder: Path) -> bool:
    """Whether a process holds `folder`; nothing is made or written to find out."""
    if fcntl is None:
        return False
    try:
        handle = files.descriptor(folder / ".lock", os.O_RDONLY)
    except (OSError, ValueError):
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False


def _taken(handle: int) -> bool:
    if fcntl is None:
        return True
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
