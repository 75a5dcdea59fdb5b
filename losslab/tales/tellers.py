"""Three ways of following the grammar: to write a story, to read one back, and to survey them all."""

import math
import random
from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate


class Table:
    """Weighted alternatives, each of which says its `text` when it is picked."""

    def __init__(self, *rows, weights: Sequence[float] | None = None):
        weights = weights or [1] * len(rows)
        assert len(weights) == len(rows)
        self.rows = rows
        self.texts = [getattr(row, "text", row) for row in rows]
        self.probs = [weight / sum(weights) for weight in weights]
        self.logs = [math.log(p) for p in self.probs]
        self.steps = list(accumulate(self.probs))[:-1]


class Writer:
    """Chooses at random, and writes the story down."""

    def __init__(self, rng: random.Random):
        self.draw, self.parts, self.log_prob = rng.random, [], 0.0
        self.say = self.parts.append

    def pick(self, table: Table):
        """Say one text of a table; the row it belongs to."""
        i = bisect(table.steps, self.draw())
        self.parts.append(table.texts[i])
        self.log_prob += table.logs[i]
        return table.rows[i]

    def vary(self, *options: tuple[int, str]) -> int:
        """Say one of several texts, `(weight, text)`; which."""
        total = sum([weight for weight, _ in options])
        i, left = 0, self.draw() * total - options[0][0]
        while left >= 0 and i + 1 < len(options):
            i += 1
            left -= options[i][0]
        weight, text = options[i]
        self.parts.append(text)
        self.log_prob += math.log(weight / total)
        return i

    branch = vary  # a choice on which later choices depend

    @property
    def story(self) -> str:
        return "".join(self.parts)


class Reader:
    """Finds out, from the story, what was chosen."""

    def __init__(self, story: str):
        self.story, self.place, self.log_prob = story, 0, 0.0

    def say(self, text: str) -> None:
        if not self.story.startswith(text, self.place):
            raise Unreadable
        self.place += len(text)

    def pick(self, table: Table):
        for i, text in enumerate(table.texts):
            if self.story.startswith(text, self.place):
                self.place += len(text)
                self.log_prob += table.logs[i]
                return table.rows[i]
        raise Unreadable

    def vary(self, *options: tuple[int, str]) -> int:
        for i, (weight, text) in enumerate(options):
            if self.story.startswith(text, self.place):
                self.place += len(text)
                self.log_prob += math.log(weight / sum([weight for weight, _ in options]))
                return i
        raise Unreadable

    branch = vary


class Unreadable(Exception):
    """The grammar cannot have written this."""


class Surveyor:
    """Walks one path of branches, and adds up over all that may be picked along it.

    A picked row stands for the whole table: each of its fields is one letter whose length is the expected
    length of that field. Lengths add up, so the expected length of a story is exact.
    """

    def __init__(self, path: Sequence[int]):
        self.path, self.turns = path, []  # number of alternatives at each branch met
        self.prob, self.entropy, self.num_bytes, self.num_stories = 1.0, 0.0, 0.0, 1
        self.lengths: dict[str, float] = {}

    def say(self, text: str) -> None:
        self.num_bytes += self._length(text)

    def pick(self, table: Table):
        self._choose(table.probs)
        self.num_bytes += sum(p * len(text.encode()) for p, text in zip(table.probs, table.texts, strict=True))
        if isinstance(table.rows[0], str):
            return self._stand_in(table.probs, table.rows)
        return type(table.rows[0])(*(self._stand_in(table.probs, column) for column in zip(*table.rows, strict=True)))

    def vary(self, *options: tuple[int, str]) -> int:
        probs = [weight / sum(weight for weight, _ in options) for weight, _ in options]
        self._choose(probs)
        self.num_bytes += sum(p * self._length(text) for p, (_, text) in zip(probs, options, strict=True))
        return 0

    def branch(self, *options: tuple[int, str]) -> int:
        turn = self.path[len(self.turns)] if len(self.turns) < len(self.path) else 0
        self.turns.append(len(options))
        p = options[turn][0] / sum(weight for weight, _ in options)
        self.prob *= p
        self.entropy -= math.log(p)
        self.say(options[turn][1])
        return turn

    def _choose(self, probs: Sequence[float]) -> None:
        self.entropy -= sum(p * math.log(p) for p in probs)
        self.num_stories *= len(probs)

    def _stand_in(self, probs: Sequence[float], texts: Sequence[str]) -> str:
        letter = chr(0xE000 + len(self.lengths))  # of the private use area: no story has it
        self.lengths[letter] = sum(p * len(text.encode()) for p, text in zip(probs, texts, strict=True))
        return letter

    def _length(self, text: str) -> float:
        return sum(self.lengths.get(letter, len(letter.encode())) for letter in text)
