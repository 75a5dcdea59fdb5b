"""Statements about what more compute, data or parameters do to the loss, against the power law they follow."""

import math
import re
from collections.abc import Iterator

from losslab.units.arithmetic import Check, figure
from losslab.units.claims import Claim
from losslab.units.reading import NUMBER, denied, sentences

KAPLAN = 0.050  # exponent of compute; of parameters 0.076, of data 0.095 to 0.103 (arXiv 2001.08361)
STEEPEST = {"whole": 0.15, "reducible": 0.4}  # no published law of language is steeper in compute or parameters

_RESOURCE = r"(?:compute|flops?|data|tokens|parameters?|params?|model size|(?:bigger|larger) models?|training)"
_FILL = r"(?: (?:more|as much|as many|the|larger|of|in|increase|increases|amount|training|model|a|bigger|greater))*"
_FACTORS = (
    rf"({NUMBER}) times{_FILL} ({_RESOURCE})\b",
    rf"\b({_RESOURCE})(?: (?:budget|up|is|are|increased|grown|multiplied|scaled|raised|grows|increases|by|a|to|"
    rf"larger))*+ ({NUMBER}) times",
    rf"\bmultipl\w+ (?:the )?({_RESOURCE}) (?:by |with )?({NUMBER})", rf"\b({_RESOURCE}) ?[x*] ?(\d+(?:\.\d+)?)\b",
)
_LOSS = r"(?:loss|cross[- ]entropy|nll|bpb)"
_EFFECTS = (  # pattern, and what is left of the loss
    (rf"halves|\b(?:in|by|to) (?:a |one )?half\b|\bhalf (?:of )?(?:the |its )?{_LOSS}|{_LOSS} (?:is |becomes )?half\b|"
     r"half as (?:large|high|much)", lambda m: 0.5),
    (r"(?:in|by|to) a third|a third (?:lower|off)", lambda m: 1 / 3 if m[0].startswith("to") else 2 / 3),
    (r"by a quarter|a quarter (?:lower|off)", lambda m: 3 / 4),
    (rf"\bto (?:about |around |roughly |~ ?)?({NUMBER})% of", lambda m: float(m[1]) / 100),
    (rf"(?<!by )({NUMBER})% of\b", lambda m: float(m[1]) / 100),
    (rf"({NUMBER})%", lambda m: 1 - float(m[1]) / 100),
    (rf"(0?\.\d+) times (?:the )?{_LOSS}", lambda m: float(m[1])),
    (rf"{_LOSS} ?/ ?({NUMBER})", lambda m: 1 / float(m[1])),
    (rf"(?:by|in) ({NUMBER}) times|({NUMBER}) times (?:lower|smaller|less)\b(?! {_RESOURCE})",
     lambda m: 1 / float(m[1] or m[2])),
)  # fmt: skip
_EXPONENT = (
    r"(?:exponent|alpha|power[- ]law|slope)[a-z ,=:~(_]{0,40}?-?(0?\.\d+)",
    r"\^ ?[({]?-?(0?\.\d+)",
    r"(?<![\d.])-?(0?\.\d+)[- ](?:compute |scaling |loss )?exponent",
)


def power_law(claim: Claim) -> Iterator[Check]:
    """Under `L ~ C^-a`, F times the compute leaves `F^-a` of the loss."""
    found = sorted({float(m[1]) for pattern in _EXPONENT for m in re.finditer(pattern, claim.text)})
    if len(found) > 1 or found == [0]:
        return  # of several laws: not known which
    for sentence in sentences(claim.text):
        place, resource, factor = _factor(sentence)
        if place is None or not re.search(_LOSS, sentence):
            continue
        rest = sentence[: place[0]] + " " * (place[1] - place[0]) + sentence[place[1] :]
        effect = _effect(rest)
        if effect is None or not 0 < effect[1] < 1 or factor <= 1:
            continue
        match, left, last = effect
        span = min(place[0], match.start()), max(place[1], match.end())
        if denied(sentence, *span) or re.search(rf"perplexity|from {NUMBER} to {NUMBER}", sentence):
            continue
        if found:
            about = re.search(r"about|around|roughly|~|nearly|almost|some", rest) is not None
            yield _against(found[0], factor, left, last, about)
        elif resource not in ("data", "tokens", "training"):  # early in a run the loss may well halve
            kind = "reducible" if re.search(r"reducible|excess|above the floor|l ?- ?e\b", sentence) else "whole"
            yield _steepness(factor, left, kind)


def _factor(sentence: str) -> tuple[tuple[int, int] | None, str, float]:
    for pattern in _FACTORS:
        match = re.search(pattern, sentence)
        if match and not re.search(r"(?:more than|at least|over|beyond) $", sentence[: match.start()]):
            number, resource = sorted(match.groups(), key=lambda part: not part[0].isdigit())
            return match.span(), resource, float(number)
    return None, "", 1.0


def _effect(sentence: str) -> tuple[re.Match, float, float] | None:
    """The words, what is left of the loss, and how far off its last digit may be."""
    for pattern, left in _EFFECTS:
        if match := re.search(pattern, sentence):
            decimals = len((re.search(rf"{NUMBER}(?=%)", match[0]) or [""])[0].partition(".")[2])
            return match, left(match), 0.01 * 10.0**-decimals if "%" in match[0] else 0.0
    return None


def _against(exponent: float, factor: float, left: float, last: float, about: bool) -> Check:
    expected = factor**-exponent
    slack = max(last / 2 * 1.01, (0.2 if about else 0.03) * (1 - expected))
    needed = left ** (-1 / exponent)
    said = (f"{factor:,.12g} times at exponent {exponent:g} leave {factor:.12g}^-{exponent:g} = {figure(expected)} of "
            f"the loss, {100 * (1 - expected):.1f} % less")
    if abs(expected - left) <= slack:
        return Check(True, said)
    return Check(False, f"{said}, not {100 * (1 - left):.3g} % less, which takes "
                        f"{left:.3g}^(-1/{exponent:g}) = {figure(needed)} times")


def _steepness(factor: float, left: float, kind: str) -> Check:
    implied = -math.log(left) / math.log(factor)
    said = f"an exponent of -ln {left:.3g} / ln {factor:.12g} = {figure(implied)}"
    if implied <= STEEPEST[kind]:
        return Check(True, f"this is {said}")
    expected = factor**-KAPLAN
    return Check(False, f"this would be {said}, and published laws have about {KAPLAN:.2f} for compute, where "
                        f"{factor:,.12g} times leave {figure(expected)} of the loss, {100 * (1 - expected):.1f} % less")
