"""Tokenized corpora on disk: written once, under a name that says what is in them, never half-written."""

import errno
import hashlib
import json
import os
import re
import shutil
import signal
import tempfile
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
ROOM_BYTES = 16_000_000  # of a file that grows, between two looks at the room on its disk
KEPT_FREE = 500_000_000, 0.05  # of a disk, for others: the smaller of so many bytes and this share of it
UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST,
              errno.ELOOP}  # a link in place of a lock


def root() -> Path:
    """The cache folder: `LOSSLAB_CACHE`, or `losslab` in the user's cache."""
    if given := os.environ.get("LOSSLAB_CACHE"):
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "losslab"


def obtain(
    name: str, key: str, build: Callable[[Path], None], progress: Progress, *, verify: bool = True
) -> Path:
    """The folder of the corpus `key`; if it is missing or damaged, `build` fills it, in one process at a time.

    Args:
        name: of the corpus, for people.
        key: names its content.
        build: fills a folder, and seals it.
        progress: is told of damage.
        verify: whether what files hold is compared with what was written; their sizes always are.
    """
    folder = root() / "corpora" / f"{re.sub(r'[^A-Za-z0-9]+', '-', name).strip('-').lower()[:80]}-{key}"
    damage = damage_of(folder, verify=verify)
    if damage is None:
        return folder
    with _explained(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.with_name(f"{folder.name}.lock"), progress) as alone:
            damage = damage_of(folder, verify=verify)
            if damage is None:  # another process has built it meanwhile
                return folder
            if damage:
                progress(f"the cached corpus {name} is damaged ({damage}); it is made again", 0, 0)
            if alone:
                _sweep(folder.parent, folder.name)
            temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
            try:
                with _end_delayed(lambda: shutil.rmtree(temporary, ignore_errors=True)):
                    build(temporary)
                assert damage_of(temporary, verify=False) is None, "the build wrote no complete corpus"
                _replace(temporary, folder, verify)
            except (ValueError, ConnectionError) as error:
                if damage:
                    error.args = (f"the cached corpus {name} is damaged ({damage}) and cannot be made again: {error}",)
                raise
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    return folder


def seal(folder: Path, meta: dict) -> None:
    """Write `meta.json` last, with the size and the sha256 of every file beside it, and a sum of its own."""
    files = {path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": _sha256(path)}
             for path in sorted(folder.rglob("*")) if path.is_file()}  # fmt: skip
    meta = {**meta, "files": files}
    (folder / "meta.json").write_text(json.dumps({**meta, "sum": _sum(meta)}, indent=1), encoding="utf-8")


def damage_of(folder: Path, *, verify: bool = True, remember: bool = True) -> str | None:
    """What is wrong with a cached corpus: None if nothing, an empty text if there is no corpus at all.

    Args:
        folder: where it lies.
        verify: whether the content of its files is compared, not only their sizes.
        remember: whether a big file that was found whole, and has the same size, inode and time of change as then,
            need not be read again in this process.
    """
    if not folder.is_dir():
        return ""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        if meta.pop("sum") != _sum(meta):
            return "meta.json is not what was written"
        for name, written in meta["files"].items():
            path = folder / name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != written["bytes"]:
                return f"{name} has {path.stat().st_size:,} bytes instead of {written['bytes']:,}"
            if verify and _sha256(path, remember=remember) != written["sha256"]:
                return f"{name} is not what was written"
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "meta.json is not what was written"
    return None


class _End(BaseException):
    """The process was asked to end."""


@contextmanager
def _end_delayed(remove: Callable[[], None]) -> Iterator[None]:
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


def check_room(folder: Path, what: str) -> None:
    """An error if the disk of `folder` has hardly any room left while `what` is being written there."""
    disk = shutil.disk_usage(folder)
    if disk.free < min(KEPT_FREE[0], KEPT_FREE[1] * disk.total):
        raise OSError(
            f"the disk of the corpus cache {root()} has only {disk.free / 1e6:,.0f} MB left while {what} is written to "
            "it; make room there, set LOSSLAB_CACHE to a folder on a larger disk, or give a smaller text"
        )


def _sum(meta: dict) -> str:
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()


_found_whole: dict[tuple, str] = {}  # sha256 of big files that this process has read


def _sha256(path: Path, *, remember: bool = False) -> str:
    stat = path.stat()
    key = str(path), stat.st_size, stat.st_mtime_ns, stat.st_ino
    if remember and key in _found_whole:
        return _found_whole[key]
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if stat.st_size >= REMEMBER_BYTES:
        _found_whole[key] = found
    return found


def _sweep(corpora: Path, own: str) -> None:
    """Remove what killed processes left: of the corpus `own`, whose lock is held, and of others that no one builds."""
    for abandoned in corpora.glob(".*-*.*"):
        name = abandoned.name[1:].rpartition(".")[0]
        if name == own:
            shutil.rmtree(abandoned, ignore_errors=True)
            continue
        try:
            with open(corpora / f"{name}.lock", "r+") as file:  # a build without its lock is none of this version
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(abandoned, ignore_errors=True)
        except OSError:
            pass


def file_digest(path: Path) -> str:
    """sha256 of a file; that of a big one is remembered under its path, size and time of change."""
    stat = path.stat()
    # a file changed a moment ago may change again without its time moving
    remember = stat.st_size >= REMEMBER_BYTES and time.time_ns() - stat.st_mtime_ns > 2 * 10**9
    where = f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}\0{stat.st_ino}"
    note = root() / "files" / hashlib.sha256(where.encode()).hexdigest()[:24]
    if remember and note.is_file() and len(known := note.read_text()) == 64:
        return known
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if remember:
        with _explained(note.parent):
            note.parent.mkdir(parents=True, exist_ok=True)
            partial = note.with_name(f".{note.name}.{os.getpid()}")
            partial.write_text(found)
            partial.replace(note)
    return found


def _replace(temporary: Path, folder: Path, verify: bool) -> None:
    """Rename `temporary` to `folder`; a damaged one makes room, a whole one stays."""
    for _ in range(3):
        try:
            temporary.rename(folder)
            return
        except OSError:
            if not folder.exists():
                raise
            if damage_of(folder, verify=verify) is None:  # another process was faster, with the same content
                return
            shutil.rmtree(folder, ignore_errors=True)
    raise OSError(f"the damaged corpus {folder} cannot be replaced; remove that folder and try again")


@contextmanager
def _locked(path: Path, progress: Progress) -> Iterator[bool]:
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
def _explained(folder: Path) -> Iterator[None]:
    """Say which folder cannot be written, and what would do."""
    try:
        yield
    except OSError as error:
        ours = error.filename is None or str(root()) in str(error.filename)
        if error.errno in UNWRITABLE and ours:
            raise OSError(
                f"the corpus cache {folder} cannot be written ({error.strerror}); make room there, or set "
                "LOSSLAB_CACHE to a folder that can be"
            ) from None
        raise
