"""What is called an improvement, beside its standard error."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from losslab.units.arithmetic import Check, figure
from losslab.units.claims import Claim
from losslab.units.quantities import naming
from losslab.units.reading import NUMBER, plain, sentences

CORE_SEED_SD = 0.0062  # over 20 seeds of one recipe (karpathy/nanochat, pull request 807)
QUANTITIES = ("loss", "bits_per_byte", "perplexity", "accuracy")

_IMPROVES = (
    r"improv|\bbetter\b|(?<!to )\bbeats?\b|\bbeating\b|outperform|\bgains?\b|\bwins?\b|\bwinning\b|superior|surpass|"
    r"\breduc|\blower(?:s|ed|ing)?\b|\bsmaller\b|\bhigher\b|\bexceed|\bahead\b|progress|advance"
)
_DENIES = (
    r"\bnot\b|n't\b|\bno (?:improve|better|gain|differ|evidence|signif|real|win)|indistinguish|insignificant|never|"
    r"within (?:the |its |one |a )?(?:\w+ )?(?:noise|error)|inconclusive|cannot|\btie[sd]?\b|too (?:small|little)|"
    r"could be|may be|might"
)
_ERROR = (
    rf"\+- ?({NUMBER})|"
    r"(?:standard errors?|std ?err(?:or)?|stderr|\bs\.?e\.?m?\.?(?![a-z])|seed noise|noise(?: level| floor)?)"
    rf"[a-z =:~(]{{0,25}}?({NUMBER})|({NUMBER})%? (?:standard error(?!s)|stderr|seed noise|noise)"
)
_ITSELF = rf"{_IMPROVES}|differ|^nats?$|^points?$|^bpb$|^0$"  # words for the difference, and for its unit
_MORE = (
    r"(?:improv\w*|gains?|gained|better|reduc\w*|lower\w*|beats?|wins?|higher|advantage|differ\w*|ahead|drop\w*|down|"
    r"outperform\w*|decreas\w*)"
)
_SCALE = r"(?: (?:nats?(?: per token)?|bpb|points?|core|perplexity|bits?|absolute))*"
_SIZE = (  # a difference, said as one number
    rf"(?:differences?|improvements?|gains?)[ :=(,]+({NUMBER})(?! (?:seeds|runs|items|times))|"
    rf"{_MORE}(?: [a-z-]+| \w+[-_]\w+){{0,6}}? (?:by|of|is|=|with)(?: about| only| just| an?| some| ~)* ?({NUMBER})"
    r"(?! ?(?:and|to|->|vs)\b| times)|"
    rf"({NUMBER})%?{_SCALE}(?: \+- ?{NUMBER}%?)? ?"
    r"(?:better|lower|higher|improvement|gain|ahead|less|reduction|advantage)"
)
_PAIR = (  # a difference, said as two numbers
    rf"({NUMBER})%?(?: ?\+- ?({NUMBER}))?(?: ?\([^)]*\))? ?"
    r"(?:to|->|vs|versus|against|compared (?:to|with)|over|from|than|beats?|instead of|,? ?(?:down|up) from)"
    rf"(?: [a-z-]+| \w+[-_]\w+){{0,4}}? ?({NUMBER})%?(?: ?\+- ?({NUMBER}))?"
)
_OVER = (  # what a column is better than
    r"(?:improv\w*|better|beats?|outperform\w*|lower|higher|superior|wins?|gain\w*|ahead)(?: [a-z'-]+){0,8}? ?"
    rf"(?:of |at |\()?({NUMBER})(?!%? ?(?:seeds|items|runs|points|times|%))"
)


@dataclass(frozen=True)
class _Difference:
    size: float  # above 0 where it is better
    said: str
    error: float | None = None
    error_said: str = ""


def improvement(claim: Claim, table: Sequence[Claim]) -> Iterator[Check]:
    """A difference smaller than its standard error is not shown to be an improvement."""
    stated = sentences(claim.text)
    if not any(re.search(_IMPROVES, part) and not re.search(_DENIES, part) for part in stated):
        return
    found = _in_words(claim) or _between_rows(claim, table)
    if found is None:
        return
    error, error_said = found.error, found.error_said or f"its standard error is {figure(found.error or 0)}"
    of_core = re.search(r"\bcore\b(?! ?(?:i\d|count|hours?))", claim.about)
    if error is None and of_core and not re.search(r"\bseeds\b|averaged", claim.text):
        error, error_said = CORE_SEED_SD, f"CORE varies by {CORE_SEED_SD:g} (sd) between seeds of one recipe"
    if not error:
        return
    if found.size < 0:
        yield Check(False, f"{found.said}: that is worse, not better")
        return
    times = f"{found.said}, and {error_said}: {figure(found.size / error)} times as large"
    is_shown = found.size >= error * (1 - 1e-9)
    yield Check(is_shown, times if is_shown else f"{times}, which shows no improvement")


def _in_words(claim: Claim) -> _Difference | None:
    """A difference that the text itself states, with the error of the text or of the column."""
    text = re.sub(r"gpt-?\d|v\d\b", "", claim.text)
    column = claim.columns.get("stderr")
    pair = re.search(_PAIR, re.sub(rf"\bby {NUMBER}", lambda match: "-" * len(match[0]), text))
    size = pair or re.search(_SIZE, text)
    written = _its_error(text, size) if size else re.search(_ERROR, text)
    if written is None and re.search(_ERROR, text):
        return None  # an error of something else, or it cannot be told of what
    error = float(next(filter(None, written.groups()))) if written else column.value if column else None
    if pair:
        return _of_pair(pair, error, is_paired="paired" in text)
    for quantity in ("loss", "bits_per_byte"):
        own = claim.columns.get(quantity)
        if own is not None and own.value < (error or 0):  # the column holds the difference
            return _Difference(abs(own.value), f"the difference is {own.text}", error)
    if size:
        number = next(filter(None, size.groups()))
        if error and not written and text[size.end() - 1 : size.end() + 1].find("%") >= 0 and error < 0.05:
            error *= 100  # a column of fractions, a text in percent
        return _Difference(float(number), f"the difference is {number}", error)
    over = re.search(_OVER, text)
    for quantity in QUANTITIES if over else ():
        own = claim.columns.get(quantity)
        if own is not None and own.value / 2 < float(over[1]) < own.value * 2:
            size = abs(own.value - float(over[1]))
            return _Difference(size, f"|{own.text} - {over[1]}| = {figure(size)}", error)
    return None


def _its_error(text: str, difference: re.Match) -> re.Match | None:
    """The standard error in a text that is said of a difference: nothing that may name another stands between them."""
    for found in re.finditer(_ERROR, text):
        between = text[min(found.end(), difference.end()) : max(found.start(), difference.start())]
        if not [word for word in naming(re.sub(rf"{NUMBER}%?", "0", between)) if not re.search(_ITSELF, word)]:
            return found
    return None


def _of_pair(pair: re.Match, error: float | None, *, is_paired: bool) -> _Difference:
    a, a_error, b, b_error = (None if part is None else float(part) for part in pair.groups())
    said = f"|{pair[1]} - {pair[3]}| = {figure(abs(a - b))}"
    if not (a_error and b_error) or is_paired:
        return _Difference(abs(a - b), said, error)
    both = math.hypot(a_error, b_error)
    error_said = f"its standard error is sqrt({pair[2]}^2 + {pair[4]}^2) = {figure(both)}"
    return _Difference(abs(a - b), said, both, error_said)


def _between_rows(claim: Claim, table: Sequence[Claim]) -> _Difference | None:
    """The difference of two rows of one text, where the text says which is the other."""
    for quantity in ("accuracy",) if "accura" in claim.text else QUANTITIES:
        others = [row for row in table if row != claim and row.scope == claim.scope and quantity in row.columns]
        if quantity in claim.columns and others:
            other = _meant(claim, others)
            return None if other is None else _of_rows(claim, other, quantity)
    return None


def _meant(claim: Claim, others: list[Claim]) -> Claim | None:
    """The row that the text names; else the baseline. Any other may be of another text."""
    named = [row for row in others if re.search(rf"(?<![\w.]){re.escape(plain(row.name))}(?!\w)", claim.text)]
    if named:
        return max(named, key=lambda row: len(row.name))
    base = [row for row in others if re.search(r"baseline|reference", plain(row.name))]
    return base[0] if base else None


def _of_rows(claim: Claim, other: Claim, quantity: str) -> _Difference | None:
    own, theirs = claim.columns[quantity], other.columns[quantity]
    errors = [error for error in (_error(claim, quantity), _error(other, quantity)) if error]
    size = (theirs.value - own.value) * (-1 if quantity == "accuracy" else 1)
    if "paired" in claim.text and errors or size < 0 and re.search(r"\b(?:higher|worse)\b", claim.text):
        return None
    said = f"{theirs.text} ({other.name}) - {own.text} = {figure(theirs.value - own.value)}"
    if not errors:
        return _Difference(size, said)
    error, squares = math.hypot(*errors), " + ".join(f"{figure(error)}^2" for error in errors)
    return _Difference(size, said, error, f"its standard error is sqrt({squares}) = {figure(error)}")


def _error(claim: Claim, quantity: str) -> float | None:
    stderr, n, own = claim.columns.get("stderr"), claim.columns.get("n"), claim.columns[quantity].value
    if stderr is not None:
        return stderr.value
    return math.sqrt(own * (1 - own) / n.value) if quantity == "accuracy" and n is not None and 0 <= own <= 1 else None
