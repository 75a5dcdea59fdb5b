"""The studies in stages that come with losslab: those of `losslab/studies` that have [[stage]] tables."""

from losslab.config.numbers import shown
from losslab.stages.file import Staged
from losslab.stages.reading import parse
from losslab.study import registry
from losslab.words import nearest


def names() -> tuple[str, ...]:
    """In the order of the alphabet."""
    return registry.names(staged=True)


def load(name: str) -> Staged:
    """The study of that name.

    Raises:
        ValueError: for a name that none has.

    Example:
        >>> [stage.name for stage in load("story-gpt").stages]
        ['pretrain', 'tune', 'stories', 'answers', 'story-grades', 'answer-grades']
    """
    return parse(text(name), f"{name}.toml")


def text(name: str) -> str:
    """Its file.

    Raises:
        ValueError: for a name that none has.
    """
    if name not in names():
        raise ValueError(f"unknown study in stages {shown(name)}{nearest(name, names())}; there are "
                         f"{', '.join(names())}")
    return registry.read(name)
