"""The loss files that this user has allowed to run, by the sha256 of their text.

A loss file is a program. One that the user names is allowed from then on; one that comes with a run folder or a
specification from somewhere else is not, until the user says so. The list is a file that only the user can write.
"""

import os
import re
import stat
from collections.abc import Collection, Iterable
from pathlib import Path

from losslab.untrusted import one_line

NAME = "allowed-loss-files"


def folder() -> Path:
    """Where the list lies: `LOSSLAB_STATE`, or `losslab` in the user's state folder."""
    if given := os.environ.get("LOSSLAB_STATE"):
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "losslab"


def allowed() -> set[str]:
    """Every sha256 in the list.

    Raises:
        ValueError: if somebody else could have written the list.
    """
    path = folder() / NAME
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise ValueError(f"the list of allowed loss files {path} cannot be read: {error.strerror}; remove it") from None
    with os.fdopen(handle, encoding="utf-8", errors="replace") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.getuid() or about.st_mode & 0o022:
            raise ValueError(f"the list of allowed loss files {path} is not a file that only you can write; remove it, "
                             "or run `chmod 600` on it if you know what it says")
        return {line[:64] for line in file if re.match(r"[0-9a-f]{64}(\s|$)", line)}


def allow(hashes: Iterable[tuple[str, str]]) -> None:
    """Add (sha256, path) pairs to the list; the path is a note for people."""
    known = allowed()
    new = {sha256: path for sha256, path in hashes if sha256 not in known}
    if not new:
        return
    path = folder() / NAME
    try:
        folder().mkdir(parents=True, exist_ok=True, mode=0o700)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
        with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
            for sha256, place in new.items():
                file.write(f"{sha256}  {one_line(place)}\n")
    except OSError as error:
        raise ValueError(f"the list of allowed loss files {path} cannot be written: {error.strerror}; set "
                         "LOSSLAB_STATE to a folder that can be") from None


def check(sources: Iterable, trusted: Collection[str] = (), *, what: str = "it", where: str = "") -> None:
    """An error unless each source (with `sha256` and `path`) is in the list or in `trusted`.

    Raises:
        ValueError: naming the first that is not, before anything of it is run.
    """
    sources = list(sources)
    known = set(trusted) | (allowed() if sources else set())
    for source in sources:
        if source.sha256 not in known:
            raise ValueError(
                f"{what} wants to run the loss file {one_line(source.path)}, which is not among those you have "
                f"allowed; read it first ({where or one_line(source.path)}), then say --trust {source.sha256}"
            )
