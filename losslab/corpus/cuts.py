r"""Where a long text may be cut so that the ids of its pieces, joined, are the ids of the whole.

A byte-level BPE first splits a text into words by GPT-2's expression

    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+

and merges bytes within words only. It reads from left to right, at most one character past a word. Between
two characters of different kinds (letters, numbers, whitespace, all others) a word ends for certain, except
- after whitespace: a space belongs to the word behind it, and what follows decides how a run of them is divided;
- after an apostrophe: `'s` is one word.
So every word before such a place is the same without what follows, and every word behind it without what came before.
"""

import functools
import sys
import unicodedata
from collections.abc import Iterable, Iterator

import numpy as np

PIECE_BYTES = 1 << 18  # of text given to a tokenizer at once where a document is longer than `LONGEST`
LONGEST = 1_000_000  # bytes of text that are taken whole; a longer run of one kind of characters is refused
UNKNOWN, LETTER, NUMBER, SPACE, OTHER = range(5)


def pieces(blocks: Iterable[str], cuts: str, what: str, name: str) -> Iterator[str]:
    """The text of `blocks` in pieces whose ids, joined, are those of the whole.

    Args:
        blocks: a text in parts, each much smaller than memory.
        cuts: where it may be cut, as `Tokenizer.cuts` says.
        what, name: of the text and of the tokenizer, for an error.

    Errors: ValueError if a megabyte has no place where a word ends for certain.
    """
    if cuts == "anywhere":
        yield from blocks
        return
    rest, size = "", 0
    for block in blocks:
        rest, size = rest + block, size + len(block.encode())
        at = last_cut(rest) if cuts == "words" else 0
        if at:
            yield rest[:at]
            rest, size = rest[at:], len(rest[at:].encode())
        elif size > LONGEST:
            raise ValueError(
                f"{what} has {LONGEST:,} bytes in which {name} ends no word, so they cannot be tokenized in "
                "pieces; take the tokenizer `bytes`, or divide that text with spaces, line breaks or document marks"
            )
    if rest:
        yield rest


def last_cut(text: str) -> int:
    """The last place inside `text` at which a word of a byte-level BPE ends, whatever comes after; 0 if none is sure.

    Example:
        >>> last_cut("two words"), last_cut("unknown"), last_cut("it's")
        (3, 0, 0)
    """
    kinds = _kinds()[np.frombuffer(text.encode("utf-32-le"), dtype="<u4")]
    before, after = kinds[:-1], kinds[1:]
    sure = (before != after) & (before != UNKNOWN) & (after != UNKNOWN) & (before != SPACE)
    found = np.flatnonzero(sure)
    return int(found[-1]) + 1 if len(found) else 0


@functools.cache
def _kinds() -> np.ndarray:
    """`[code points]` the kind of each character.

    Unknown are apostrophes, and all characters that were not of the same kind in Unicode 3.2 and today: the library
    that tokenizes has its own table, of an unknown version of Unicode.
    """
    kinds = np.zeros(sys.maxunicode + 1, dtype=np.uint8)
    for code in range(0x10000):
        kind = _kind(unicodedata.category(chr(code)))
        if kind == _kind(unicodedata.ucd_3_2_0.category(chr(code))):
            kinds[code] = kind
    kinds[[ord(character) for character in "\t\n\r"]] = SPACE
    kinds[ord("'")] = UNKNOWN
    return kinds


def _kind(category: str) -> int:
    return {"L": LETTER, "N": NUMBER, "Z": SPACE, "M": OTHER, "P": OTHER, "S": OTHER}.get(category[0], UNKNOWN)
