"""The scores that a sentence mentions, and whether the model it speaks of was trained."""

import re

from losslab.units.claims import Claim
from losslab.units.reading import NUMBER, Number, denied, sentences

# what may stand between the name of a quantity and its value; atomic, so that no text takes long
_BETWEEN = (
    r"(?:\s*(?>(?:of|is|was|are|were|=|:|~|\(|at|to|with|a|an|the|as|about|around|roughly|only|just|nearly|reaches|reached|"
    r"reads|equals|equal|drops|dropped|falls|fell|goes|went|stands|value|score|test|val|validation|set|final|mean|average|"
    r"per token|\(nats\)|on (?:the )?[a-z][\w-]*)(?=[\s=:~(\d])))*+\s*"
)
_NAMES = {
    "loss": r"(?:loss|nll|cross[- ]entropy|negative log[- ]likelihood)",
    "perplexity": r"(?<!byte[ -])(?<!word[ -])(?<!-level )(?<!character )perplexity(?! (?:per|a) (?:byte|word|char))",
    "bits_per_byte": r"bpb",
    "vocab_size": r"(?:vocab(?:ulary)?(?: size)?)",
}
_UNITS = {"loss": r"nats(?: per token)?", "perplexity": r"perplexity", "bits_per_byte": r"bpb",
          "vocab_size": r"(?:token |entry |word |symbol )?vocab(?:ulary)?\b"}  # fmt: skip
_NO_VALUE = r"(?!\s*(?:%|times\b|[km]?b?\s*(?:tokens|param|steps|seeds|compute|flop)|\s*points|\s*bp[bc]\b))"

_UNTRAINED = (r"\buntrained|\binit\b|\binitiali[sz]|random(?:ly)? (?:init|weight|guess|model|byte|logit|network)|"
              r"randomly|at random|before (?:any )?training|not trained|no training|(?:at )?step 0\b|uniform|"
              r"knows nothing|diverge|worse than|chance")  # fmt: skip
_TRAINED = r"(?<!un)(?<!not )\btrained|fine-?tun|converge|after training|learn(?:s|ed|t)\b|\bfinal\b"


def mentioned(text: str) -> dict[str, list[Number]]:
    """Losses, perplexities, bits per byte and vocabulary sizes of plain text, in the order in which they stand.

    Example:
        >>> found = mentioned("loss fell from 3.30 to 3.28, so the perplexity is 26.6")
        >>> [number.text for number in found["loss"]], [number.text for number in found["perplexity"]]
        (['3.30', '3.28'], ['26.6'])
    """
    found: dict[str, list[Number]] = {}
    for sentence in sentences(text):
        for quantity, name in _NAMES.items():
            values = _after(name, sentence) or _before(_UNITS[quantity], sentence)
            if values:
                found.setdefault(quantity, []).extend(values)
    if "gpt-2's vocab" in text or "gpt-2 vocab" in text or "gpt2 vocab" in text:
        found.setdefault("vocab_size", [Number.read("50257")])
    return found


def _after(name: str, sentence: str) -> list[Number]:
    one = rf"({NUMBER}){_NO_VALUE}"
    found = re.finditer(rf"\b{name}{_BETWEEN}(?:from )?{one}(?: ?(?:to|and|->|or) {one})?", sentence)
    stated = [match for match in found if not denied(sentence, *match.span())]
    return [Number.read(value) for match in stated for value in match.groups() if value]


def _before(unit: str, sentence: str) -> list[Number]:
    return [Number.read(m[1]) for m in re.finditer(rf"({NUMBER})[ -]{unit}(?! (?:per|of|is|=|\d))", sentence)
            if not denied(sentence, *m.span())]


def values(claim: Claim, quantity: str) -> list[Number]:
    """What the column says, else what the text mentions."""
    if quantity in claim.columns:
        return [claim.columns[quantity]]
    return mentioned(claim.text).get(quantity, [])


def is_untrained(claim: Claim) -> bool:
    """Whether the row speaks of a model that is not presented as trained."""
    return bool(re.search(_UNTRAINED, claim.about)) and not re.search(_TRAINED, claim.about)


def says(claim: Claim, pattern: str) -> bool:
    return re.search(pattern, claim.about) is not None
