"""Tokenized corpora on disk: written once, under a name that says what is in them, never half-written."""

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: two processes then build the same corpus, and the second finds it done
    fcntl = None

Progress = Callable[[str, int, int], None]  # (what is being done, bytes done, bytes in all or 0)

REMEMBER_BYTES = 64_000_000  # below it, hashing a file again costs less than a tenth of a second
UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EEXIST}


def root() -> Path:
    """The cache folder: `LOSSLAB_CACHE`, or `losslab` in the user's cache."""
    if given := os.environ.get("LOSSLAB_CACHE"):
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "losslab"


def obtain(name: str, key: str, build: Callable[[Path], None], progress: Progress) -> Path:
    """The folder of the corpus `key`; if it is missing or damaged, `build` fills it, in one process at a time."""
    folder = root() / "corpora" / f"{re.sub(r'[^A-Za-z0-9]+', '-', name).strip('-').lower()}-{key}"
    if whole(folder):
        return folder
    with _explained(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.with_name(f"{folder.name}.lock"), progress) as alone:
            if whole(folder):  # another process has built it meanwhile
                return folder
            if alone:
                for abandoned in folder.parent.glob(f".{folder.name}.*"):
                    shutil.rmtree(abandoned, ignore_errors=True)
            temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
            try:
                build(temporary)
                assert whole(temporary), "the build wrote no complete corpus"
                _replace(temporary, folder)
            finally:
                shutil.rmtree(temporary, ignore_errors=True)
    return folder


def seal(folder: Path, meta: dict) -> None:
    """Write `meta.json` last, with the size of every file beside it."""
    sizes = {str(path.relative_to(folder)): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()}
    (folder / "meta.json").write_text(json.dumps({**meta, "files": sizes}, indent=1), encoding="utf-8")


def whole(folder: Path) -> bool:
    """Whether `folder` holds a corpus with every file at its size."""
    try:
        sizes = json.loads((folder / "meta.json").read_text(encoding="utf-8"))["files"]
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


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


def _replace(temporary: Path, folder: Path) -> None:
    """Rename `temporary` to `folder`; a damaged one makes room, a whole one stays."""
    for _ in range(3):
        try:
            temporary.rename(folder)
            return
        except OSError:
            if not folder.exists():
                raise
            if whole(folder):  # another process was faster, with the same content
                return
            shutil.rmtree(folder, ignore_errors=True)
    raise OSError(f"the damaged corpus {folder} cannot be replaced; remove that folder and try again")


@contextmanager
def _locked(path: Path, progress: Progress) -> Iterator[bool]:
    """Hold the lock while the block runs; gives whether there is one. The rename is safe without it."""
    with open(path, "w") as file:
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
