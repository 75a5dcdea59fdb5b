"""Sentences about what a perplexity is, and equations written out."""

import math
import re
from collections.abc import Iterator

from losslab.units.arithmetic import OF_BYTES, Check, figure, overlap
from losslab.units.claims import Claim
from losslab.units.reading import NUMBER, Number, denied, sentences

_TIMES_LENGTH = r"(?! ?\)? ?(?:[*x/]|times|multiplied)|-?th)"  # 2^(bits per byte * bytes per token) is right
_POWER = (
    r"(?:(?:2|e) ?(?:\^ ?|to the (?:power (?:of )?)?(?:the )?|raised to (?:the )?(?:power (?:of )?)?)|"
    rf"\bexp(?:onential of)? ?)[({{]? ?(?:the )?bpb{_TIMES_LENGTH}|"
    rf"rais\w+ 2 to (?:the )?(?:power (?:of )?)?bpb{_TIMES_LENGTH}"
)
_AVERAGE, _PART = r"(?:average|mean|averaging|averaged)", r"(?:minibatch|batch|window|document|sequence|chunk)"
_AVERAGED = (
    rf"{_AVERAGE}[a-z ,'-]{{0,40}}?perplexity[a-z ,'-]{{0,25}}?{_PART}|"
    rf"{_AVERAGE}[a-z ,'-]{{0,30}}?{_PART}[a-z'-]{{0,6}} perplexity|"
    rf"perplexity[a-z ,'-]{{0,30}}?(?:averag\w+|is the average|is the mean)[a-z ,'-]{{0,20}}?{_PART}"
)
_KNOWS = (
    r"overstat|too (?:high|large)|larger|differ|bias|\bnot\b|n't|instead|rather|wrong|never|exceed|at least|inflat|"
    r"upper bound|jensen|(?:average|mean) (?:the )?(?:loss|nll)|loss(?:es)? first|geometric"
)
_ANYWHERE = (
    r"\b(?:always|any (?:two|text|data|corpus)|regardless of (?:the )?(?:text|data|corpus)|everywhere|"
    r"whatever the (?:text|data))"
)
_IS = rf" ?(?:=|is|equals|~) ?({NUMBER})"
_BARE = r"(\d+(?:\.\d+)?)"
_EQUATIONS = {
    rf"\bexp ?\(? ?{_BARE} ?\)?{_IS}": math.exp, rf"(?<!\w)e\^\(?{_BARE}\)?{_IS}": math.exp,
    rf"(?<![\d.^])2 ?\^ ?\(?{_BARE}\)?{_IS}": lambda x: 2.0**x,
    rf"\b(?:ln|log) ?\(? ?{_BARE} ?\)?{_IS}": math.log, rf"\blog_?2 ?\(? ?{_BARE} ?\)?{_IS}": math.log2,
}  # fmt: skip


def power_of_bits(claim: Claim) -> Iterator[Check]:
    """2^bpb is a perplexity per byte."""
    if re.search(OF_BYTES, claim.about):
        return
    for sentence in sentences(claim.text):
        match = re.search(_POWER, sentence)
        if match and "perplexity" in sentence and not denied(sentence, *match.span()):
            what = "exp(bits per byte) is no perplexity" if match[0][0] == "e" else "2^(bits per byte) is a byte's"
            yield Check(False, f"{what}; the perplexity per token is 2^(bits per byte * bytes per token): at 1.0 and "
                               "4.39 it is 20.97, and 2.00 per byte")


def mean_of_perplexities(claim: Claim) -> Iterator[Check]:
    """The perplexity of a corpus is exp of its mean loss."""
    for sentence in sentences(claim.text):
        match = re.search(_AVERAGED, sentence)
        if match and not re.search(_KNOWS, sentence) and not denied(sentence, *match.span()):
            yield Check(False, "the perplexity of a corpus is exp of the mean loss over tokens, and a mean of "
                               "perplexities is larger: losses 2, 3, 4 give exp(3) = 20.09, but "
                               "(7.39 + 20.09 + 54.60) / 3 = 27.36")


def always_comparable(claim: Claim) -> Iterator[Check]:
    """Bits per byte are comparable on the same bytes."""
    for sentence in sentences(claim.text):
        match = re.search(r"bpb.*\bcompar(?:able|ed|e)\b|compar(?:able|ed|e)\b.*bpb", sentence)
        same = re.search(r"same (?:text|bytes|data|set|corpus|documents)", sentence)
        if match and re.search(_ANYWHERE, sentence) and not same and not denied(sentence, *match.span()):
            yield Check(False, "two numbers of bits per byte compare only on the same bytes, read with the same context"
                               " and the same rule for document ends")


def equations(claim: Claim) -> Iterator[Check]:
    """`exp(1.83) = 6.23` is computed."""
    for sentence in sentences(claim.text):
        for pattern, function in _EQUATIONS.items():
            for match in re.finditer(pattern, sentence):
                x, y = Number.read(match[1]), Number.read(match[2])
                if denied(sentence, *match.span()) or not 0 < x.low <= x.value < 500_000:
                    continue
                try:
                    low, high, exact = function(x.low), function(x.high), function(x.value)
                except OverflowError:
                    continue
                left = match[0][: match.start(2) - match.start()].removesuffix("equals").strip(" =~is")
                fits = overlap(low, high, y.low, y.high)
                yield Check(fits, f"{left} = {figure(exact)}" + ("" if fits else f", not {y.text}"))
