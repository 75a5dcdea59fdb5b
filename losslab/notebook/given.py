"""What is given to a function in Python: checked as on the command line, and never left out because it is 0."""

import os
import re
from collections.abc import Sequence

from losslab.config.numbers import MAX_WORKERS, check, shown

SHA256 = re.compile("[0-9a-fA-F]{64}")


def texts(**values: object) -> dict[str, str]:
    """The texts and paths that are given: None and an empty text say nothing.

    Raises:
        ValueError: naming the value that is no text.
    """
    found: dict[str, str] = {}
    for name, value in values.items():
        value = os.fspath(value) if isinstance(value, os.PathLike) else value
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{name.rpartition('.')[2]} must be a text, got {shown(value)}")
        if value:
            found[name] = value
    return found


def listed(value: object) -> object:
    """A list for what can be one, such as a range."""
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str | bytes) else value


def hashes(trust: object) -> tuple[str, ...]:
    """The sha256 of loss files, in lower case.

    Raises:
        ValueError: for what is none.
    """
    every = listed(() if trust is None else trust)
    if not isinstance(every, list) or not all(isinstance(each, str) and SHA256.fullmatch(each) for each in every):
        raise ValueError("trust takes a list of the sha256 of loss files, 64 hexadecimal digits each, got "
                         f"{shown(trust)}")
    return tuple(each.lower() for each in every)


def processes(workers: int, threads: int) -> None:
    """Numbers of processes and of threads, both whole.

    Raises:
        ValueError: for others.
    """
    from losslab import machine

    for name, value, low, high in (("workers", workers, 1, MAX_WORKERS), ("threads", threads, 0, machine.MAX_THREADS)):
        if type(value) is not int:
            raise ValueError(f"{name} must be a whole number, got {shown(value)}")
        check(name, value, low, high)
