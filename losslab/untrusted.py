"""Reading files that someone else wrote: regular files alone, of a bounded size, and JSON that is not too deep.

Every function here answers what it does not accept with one sentence, a `ValueError`, or an `OSError` where the
system refuses. A link, a pipe or a device in the place of a file is refused before a byte of it is read.
"""

import json
import os
import stat
from pathlib import Path
from typing import BinaryIO

MOST_JSON_BYTES = 2**26  # the largest tokenizer.json of a published model is half of this
MOST_JSON_DEPTH = 32
MOST_JSON_NUMBER = 2**63


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
        _check_regular(path, real.lstat().st_mode)  # before it is opened: opening a device can do something
        descriptor = os.open(real, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        raise FileNotFoundError(one_line(f"there is no file {path}")) from None
    except OSError as error:
        raise OSError(one_line(f"cannot read {path}: {error.strerror or error}")) from None
    file = open(descriptor, "rb")
    try:
        _check_regular(path, os.fstat(descriptor).st_mode)  # and what was opened is what was looked at
    except ValueError:
        file.close()
        raise
    return file


def read_bytes(path: str | Path, most: int, *, links_into: Path | None = None) -> bytes:
    """All bytes of a regular file, which may have at most `most`."""
    with open_file(path, links_into=links_into) as file:
        raw = file.read(most + 1)
    if len(raw) > most:
        raise ValueError(one_line(f"{path} has more than {most:,} bytes, which is no file of its kind"))
    return raw


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


def one_line(text: str, most: int = 400) -> str:
    """`text` as part of a message: without line breaks and terminal codes, and cut to `most` characters."""
    text = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text[: most + 1])
    return text if len(text) <= most else f"{text[: most - 3]}..."


def shown(value: object, most: int = 60) -> str:
    """`repr(value)`, cut where it is long; the value comes from `parse_json`, so it is not deep."""
    return one_line(repr(value), most)


def _check_regular(path: Path, mode: int) -> None:
    kinds = {stat.S_ISLNK: "a symbolic link", stat.S_ISDIR: "a folder", stat.S_ISFIFO: "a pipe",
             stat.S_ISSOCK: "a socket", stat.S_ISCHR: "a device", stat.S_ISBLK: "a device"}
    for is_kind, name in kinds.items():
        if is_kind(mode):
            raise ValueError(one_line(f"{path} is {name}, and not a file; put the file itself there"))


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
