"""Sentences about what a perplexity is, and equations written out."""

import math
import re
from collections.abc import Iterator, Sequence

from losslab.units.arithmetic import Check, figure, overlap
from losslab.units.claims import Claim
from losslab.units.reading import NUMBER, Number, denied, sentences

_BPB = r"\(? ?(?:the )?bpb"
_POWER = (rf"(?:2|e) ?(?:\^ ?|to the (?:power (?:of )?)?(?:the )?|raised to (?:the )?(?:power (?:of )?)?){_BPB}(?! ?\)? ?(?:[*x/]|times|multiplied)|-?th)|"
          rf"\bexp(?:onential of)? ?{_BPB}(?! ?\)? ?(?:[*x/]|times|multiplied))")  # fmt: skip
_AVERAGE = (r"(?:average|mean|averaging|averaged)[a-z ,'-]{0,40}?perplexity[a-z ,'-]{0,25}?(?:batch|minibatch|window|document|sequence|chunk)|"
            r"(?:average|mean|averaging|averaged)[a-z ,'-]{0,30}?(?:batch|minibatch|window|document|sequence|chunk)[a-z'-]{0,6} perplexity|"
            r"perplexity[a-z ,'-]{0,30}?(?:averaged|averaging|is the average|is the mean)[a-z ,'-]{0,20}?(?:batch|window|document|sequence|chunk)")  # fmt: skip
_KNOWS = (r"overstat|too (?:high|large)|larger|differ|bias|\bnot\b|n't|instead|rather|wrong|never|exceed|at least|upper bound|jensen|"
          r"average (?:the )?(?:loss|nll)|loss(?:es)? first|mean (?:loss|nll)|geometric|inflat")  # fmt: skip
_EQUATIONS = {
    rf"\bexp ?\(? ?({NUMBER}) ?\)? ?(?:=|is|equals|~) ?({NUMBER})": math.exp,
    rf"\be\^\(?({NUMBER})\)? ?(?:=|is|equals|~) ?({NUMBER})": math.exp,
    rf"(?<![\d.^])2 ?\^ ?\(?({NUMBER.replace('(?<![', '(?<![', 1).replace('.^', '.', 1)})\)? ?(?:=|is|equals|~) ?({NUMBER})": lambda x: 2.0**x,
    rf"\b(?:ln|log) ?\(? ?({NUMBER}) ?\)? ?(?:=|is|equals|~) ?({NUMBER})": math.log,
    rf"\blog_?2 ?\(? ?({NUMBER}) ?\)? ?(?:=|is|equals|~) ?({NUMBER})": math.log2,
}


def power_of_bits(claim: Claim, table: Sequence[Claim]) -> Iterator[Check]:
    """2^bpb is a perplexity per byte."""
    if re.search(r"(?:byte|character|char)(?:[- ]level)?[- ](?:perplexity|model|token)|perplexity (?:per|a|of a|of each) byte|per[- ]byte|for bytes", claim.about):
        return
    for sentence in sentences(claim.text):
        match = re.search(_POWER, sentence)
        if match and "perplexity" in sentence and not denied(sentence, *match.span()):
            start = "exp(bits per byte)" if not match[0].startswith("2") else "2^(bits per byte)"
            yield Check(False, f"{start} is {'no perplexity' if start[0] == 'e' else 'the perplexity per byte'}; per token it is "
                               "2^(bits per byte * bytes per token): at 1.0 and 4.39 it is 2.00 per byte and 20.97 per token")


def mean_of_perplexities(claim: Claim, table: Sequence[Claim]) -> Iterator[Check]:
    """The perplexity of a corpus is exp of its mean loss."""
    for sentence in sentences(claim.text):
        match = re.search(_AVERAGE, sentence)
        if match and not re.search(_KNOWS, sentence) and not denied(sentence, *match.span()):
            yield Check(False, "the perplexity of a corpus is exp of the mean loss over tokens; a mean of perplexities is larger: losses 2, 3, 4 "
                               "have exp(3) = 20.09, and the mean of 7.39, 20.09, 54.60 is 27.36")


def always_comparable(claim: Claim, table: Sequence[Claim]) -> Iterator[Check]:
    """Bits per byte are comparable on the same bytes."""
    for sentence in sentences(claim.text):
        match = re.search(r"bpb.*\bcompar(?:able|ed|e)\b|compar(?:able|ed|e)\b.*bpb", sentence)
        if match and re.search(r"\b(?:always|any (?:two|text|data|corpus)|regardless of (?:the )?(?:text|data|corpus)|everywhere|whatever the (?:text|data))",
                               sentence) and not re.search(r"same (?:text|bytes|data|set|corpus|documents)", sentence) and not denied(sentence, *match.span()):
            yield Check(False, "bits per byte do not depend on the vocabulary's token count, but two of them compare only on the same bytes, read "
                               "with the same context and the same rule for document ends")


def equations(claim: Claim, table: Sequence[Claim]) -> Iterator[Check]:
    """`exp(1.83) = 6.23` is computed."""
    for sentence in sentences(claim.text):
        for pattern, function in _EQUATIONS.items():
            for match in re.finditer(pattern, sentence):
                x, y = Number.read(match[1]), Number.read(match[2])
                if denied(sentence, *match.span()) or not 0 < x.value < 700 and function in (math.exp,) or x.low <= 0 or x.value > 1e9:
                    continue
                try:
                    low, high, exact = function(x.low), function(x.high), function(x.value)
                except (OverflowError, ValueError):
                    continue
                left = match[0][: match.start(2) - match.start()].strip(" =~")
                fits = overlap(low, high, y.low, y.high)
                yield Check(fits, f"{left} = {figure(exact)}" + ("" if fits else f", not {y.text}"))
