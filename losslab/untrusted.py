"""Files that someone else wrote: regular files alone, of a bounded size, and JSON that is not too deep.

Every function here answers what it does not accept with one sentence, a `ValueError`, or an `OSError` where the
system refuses. A link, a pipe or a device in the place of a file is refused before a byte of it is read.
"""

import json
import math
import os
import stat
from pathlib import Path
from typing import BinaryIO

from losslab.words import printable

MOST_JSON_BYTES = 2**26  # the largest tokenizer.json of a published model is half of this
MOST_JSON_DEPTH = 32
MOST_JSON_NUMBER = 2**63
SAFE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # a pipe is not waited for; 0: not on this system
NO_LINK = getattr(os, "O_NOFOLLOW", 0)
KINDS = {stat.S_IFLNK: "a symbolic link", stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket",
         stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}


class NoFile(ValueError):
    """Something else in the place of a regular file; `kind` says what, such as `a pipe`."""

    def __init__(self, path: str | Path, kind: str):
        super().__init__(one_line(f"{path} is {kind}, and not a file; put the file itself there"))
        self.kind = kind


class TooLarge(ValueError):
    """A file with more bytes than a file of its kind has."""


def descriptor(path: str | Path, flags: int = os.O_RDONLY, *, follow: bool = False) -> int:
    """`os.open` of a regular file, which waits for nothing.

    Args:
        path: of the file.
        flags: as for `os.open`; a file that they make can be read and written by all, less the umask.
        follow: whether a symbolic link is followed; otherwise it is refused.

    Raises:
        NoFile: for a link, a folder, a pipe, a socket or a device.
        OSError: where there is nothing, or the system refuses.
    """
    try:
        _check_regular(path, os.stat(path, follow_symlinks=follow))  # before: opening a device can do something
    except FileNotFoundError:
        if not flags & os.O_CREAT:
            raise
    opened = os.open(path, flags | SAFE | (0 if follow else NO_LINK), 0o666)
    try:
        _check_regular(path, os.fstat(opened))  # and what was opened is what was checked
    except NoFile:
        os.close(opened)
        raise
    return opened


def read_whole(opened: int | BinaryIO, most: int) -> bytes:
    """All bytes of an open file, which is closed then.

    Raises:
        TooLarge: if it has more than `most`.
    """
    with open(opened, "rb") if isinstance(opened, int) else opened as file:
        raw = file.read(most + 1)
    if len(raw) > most:
        raise TooLarge(f"it has more than {most:,} bytes")
    return raw


def open_file(path: str | Path, *, links_into: Path | None = None) -> BinaryIO:
    """The regular file at `path`, open for reading.

    Args:
        path: of the file itself; a symbolic link is refused.
        links_into: a folder into which a link at `path` may lead all the same, as in the cache of a hub.

    Raises:
        ValueError: for a link, a folder, a pipe, a socket or a device.
        OSError: where there is nothing, or the system does not let us read.
    """
    path = Path(path)
    real = path.resolve() if links_into is not None and path.is_symlink() else path
    if real != path and not real.is_relative_to(links_into.resolve()):
        raise ValueError(one_line(f"{path} is a link that leads out of its model, and only the file itself is read"))
    try:
        if "\0" in str(path):
            raise FileNotFoundError
        return open(descriptor(real), "rb")
    except NoFile as found:
        raise NoFile(path, found.kind) from None
    except FileNotFoundError:
        raise FileNotFoundError(one_line(f"there is no file {path}")) from None
    except OSError as error:
        raise OSError(one_line(f"cannot read {path}: {error.strerror or error}")) from None


def read_bytes(path: str | Path, most: int, *, links_into: Path | None = None) -> bytes:
    """All bytes of a regular file, which may have at most `most`."""
    try:
        return read_whole(open_file(path, links_into=links_into), most)
    except TooLarge:
        raise ValueError(one_line(f"{path} has more than {most:,} bytes, which is no file of its kind")) from None


def read_object(path: str | Path, most: int = MOST_JSON_BYTES, *, links_into: Path | None = None) -> dict:
    """The object in a JSON file of at most `most` bytes; see `parse_json`."""
    found = parse_json(read_bytes(path, most, links_into=links_into), str(path))
    if not isinstance(found, dict):
        raise ValueError(one_line(f"{path} must hold a JSON object, got {shown(found)}"))
    return found


def parse_json(raw: bytes, source: str) -> object:
    """The value that UTF-8 JSON writes, at most 32 levels deep, its numbers finite and within 64 bits.

    Raises:
        ValueError: naming `source`.
    """
    try:
        found = json.loads(raw.decode("utf-8"), parse_int=_whole, parse_float=_finite, parse_constant=_constant)
        _check_values(found)
    except RecursionError:
        raise ValueError(one_line(f"{source} is not readable JSON: it is too deeply nested")) from None
    except ValueError as error:
        raise ValueError(one_line(f"{source} is not readable JSON: {error}")) from None
    return found


def is_number(value: object) -> bool:
    """Whether a value of such a document is a finite number; True and False are none.

    Example:
        >>> is_number(1), is_number(0.5), is_number(True), is_number("1"), is_number(float("inf"))
        (True, True, False, False, False)
    """
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def one_line(text: str, most: int = 400) -> str:
    """`text` as part of a message: without line breaks and terminal codes, and cut to `most` characters."""
    text = printable(text[: most + 1])
    return text if len(text) <= most else f"{text[: most - 3]}..."


def shown(value: object, most: int = 60) -> str:
    """`repr(value)`, cut where it is long; the value comes from `parse_json`, so it is not deep."""
    return one_line(repr(value), most)


def _check_regular(path: str | Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise NoFile(path, KINDS.get(stat.S_IFMT(found.st_mode), "no file"))


def _whole(digits: str) -> int:
    if len(digits) > 20 or abs(int(digits)) > MOST_JSON_NUMBER:
        raise ValueError(f"the number {shown(digits, 24)} does not fit 64 bits")
    return int(digits)


def _finite(digits: str) -> float:
    if abs(value := float(digits)) == float("inf"):
        raise ValueError(f"the number {shown(digits, 24)} is too large")
    return value


def _constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _check_values(found: object) -> None:
    """No deep nesting, which would break whatever prints the value; no half of a pair of surrogates, likewise."""
    level, depth = [found], 0
    while level:
        depth += 1
        if depth > MOST_JSON_DEPTH:
            raise ValueError("it is too deeply nested")
        inner = []
        for value in level:
            if isinstance(value, dict):
                inner += [*value, *value.values()]
            elif isinstance(value, list):
                inner += value
            elif isinstance(value, str) and not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
                raise ValueError("a string in it is not UTF-8 text")
        level = inner
