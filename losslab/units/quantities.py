"""The scores that a sentence mentions, and whether the model it speaks of was trained."""

import itertools
import re
from dataclasses import dataclass, replace

from losslab.units.claims import LARGEST_NUMBER, Claim
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


# words that say that one number is the other, and words that may stand between such two; any other may name something
RELATING = frozenset("which so is are mean means give gives imply implies equal equals correspond corresponds "
                     "corresponding follow follows from since because thus hence therefore".split())
JOINING = RELATING | frozenset(
    "a an the its it this that and or as at to of with was be has have had about around roughly approximately only "
    "just final score value per token nats nat bits i.e reaches reached we".split()
)


@dataclass(frozen=True)
class Mention:
    """A quantity of a sentence, its numbers, and the words beside it that say what it is of."""

    quantity: str
    values: tuple[Number, ...]
    start: int
    end: int
    of: tuple[str, ...]  # as `val` or `lambada`, nothing where the sentence does not say


def mentioned(text: str) -> dict[str, list[Number]]:
    """Losses, perplexities, bits per byte and vocabulary sizes of plain text, in the order in which they stand.

    Example:
        >>> found = mentioned("loss fell from 3.30 to 3.28, so the perplexity is 26.6")
        >>> [number.text for number in found["loss"]], [number.text for number in found["perplexity"]]
        (['3.30', '3.28'], ['26.6'])
    """
    found: dict[str, list[Number]] = {}
    for sentence in sentences(text):
        for mention in mentions(sentence):
            found.setdefault(mention.quantity, []).extend(mention.values)
    return found


def mentions(sentence: str) -> list[Mention]:
    """The quantities of a sentence of plain text that have a number, in their order."""
    found = []
    for quantity, name in _NAMES.items():
        for match, texts in _after(name, sentence) or _before(_UNITS[quantity], sentence):
            values = tuple(number for number in map(Number.read, texts) if abs(number.value) <= LARGEST_NUMBER)
            if values:
                inside = re.sub(rf"\b{name}|{_UNITS[quantity]}|{NUMBER}", " ", match[0])
                found.append(Mention(quantity, values, *match.span(), tuple(naming(inside))))
    found.sort(key=lambda mention: mention.start)
    ends = [0, *itertools.accumulate((mention.end for mention in found), max)]
    return [replace(mention, of=(*_beside(sentence[end : mention.start]), *mention.of))
            for mention, end in zip(found, ends, strict=False)]


def phrases(text: str) -> list[dict[str, Number]]:
    """The quantities of plain text that are said of one score, as if they stood in the columns of a row.

    Neighbors in a sentence belong together where nothing that may name another text or metric stands between them or
    after them, and where both name the same text; or only the first does, and the second is said to be the same score
    (`which is`, `means`). Everything else stands alone.

    Example:
        >>> [sorted(row) for row in phrases("val loss 2.34, lambada perplexity 72.3")]
        [['loss'], ['perplexity']]
        >>> [sorted(row) for row in phrases("a val loss of 2.34, which is a perplexity of 10.4")]
        [['loss', 'perplexity']]
    """
    return [row for sentence in sentences(text) for row in _rows(sentence, mentions(sentence))]


def _rows(sentence: str, found: list[Mention]) -> list[dict[str, Number]]:
    groups: list[list[Mention]] = []
    for mention in found:
        if groups and _joined(sentence, groups[-1], mention, found):
            groups[-1].append(mention)
        else:
            groups.append([mention])
    rows = []
    for group, after in itertools.zip_longest(groups, groups[1:]):
        behind = naming(sentence[group[-1].end : after[0].start if after else None])
        if len(group) > 1 and behind == list(after[0].of[: len(behind)] if after else ()):
            rows.append({mention.quantity: mention.values[0] for mention in group})
        else:  # `on lambada` may be said of the last number or of all
            rows += [{mention.quantity: number} for mention in group for number in mention.values]
    return rows


def _joined(sentence: str, group: list[Mention], new: Mention, found: list[Mention]) -> bool:
    before, kinds = group[-1], [mention.quantity for mention in found]
    between = sentence[before.end : new.start]
    if new.start < before.end or new.quantity in [mention.quantity for mention in group]:
        return False
    if len(before.values) > 1 or len(new.values) > 1 or re.search(NUMBER, between):
        return False
    if naming(between) != list(new.of[: len(naming(between))]):
        return False
    if new.of:
        return before.of[-len(new.of) :] == new.of
    is_related = len(set(kinds)) == len(kinds) and bool(RELATING & set(re.findall(r"\w+", between)))
    return not before.of or is_related


def naming(text: str) -> list[str]:
    """The words that join nothing, so that they may name something."""
    words = [word.strip(".'-") for word in re.findall(r"[^\W_][\w.'-]*", text)]
    return [word for word in words if word not in JOINING and not re.fullmatch(NUMBER, word)]


def _beside(before: str) -> list[str]:
    """The words before a quantity that may name what it is of, back to a comma."""
    return naming(re.split(r"[,;]", before)[-1])


def _after(name: str, sentence: str) -> list[tuple[re.Match, list[str]]]:
    one = rf"({NUMBER}){_NO_VALUE}"
    found = re.finditer(rf"\b{name}{_BETWEEN}(?:from )?{one}(?: ?(?:to|and|->|or) {one})?", sentence)
    return [(match, [value for value in match.groups() if value]) for match in found
            if not denied(sentence, *match.span())]


def _before(unit: str, sentence: str) -> list[tuple[re.Match, list[str]]]:
    return [(match, [match[1]]) for match in
            re.finditer(rf"({NUMBER})[ -]{unit}(?! (?:per|of|is|=|\d))", sentence)
            if not denied(sentence, *match.span())]


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
