"""The manifest of a checkpoint: which files it has, and the sha256 of each; what does not fit is `Damaged`."""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from losslab import tensors, untrusted

MANIFEST = "manifest.json"
WEIGHTS, ABOUT = "model.safetensors", "model.json"
NEEDED = {WEIGHTS, ABOUT, "losslab_tokenizer.json", "tokenizer.json"}  # each is read, so each stands in the manifest


class Damaged(ValueError):
    """A checkpoint whose bytes are not those that were written, or that do not belong together."""


@contextlib.contextmanager
def damage(path: Path) -> Iterator[None]:
    """Whatever is wrong inside is damage of the checkpoint at `path`."""
    try:
        yield
    except (ValueError, OSError, OverflowError) as error:
        raise Damaged(untrusted.one_line(f"checkpoint {path} is damaged: {error}")) from None


def sign(path: Path) -> None:
    """Write the manifest of the files in a folder, and all of them to the disk."""
    sums = {file.name: sha256(file) for file in sorted(path.iterdir())}
    (path / MANIFEST).write_text(json.dumps(sums, indent=1) + "\n", encoding="utf-8")
    for file in path.iterdir():
        with open(file, "rb") as handle:
            os.fsync(handle.fileno())


def manifest(path: Path) -> dict[str, str]:
    """File name -> sha256 of all that is read from a checkpoint, and perhaps of more."""
    try:
        found = untrusted.read_object(path / MANIFEST)
    except (ValueError, OSError) as error:
        text = f"checkpoint {path} is damaged: {MANIFEST} is missing or unreadable: {error}"
        raise Damaged(untrusted.one_line(text)) from None
    with damage(path):
        for name, given in found.items():
            if Path(name).name != name or name.startswith("."):  # it cannot point out of its folder
                raise ValueError(f"{MANIFEST} names {name!r}, which is no file in it")
            if not isinstance(given, str) or not re.fullmatch("[0-9a-f]{64}", given):
                raise ValueError(f"{MANIFEST} has no sha256 for {name!r}")
        for name in sorted(NEEDED - found.keys()):
            raise ValueError(f"{MANIFEST} does not name {name}")
    return found


def verify(path: Path) -> dict[str, str]:
    """The manifest, once every file that it names was found and has the sum that it gives."""
    written = manifest(path)
    with damage(path):
        for name, expected in written.items():
            if not os.path.lexists(path / name):
                raise ValueError(f"{name} is missing")
            if sha256(path / name) != expected:
                raise ValueError(f"{name} is not what was written")
    return written


def sha256(path: Path) -> str:
    with untrusted.open_file(path) as file:
        if (size := os.fstat(file.fileno()).st_size) > tensors.memory_bytes():
            raise ValueError(f"{path.name} has {size:,} bytes, more than the memory of this machine")
        return hashlib.file_digest(file, "sha256").hexdigest()
