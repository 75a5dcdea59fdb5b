"""The embedded corpus: short stories from a grammar whose every probability is known.

Hence `log_prob` is exact, and with it the entropy of any text that was written here: the floor below which no model
can get.
"""

import math
import random
from collections.abc import Sequence
from functools import cache

from losslab.tales.grammar import tell
from losslab.tales.tellers import Reader, Surveyor, Unreadable, Writer

__all__ = ["entropy", "expected_bytes", "floor_bits_per_byte", "log_prob", "num_stories", "stories", "story"]


def story(rng: random.Random) -> str:
    """One story of about 600 bytes, in three or four paragraphs.

    Example:
        >>> story(random.Random(1)) == story(random.Random(1))
        True
    """
    writer = Writer(rng)
    tell(writer)
    return writer.story


def stories(num_bytes: int, seed: int) -> list[str]:
    """Whole stories until they hold `num_bytes` bytes; the same for the same seed, everywhere."""
    rng, told, size = random.Random(seed), [], 0
    while size < num_bytes:
        told.append(story(rng))
        size += len(told[-1].encode())
    return told


def log_prob(text: str) -> float:
    """The log-probability of a whole story, nats; minus infinity for what the grammar cannot write.

    Example:
        >>> log_prob("Once upon a time, a loss met a model.")
        -inf
    """
    reader = Reader(text)
    try:
        tell(reader)
    except Unreadable:
        return -math.inf
    return reader.log_prob if reader.place == len(text) else -math.inf


def floor_bits_per_byte(told: Sequence[str]) -> float:
    r"""The fewest bits per byte that any model can hope for on these stories, their ends included.

    $$-\sum \log_2 p(\text{story}) \Big/ \sum \text{bytes},$$

    what a model that knows the grammar would be charged: compare `bits_per_byte_with_eot`.

    Raises:
        ValueError: without a story.
    """
    if not told:
        raise ValueError("a floor needs at least one story, got none")
    return -sum(map(log_prob, told)) / math.log(2) / sum(len(text.encode()) for text in told)


def entropy() -> float:
    """The entropy of one story, nats: the expected value of `-log_prob`, in closed form."""
    return sum(path.prob * path.entropy for path in _survey())


def expected_bytes() -> float:
    """The expected length of one story, UTF-8 bytes."""
    return sum(path.prob * path.num_bytes for path in _survey())


def num_stories() -> int:
    """How many different stories there are."""
    return sum(path.num_stories for path in _survey())


@cache
def _survey() -> tuple[Surveyor, ...]:
    """Every path of branches, walked once."""
    found, todo = [], [()]
    while todo:
        path = todo.pop()
        surveyor = Surveyor(path)
        tell(surveyor)
        if len(surveyor.turns) > len(path):  # a branch that the path does not speak of: take each of its ways
            todo += [(*path, turn) for turn in range(surveyor.turns[len(path)])]
        else:
            found.append(surveyor)
    return tuple(found)
