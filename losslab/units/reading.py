"""Free text made plain enough to be searched: one spelling for numbers, units and signs; and what a sentence denies."""

import re
import unicodedata
from dataclasses import dataclass

NUMBER = r"(?<![\w.^])\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.]*\d)(?!\w)"
SUFFIX = {"k": 1e3, "m": 1e6, "b": 1e9}

_ONES = dict(zip("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
                 "sixteen seventeen eighteen nineteen".split(), range(20), strict=True))
_TENS = dict(zip("twenty thirty forty fifty sixty seventy eighty ninety".split(), range(20, 100, 10), strict=True))
_SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_WORD = "|".join([*_ONES, *_TENS, *_SCALES])
_RUN = (rf"(?:\ba (?=hundred|thousand|million|billion|trillion))?(?:\b\d+(?:\.\d+)? )?\b(?:{_WORD})\b"
        rf"(?:(?:[ -]|(?<=hundred) and )(?:{_WORD})\b)*(?: point(?: (?:{'|'.join(_ONES)})\b)+| and a half\b)?")
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_SIGNS = {"−": "-", "–": "-", "—": ", ", "≈": "~", "’": "'", "‘": "'", "“": '"', "”": '"', "×": "x", "·": "*",
          "⋅": "*", "→": " -> ", "α": "alpha", "±": " +- ", "+/-": " +- ", "**": "^"}  # fmt: skip
_SPELLINGS = [
    (r"(?<=[a-z])_(?=[a-z])", " "),
    (r"\b(vs|approx|resp|ca|incl|excl|st|dev|std)\.", r"\1"), (r"\b(i\.e|e\.g)\.", ""),
    (r"(?<=\d)[,_](?=\d{3}(?!\d))", ""), (r" ?(per ?cent\b|percentage points?\b)", "%"), (r"(?<=\d) %", "%"),
    (r"(?<=\d)(?=(?:bpb|bpc|nats|bits)\b)", " "),
    (r"\bbits?[ /_-]*(?:per|a|/|_per_)?[ /_-]*bytes?\b|\bbpb\b", "bpb"),
    (r"\bbits?[ /_-]*(?:per|a|/|_per_)?[ /_-]*char(?:acter)?s?\b|\bbpc\b", "bpc"),
    (r"\bbits?[ /_-]*(?:per|/)[ /_-]*tok(?:en)?s?\b", "bits per token"),
    (r"\bnats?[ /_-]*(?:per|/)[ /_-]*tok(?:en)?s?\b", "nats per token"),
    (r"\bperplexities\b|\bppls?\b", "perplexity"), (r"\bhalv(?:es|ed|ing|e)\b", "halves"),
    (r"\bdoubl(?:e|es|ed|ing)\b|\btwice\b", "2 times"), (r"\btripl(?:e|es|ed|ing)\b|\bthrice\b", "3 times"),
    (r"\bquadrupl(?:e|es|ed|ing)\b", "4 times"),
]  # fmt: skip
_TIMES = [
    (r"(\d+(?:\.\d+)?) ?-?(?:fold\b|x\b)", r"\1 times"), (r"\b(?:an? )?factors? of (\d+(?:\.\d+)?)", r"\1 times"),
    (r"(?:\ban? |\b1 )orders? of magnitude", "10 times"),
    (r"\b(\d+)\^(\d+)\b(?![.^]\d)", lambda m: _power(*m.groups())),
    (r"\b(\d+) orders? of magnitude", lambda m: f"{_power('10', m[1])} times"),
    (r"\b(\d+) (?:2 times|doublings)", lambda m: f"{_power('2', m[1])} times"),
]  # fmt: skip
_DENIED = r"\b(false|untrue|wrong|wrongly|incorrect|myth|mistake|mistaken|mistakenly|not true|not the case)\b"
_NOT = (
    r"\bnot\b|n't\b|\b(?:cannot|never|neither|nor|none|without mmlu|instead of|rather than|unlike|excludes?|"
    r"excluding|hardly)\b|\bno (?:longer|improvement|better|gain|difference|mmlu|evidence|real|significant)"
)


@dataclass(frozen=True)
class Number:
    """A number as it was written, and between what it may lie: it was rounded, or cut off, at its last digit."""

    text: str
    value: float
    low: float
    high: float

    @classmethod
    def read(cls, text: str, scale: float = 1.0) -> "Number":
        """The number that `text` writes, as `1.83`, `3e-4` or `12`; a whole number is taken to a twentieth at most."""
        value = float(text)  # infinite where it has more digits than a float holds; who reads it bounds it
        digits, _, exponent = text.lower().partition("e")
        whole, point, decimals = digits.partition(".")
        last = 10.0 ** max(-300, min(300, int(exponent or 0) - len(decimals)))
        if not point:
            last = min(last, abs(value) / 20)
        return cls(text, value * scale, (value - last / 2) * scale, (value + last) * scale)


def plain(text: str) -> str:
    """`text` in lower case, with digits for number words and one spelling of units, factors and signs.

    Example:
        >>> plain("Ten-fold compute halved the loss; GZIP is at four and a half bits/byte.")
        '10 times compute halves the loss; gzip is at 4.5 bpb.'
    """
    text = re.sub(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁻]+", lambda m: "^" + m[0].translate(_SUPERSCRIPTS), text[:4000])
    for sign, spelling in _SIGNS.items():
        text = text.replace(sign, spelling)
    text = unicodedata.normalize("NFKC", text).lower()
    for pattern, spelling in _SPELLINGS:
        text = re.sub(pattern, spelling, text)
    text = re.sub(rf"\b(?:{_WORD})(?=fold\b)", lambda m: m[0] + "-", text)
    text = re.sub(_RUN, lambda m: _digits(m[0]), text)
    for pattern, spelling in _TIMES:
        text = re.sub(pattern, spelling, text)
    return re.sub(r"\s+", " ", text).strip()


def sentences(text: str) -> list[str]:
    """The sentences of plain text that state something: no questions; asides such as `, not 11,` left out."""
    text = re.sub(rf",? (?:and )?\bnot {NUMBER}(?: (?:bpb|bpc|tasks|%))?(?=[,.;) ]|$)", "", text)
    return [part for part in re.split(r"(?<=[.!?;]) +|;", text) if part and not part.endswith("?")]


def denied(sentence: str, start: int, end: int) -> bool:
    """Whether the sentence says that what stands from `start` to `end` is not so."""
    if re.search(_DENIED, sentence):
        return True
    breaks = [m.start() for m in re.finditer(r"[,:()]| but ", sentence)]
    first = max([b for b in breaks if b < start], default=0)
    last = min([b for b in breaks if b >= end], default=len(sentence))
    return re.search(_NOT, sentence[first:last].replace("not only", "")) is not None


def numbers(text: str) -> list[Number]:
    """All the numbers of plain text."""
    return [Number.read(m[0]) for m in re.finditer(NUMBER, text)]


def _power(base: str, exponent: str) -> str:
    return str(int(base) ** int(exponent)) if int(exponent) <= 64 and len(base) <= 3 else f"{base}^{exponent}"


def _digits(phrase: str) -> str:
    """`four and a half` -> `4.5`; `1.05 million` -> `1050000`; `twenty-two` -> `22`."""
    phrase, half, _ = phrase.partition(" and a half")
    phrase, point, decimals = phrase.partition(" point ")
    total, current = 0.0, None
    for word in re.split(r"[ -]", phrase):
        if word in _SCALES and word != "hundred":
            total, current = total + (1 if current is None else current) * _SCALES[word], None
        elif word == "hundred":
            current = (1 if current is None else current) * 100
        elif word not in ("a", "and", ""):
            current = (current or 0) + (_ONES | _TENS)[word] if word.isalpha() else float(word)
    total += current or 0
    if decimals:
        return f"{total:.0f}." + "".join(str(_ONES[word]) for word in decimals.split())
    return f"{total + 0.5 * bool(half):.12g}".replace("e+", "e")
