"""Tokenized corpora on disk: written once, under a name that says what is in them, never half-written."""

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from losslab.corpus.disk import end_delayed, explained, held_by_none, locked, root, sha256
from losslab.progress import Progress


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
    with explained(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.with_name(f"{folder.name}.lock"), progress) as alone:
            damage = damage_of(folder, verify=verify)
            if damage is None:  # another process has built it meanwhile
                return folder
            if damage:
                progress(f"the cached corpus {name} is damaged ({damage}); it is made again", 0, 0)
            if alone:
                _remove_abandoned(folder.parent, folder.name)
            temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
            try:
                with end_delayed(lambda: shutil.rmtree(temporary, ignore_errors=True)):
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
    """Write `meta.json` last, with the size and the sha256 of every other file, and its own checksum."""
    files = {path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": sha256(path)}
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
            if verify and sha256(path, remember=remember) != written["sha256"]:
                return f"{name} is not what was written"
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "meta.json is not what was written"
    return None


def _sum(meta: dict) -> str:
    return hashlib.sha256(json.dumps(meta, sort_keys=True).encode()).hexdigest()


def _remove_abandoned(corpora: Path, own: str) -> None:
    """Remove what killed processes left: of the corpus `own`, whose lock is held, and of others that no one builds."""
    for abandoned in corpora.glob(".*-*.*"):
        name = abandoned.name[1:].rpartition(".")[0]
        if name == own:
            shutil.rmtree(abandoned, ignore_errors=True)
            continue
        with suppress(OSError), held_by_none(corpora / f"{name}.lock"):
            shutil.rmtree(abandoned, ignore_errors=True)


def _replace(temporary: Path, folder: Path, verify: bool) -> None:
    """Rename `temporary` to `folder`; a damaged one is replaced, a whole one stays."""
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
