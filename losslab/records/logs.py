"""The log of a run, line by line: what is no line of one is left out and said."""

import hashlib
from pathlib import Path

from losslab.records import checks, files
from losslab.words import printable

MOST_BYTES = 512 << 20


def seal_of(path: Path) -> dict:
    """`{lines, sha256}` of a log as it lies there; of no bytes where it is missing or no file."""
    try:
        data = files.read_bytes(path, MOST_BYTES)
    except (ValueError, FileNotFoundError):
        data = b""
    return {"lines": data.count(b"\n"), "sha256": hashlib.sha256(data).hexdigest()}


def read(path: Path, seal: dict | None, *, ended: bool) -> tuple[list[dict], str | None]:
    """The lines of a log, and a sentence on what is wrong with it; None where nothing is known to be.

    Args:
        path: of the file.
        seal: what `seal_of` gave when the run ended; None where it has not, or kept none.
        ended: whether the run ended: a last line cut short by a kill is no damage before that.
    """
    try:
        data = files.read_bytes(path, MOST_BYTES)
    except FileNotFoundError:
        lost = seal and seal["lines"]
        return [], printable(f"{path} is missing; the run wrote {lost} lines") if lost else None
    except ValueError as error:
        return [], str(error)
    except OSError as error:
        return [], printable(f"cannot read {path}: {error.strerror}")
    lines, odd = [], []
    pieces = data.split(b"\n")
    for number, piece in enumerate(pieces, start=1):
        if not piece.strip():
            continue
        try:
            line = files.parse(piece)
        except ValueError:
            line = None
        if checks.log_line(line):
            lines.append(line)
        elif number < len(pieces) or ended:  # else it was cut short by a kill
            odd.append(number)
    damage = _changed(path, data, seal) if seal else None
    if odd and not damage:
        damage = f"{path}: {len(odd)} of its lines are no lines of a log (the first is line {odd[0]}) and are left out"
    return lines, damage and printable(damage)


def _changed(path: Path, data: bytes, seal: dict) -> str | None:
    if hashlib.sha256(data).hexdigest() == seal["sha256"]:
        return None
    left = data.count(b"\n")
    how = (f"was cut after the run ended: {left} of its {seal['lines']} lines are whole" if left < seal["lines"]
           else "was changed after the run ended: it is not what the run wrote")
    return f"{path} {how}; the scores do not rest on it, the learning curve does"
