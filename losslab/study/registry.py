"""The studies that come with losslab: one TOML file each in `losslab/studies`, whose arms are formulas, never files."""

from functools import cache
from importlib import resources

from losslab.config.numbers import shown
from losslab.study.file import Study, parse
from losslab.words import nearest


@cache
def names() -> tuple[str, ...]:
    """In the order of the alphabet."""
    return tuple(sorted(each.name.removesuffix(".toml") for each in _folder().iterdir() if each.name.endswith(".toml")))


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
        raise ValueError(f"unknown study {shown(name)}{nearest(name, names())}; the studies that come with losslab are "
                         f"{', '.join(names())}, and `losslab compare study.toml` takes one of yours")
    return _folder().joinpath(f"{name}.toml").read_text("utf-8")


def _folder():
    return resources.files("losslab").joinpath("studies")
