"""The studies that come with losslab: one TOML file each in `losslab/studies`, whose arms are formulas, never files."""

import tomllib
from functools import cache
from importlib import resources

from losslab.config.numbers import shown
from losslab.study.definition import Study
from losslab.study.file import parse
from losslab.words import nearest

GIVEN = "RUN"  # the start of a study that fine-tunes a model of the user's


@cache
def names(*, staged: bool = False) -> tuple[str, ...]:
    """In the order of the alphabet: the studies that compare losses, or those in stages (see `losslab.stages`)."""
    every = sorted(each.name.removesuffix(".toml") for each in _folder().iterdir() if each.name.endswith(".toml"))
    return tuple(name for name in every if ("stage" in tomllib.loads(read(name))) == staged)


def load(name: str) -> Study:
    """The study of that name.

    Raises:
        ValueError: for a name that none has.

    Example:
        >>> [arm.loss for arm in load("squentropy").arms]
        ['cross_entropy', 'squentropy', 'squentropy(square_weight=0.1)']
    """
    return parse(text(name), f"{name}.toml")


def text(name: str) -> str:
    """Its file.

    Raises:
        ValueError: for a name that none has.
    """
    if name not in names():
        every = sorted((*names(), *names(staged=True)))
        raise ValueError(f"unknown study {shown(name)}{nearest(name, every)}; the studies that come with losslab are "
                         f"{', '.join(every)}, and `losslab compare study.toml` takes one of yours")
    return read(name)


def read(name: str) -> str:
    """The file of a name that there is."""
    return _folder().joinpath(f"{name}.toml").read_text("utf-8")


def _folder():
    return resources.files("losslab").joinpath("studies")
