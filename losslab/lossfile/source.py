"""The text of a loss file, read and not run."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from losslab.grammar import Call, Formula
from losslab.untrusted import one_line

MOST_BYTES = 1_000_000  # of a loss file; a longer text is data, not a loss


class LossError(ValueError):
    """A loss file that cannot be read, fails, or gives something that is not a loss."""


@dataclass(frozen=True)
class Source:
    """A loss file as it was read: the run keeps this text, so that an edit cannot change a run midway."""

    path: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def sources(parsed: Formula, files: Mapping[str, str] | None = None) -> list[Source]:
    """The files that a formula names, in the order of its terms.

    Args:
        parsed: the formula.
        files: source text by the path that the formula gives; other files are read from disk.

    Raises:
        LossError: for a file that cannot be read.
    """
    return [read(call, files) for _, call in parsed.terms if call.name == "file"]


def read(call: Call, files: Mapping[str, str] | None = None) -> Source:
    """The file that `call`, such as `file("my_loss.py")`, names: from `files` where it is there, else from disk."""
    if not call.positional:
        raise ValueError(f'{call} names no file; write file("my_loss.py")')
    path = str(call.positional[0])
    if files and path in files:
        return Source(path, files[path])
    try:
        file = Path(path)
        if file.exists() and not file.is_file():
            raise LossError(f"cannot read the loss file {path}: it is not a file")
        if file.stat().st_size > MOST_BYTES:
            raise LossError(f"the loss file {path} has more than {MOST_BYTES:,} bytes; a loss is one function")
        return Source(path, file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LossError(f"there is no loss file {path}; give its path from the current folder") from None
    except LossError:
        raise
    except (OSError, ValueError) as error:  # not UTF-8, or a name that no file can have
        raise LossError(one_line(f"cannot read the loss file {path}: {error}")) from None
