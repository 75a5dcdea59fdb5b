"""How much of a text stands word for word in another one: exactly, and while the other one is read once.

The texts that are asked about become a suffix automaton, a machine with a state for each set of places at which the
same words end. The training text runs through it and leaves in each state the longest run of words that it had there,
so that only the completions have to fit the memory.
"""

from collections.abc import Iterable, Sequence

Words = Sequence[str]
WINDOW = 8  # words of a window that is looked up


class Automaton:
    """The suffix automaton of several sequences of words.

    Example:
        >>> found = Automaton([["the", "cat", "sat"], ["a", "dog"]])
        >>> found.read(["then", "the", "cat", "ran"])
        >>> found.matches(0), found.matches(1)
        ([1, 2, 0], [0, 0])
    """

    def __init__(self, sequences: Sequence[Words]):
        self.next: list[dict[str, int]] = [{}]
        self.link, self.length = [-1], [0]
        self.ends: list[list[int]] = []  # of each sequence, the state after each word
        for sequence in sequences:
            last, states = 0, []
            for word in sequence:
                last = self._add(last, word)
                states.append(last)
            self.ends.append(states)
        self.longest = [0] * len(self.link)  # the longest run of words of a state that was read
        self._settled = True

    def read(self, words: Iterable[str]) -> None:
        """Let one text run through; runs of words do not cross from one text into the next."""
        state, length = 0, 0
        follow, link, lengths, longest = self.next, self.link, self.length, self.longest
        for word in words:
            while state and word not in follow[state]:
                state = link[state]
                length = lengths[state]
            if word in follow[state]:
                state = follow[state][word]
                length += 1
                if length > longest[state]:
                    longest[state] = length
        self._settled = False

    def matches(self, number: int) -> list[int]:
        """For each word of a sequence, how many words up to and with it stand in a row in some text that was read."""
        if not self._settled:
            self._settle()
        return [self.longest[state] for state in self.ends[number]]

    def _settle(self) -> None:
        """What was read in a state was read in those of its shorter ends, too; what was not has theirs."""
        order = sorted(range(1, len(self.link)), key=self.length.__getitem__)
        for state in reversed(order):
            if self.longest[state] and self.link[state]:
                self.longest[self.link[state]] = self.length[self.link[state]]
        for state in order:
            if not self.longest[state]:
                self.longest[state] = self.longest[self.link[state]]
        self._settled = True

    def _add(self, last: int, word: str) -> int:
        if word in self.next[last]:  # another sequence begins with the same words
            target = self.next[last][word]
            return target if self.length[target] == self.length[last] + 1 else self._split(last, word, target)
        state = self._state(self.length[last] + 1, {})
        while last != -1 and word not in self.next[last]:
            self.next[last][word] = state
            last = self.link[last]
        if last == -1:
            self.link[state] = 0
        else:
            target = self.next[last][word]
            fits = self.length[target] == self.length[last] + 1
            self.link[state] = target if fits else self._split(last, word, target)
        return state

    def _split(self, last: int, word: str, target: int) -> int:
        """A state for the shorter runs of `target`, which now end at other places than its longer ones."""
        state = self._state(self.length[last] + 1, dict(self.next[target]))
        self.link[state] = self.link[target]
        self.link[target] = state
        while last != -1 and self.next[last].get(word) == target:
            self.next[last][word] = state
            last = self.link[last]
        return state

    def _state(self, length: int, follow: dict[str, int]) -> int:
        self.next.append(follow)
        self.link.append(0)
        self.length.append(length)
        return len(self.next) - 1


def longest(matches: Sequence[int]) -> int:
    """Words of the longest run."""
    return max(matches, default=0)


def windows_found(matches: Sequence[int], window: int = WINDOW) -> tuple[int, int]:
    """How many windows of so many words were found, and how many there are.

    Example:
        >>> windows_found([1, 2, 3, 0], 3)
        (1, 2)
    """
    return sum(match >= window for match in matches), max(0, len(matches) - window + 1)
