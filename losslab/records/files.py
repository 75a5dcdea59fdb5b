"""Files of a run folder, which somebody else may have made: no link is followed, nothing waits or is read without end.

Whoever can write in a folder can also write checksums: they find accidents, not forgery.
"""

import hashlib
import json
import math
import os
import secrets
import stat
from pathlib import Path

from losslab import untrusted
from losslab.words import printable

MOST_BYTES = 64 << 20  # of a JSON document
MOST_DEPTH = 40  # of values in values


def damaged(path: Path, why: str) -> ValueError:
    """The one sentence about a file that cannot be believed, with what would do."""
    remedies = {
        "result.json": f"remove this file, and `losslab train --resume {path.parent}` measures the run again",
        "environment.json": "remove this file; only what it says of the machine is lost",
        "costs.json": "remove this file, and the arms are timed again",
        "looks.json": "put back a copy of it, or begin anew in another store: without it no error rate can be kept",
        "arms.json": "remove this file, and `losslab compare` of the study writes it again",
        "tags.json": "remove this file; only the tags are lost",
        "board.json": "put back a copy of it",
        "cross_entropy.json": "remove this file, and its settings are searched again",
    }
    usual = ("put back a copy of it: a board counts every entry" if path.parent.name == "rows" else
             "remove the run folder and run it again")
    return ValueError(printable(f"{path} is damaged ({why}); {remedies.get(path.name, usual)}"))


# --- opening -----------------------------------------------------------------------------------

def descriptor(path: Path, flags: int, *, own: bool = False) -> int:
    """`os.open` of a plain file, never through a link; `own`: it must have no second name either.

    Raises:
        FileNotFoundError: if there is none and `flags` do not make one.
        ValueError: if it is a link, a folder, a pipe, a device.
    """
    try:
        opened = untrusted.descriptor(path, flags)
    except untrusted.NoFile as found:
        raise ValueError(printable(f"{path} is {found.kind}, not a plain file, and is neither read nor written; "
                                   "remove it")) from None
    if own and os.fstat(opened).st_nlink > 1:
        os.close(opened)
        raise ValueError(printable(f"{path} is the same file as another one elsewhere, which would be written over; "
                                   "remove it"))
    return opened


def read_bytes(path: Path, most: int = MOST_BYTES) -> bytes:
    """All bytes of a plain file.

    Args:
        path: a file; a link is refused.
        most: the most bytes that it may have.

    Raises:
        ValueError: for a file that is longer, or no plain file.
        FileNotFoundError: if there is none.
    """
    try:
        return untrusted.read_whole(descriptor(path, os.O_RDONLY), most)
    except untrusted.TooLarge:
        told = f"{path} is larger than {most >> 20} MB, which no such file is; remove it"
        raise ValueError(printable(told)) from None


def write_whole(path: Path, data: bytes) -> None:
    """Write whole or not at all: a reader never sees half a file, and a link in its place is replaced, not followed."""
    path = Path(path)
    temporary = path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}")
    opened = untrusted.descriptor(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        with os.fdopen(opened, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def set_aside(path: Path) -> Path | None:
    """Give what lies at `path` another name, so that its place is free and nothing is lost."""
    if not os.path.lexists(path):
        return None
    aside = path.with_name(f"{path.name}.aside-{secrets.token_hex(4)}")
    os.rename(path, aside)
    return aside


# --- JSON --------------------------------------------------------------------------------------

def parse(data: bytes):
    """The value of a JSON document.

    Raises:
        ValueError: it is no UTF-8 or JSON, nests too deep, or has a number that no computer number holds.
    """
    text = data.decode("utf-8")
    try:
        value = READER.decode(text)
        if text.count("{") + text.count("[") > MOST_DEPTH or "\\u" in text:
            _walk(value)
    except RecursionError:
        raise ValueError(f"more than {MOST_DEPTH} values in values") from None
    return value


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:30]} is beyond the largest number")
    return value


def _int(text: str) -> int:
    if len(text) > 19:
        raise ValueError(f"{text[:30]} is beyond the largest whole number")
    return int(text)


READER = json.JSONDecoder(parse_float=_float, parse_int=_int)
CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))  # what a checksum is of


def _walk(value) -> None:
    """Refuse what nests too deep, and text with halves of characters."""
    todo = [(value, 1)]
    while todo:
        value, depth = todo.pop()
        if depth > MOST_DEPTH:
            raise ValueError(f"more than {MOST_DEPTH} values in values")
        if isinstance(value, dict):
            todo += [(inner, depth + 1) for pair in value.items() for inner in pair]
        elif isinstance(value, list):
            todo += [(inner, depth + 1) for inner in value]
        elif isinstance(value, str) and not value.isascii():
            try:
                value.encode("utf-8")
            except UnicodeEncodeError:
                raise ValueError("text that is not Unicode") from None


def write_json(path: str | Path, value) -> None:
    """Write `value` whole or not at all.

    Raises:
        ValueError: for a text that is not Unicode.
        OSError: if the file cannot be written.
    """
    try:
        data = (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(printable(f"cannot write {path}: a text in it, such as a path, is not Unicode")) from None
    write_whole(Path(path), data)


# --- documents with a checksum ------------------------------------------------------------------

def checksum(value: dict) -> str:
    """sha256 of the canonical JSON of a document, its own checksum aside."""
    rest = {key: inner for key, inner in value.items() if key != "checksum"}
    return hashlib.sha256(CANONICAL.encode(rest).encode()).hexdigest()


def write_sealed(path: str | Path, value: dict) -> None:
    """Write a document with the checksum that `read_sealed` compares."""
    plain = json.loads(json.dumps(value))  # keys and lists as they are read back
    write_json(path, plain | {"checksum": checksum(plain)})


def read_sealed(path: Path, newest: int, *, always: bool = False) -> dict:
    """The document at `path`, whole, as it was written; its checksum is compared and left out.

    Args:
        path: of the document.
        newest: the largest format that is read.
        always: whether such documents have had a checksum in every format; those of runs have one from format 2 on.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it cannot be read, was changed, or has a format above `newest`.
    """
    try:
        data = read_bytes(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ValueError(printable(f"cannot read {path}: {error.strerror}")) from None
    try:
        value = parse(data)
    except ValueError as error:
        raise damaged(path, str(error)) from None
    if not isinstance(value, dict):
        raise damaged(path, f"it should hold fields with names, and holds {type(value).__name__}")
    version = value.get("format", 1)
    if not isinstance(version, int) or isinstance(version, bool) or version < 0:
        raise damaged(path, f"its format should be a number, and is {str(version)[:30]!r}")
    if version > newest:
        raise ValueError(printable(f"{path.parent} was written by a newer losslab (run format {version}, this one "
                                   f"reads up to {newest}); update losslab to read it"))
    if (always or version >= 2) and "checksum" not in value:
        raise damaged(path, "its checksum is missing")
    if "checksum" in value and value.pop("checksum") != checksum(value):
        raise damaged(path, "its checksum does not fit what it says")
    return value


def is_plain_folder(path: Path) -> bool:
    """Whether `path` is a folder itself, and no link to one."""
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False
