"""What can be said of texts without a judge, each next to the same number of real texts of the same lengths.

A number alone says little: stories for children repeat themselves, and a model that copies the training text looks
excellent. Words are runs of letters, digits and apostrophes in lower case; other signs are no words, save where
sentences end.
"""

import math
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import chain

from losslab.judge import copying
from losslab.judge.statistics import clustered, jackknife, t_ends
from losslab.judge.summary import with_ends
from losslab.stats import Score

WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
SENTENCE = re.compile(r"(?<=[.!?])[\"'\u201d\u2019)]*\s+|\n\s*\n")
Texts = Sequence[Sequence[str]]  # [prompts][completions]
ABOUT = {  # name -> unit, and what it is
    "words": ("words", "words of a text"),
    "distinct_1": ("share", "different words among all words, of all texts together"),
    "distinct_2": ("share", "different pairs of words in a row among all pairs"),
    "distinct_3": ("share", "different runs of three words among all such runs"),
    "repeated_4": ("share", "runs of four words that a text had before, mean over texts (seq-rep-4)"),
    "compression": ("bytes/byte", "size of all texts together after zlib, in their own bytes; low where they repeat"),
    "vocabulary": ("words", "different words of all texts together"),
    "known_words": ("share", "words that the training text has"),
    "sentence_length": ("words", "words of a sentence, mean over sentences"),
    "longest_copy": ("words", "longest run of words that stands in the training text, mean over texts"),
    "copied_8": ("share", "runs of eight words that stand in the training text"),
}


def words(text: str) -> list[str]:
    """The words of a text.

    Example:
        >>> words("Tom's dog said, \\"Woof!\\"")
        ["tom's", 'dog', 'said', 'woof']
    """
    return WORD.findall(text.lower().replace("\u2019", "'"))


def of_texts(texts: Texts, copied: "Copied | None" = None, *, first: int = 0) -> dict[str, dict]:
    """Every measure as a score over prompts, with its interval.

    Args:
        texts: the completions of each prompt.
        copied: what of them stands in the training text; without it the measures of copying are left out.
        first: the number of the first of these texts in `copied`.
    """
    split = [[words(text) for text in group] for group in texts]
    scores = {
        "words": clustered([[len(each) for each in group] for group in split]),
        **{f"distinct_{n}": kinds([[run for text in group for run in runs(text, n)] for group in split])
           for n in (1, 2, 3)},
        "repeated_4": clustered([[repeated(each, 4) for each in group if len(each) >= 4] for group in split]),
        "compression": jackknife(texts, lambda kept: compression(chain.from_iterable(kept))),
        "vocabulary": kinds([list(chain.from_iterable(group)) for group in split], share=False),
        "sentence_length": clustered([[len(each) for text in group for each in sentences(text)] for group in texts]),
    }
    if copied is not None:
        scores |= copied.scores(split, first)
    return {name: with_ends(score, t_ends(score)) | {"unit": ABOUT[name][0]} for name, score in scores.items()}


def runs(text: Sequence[str], n: int) -> list[tuple[str, ...]]:
    """Each run of n words of a text."""
    return list(zip(*(text[i:] for i in range(n)), strict=False))


def kinds(groups: Sequence[Sequence], *, share: bool = True) -> Score:
    """How many different things there are in all groups together, by default as a share of all things.

    The error is that of `jackknife`. The share falls as texts are added, so only equally many can be compared.

    Example:
        >>> kinds([["a", "b"], ["a", "a"]]).value, kinds([["a", "b"], ["a", "a"]], share=False).value
        (0.5, 2)
    """
    present = Counter(kind for group in groups for kind in set(group))
    total = sum(map(len, groups))
    alone = [sum(present[kind] == 1 for kind in set(group)) for group in groups]  # what only this group has

    def statistic(kept: Sequence[int]) -> float:
        gone = set(range(len(groups))) - set(kept)
        left = len(present) - sum(alone[i] for i in gone)
        if not share:
            return left
        size = total - sum(len(groups[i]) for i in gone)
        return left / size if size else math.nan

    return jackknife(range(len(groups)), statistic)  # which leaves out one group at most


def repeated(text: Sequence[str], n: int) -> float:
    """The share of runs of n words that are not the first of their kind; the text has n words or more.

    Example:
        >>> repeated("a b a b a b".split(), 2)  # five runs, two kinds
        0.6

    Reference:
        Welleck et al., Neural text generation with unlikelihood training, 2019. arXiv:1908.04319
    """
    every = runs(text, n)
    return 1 - len(set(every)) / len(every)


def compression(texts: Iterable[str]) -> float:
    """Bytes after zlib (level 6) for each byte of all texts, one after the other; NaN for no bytes."""
    whole = "\n".join(texts).encode("utf-8", "replace")
    return len(zlib.compress(whole, 6)) / len(whole) if whole else math.nan


def sentences(text: str) -> list[list[str]]:
    """The words of each sentence; a sentence ends with . ! or ? and a space, or with an empty line."""
    return [found for part in SENTENCE.split(text) if (found := words(part))]


class Copied:
    """What of many texts stands in the training text, which is read once.

    Args:
        texts: all that will be asked about, each as its words.
        training: the documents of the training text.
    """

    def __init__(self, texts: Sequence[Sequence[str]], training: Iterable[str]):
        automaton, self.vocabulary, self.num_words = copying.Automaton(texts), set(), 0
        for document in training:
            found = words(document)
            automaton.read(found)
            self.vocabulary.update(found)
            self.num_words += len(found)
        self.matches = [automaton.matches(number) for number in range(len(texts))]

    def scores(self, split: Sequence[Sequence[Sequence[str]]], first: int) -> dict[str, Score]:
        longest, windows, known, at = [], [], [], first
        for group in split:
            matches = self.matches[at : at + len(group)]
            at += len(group)
            longest.append([copying.longest(found) for found in matches])
            counts = [copying.windows_found(found) for found in matches]
            windows.append([1.0] * sum(a for a, _ in counts) + [0.0] * sum(b - a for a, b in counts))
            known.append([float(word in self.vocabulary) for text in group for word in text])
        return {"longest_copy": clustered(longest), "copied_8": clustered(windows), "known_words": clustered(known)}


def alike(texts: Texts, beginnings: Sequence[str], real: Sequence[str], pick: Callable[[int], int]) -> list[list[str]]:
    """A piece of a real text for each completion: as many words, after as many words as its prompt has.

    Args:
        texts: completions of each prompt.
        beginnings: the prompts.
        real: held-out texts; each is used once before any is used again, and a long one is several.
        pick: a number below its argument, at random.

    Returns:
        pieces, `[prompts][completions]`. Where no text is long enough they come from its beginning, and where none has
        as many words at all they are shorter.
    """
    needed = max((len(words(text)) for group in texts for text in group), default=0)
    needed += max((len(words(beginning)) for beginning in beginnings), default=0)
    real = [part for text in real for part in _parts(text, max(100, needed))]
    spans = [[match.span() for match in WORD.finditer(text)] for text in real]
    order: list[int] = []
    found = []
    for group, beginning in zip(texts, beginnings, strict=True):
        skipped, pieces = len(words(beginning)), []
        for text in group:
            length = len(words(text))
            if len(order) < len(real):  # begun anew, so that there is always a choice
                order += _shuffled(len(real), pick)
            best = _first_long(order, spans, skipped + length)
            start = skipped if len(spans[order[best]]) >= skipped + length else 0
            chosen = order.pop(best)
            piece = spans[chosen][start : start + length]
            pieces.append(real[chosen][piece[0][0] : _after(real[chosen], piece[-1][1])] if piece else "")
        found.append(pieces)
    return found


def _parts(text: str, size: int) -> list[str]:
    """A text of twice so many words or more in parts of so many; a shorter one as it is."""
    starts = [match.start() for match in WORD.finditer(text)][::size]
    if len(starts) < 3:
        return [text]
    ends = [*starts[1:-1], len(text)]
    return [text[start:end] for start, end in zip(starts, ends, strict=False)]


def _first_long(order: Sequence[int], spans: Sequence, length: int) -> int:
    """The place in `order` of the first text with so many words, else of the longest."""
    for place, number in enumerate(order):
        if len(spans[number]) >= length:
            return place
    return max(range(len(order)), key=lambda place: len(spans[order[place]]))


def _after(text: str, end: int) -> int:
    """Behind the signs that follow a word, such as the end of a sentence."""
    return end + len(re.match(r"[^\w\s]*", text[end:])[0])


def _shuffled(count: int, pick: Callable[[int], int]) -> list[int]:
    order = list(range(count))
    for i in range(count - 1, 0, -1):
        j = pick(i + 1)
        order[i], order[j] = order[j], order[i]
    return order
