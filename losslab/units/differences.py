"""What is called an improvement, beside its standard error."""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from losslab.units.arithmetic import Check, figure
from losslab.units.claims import Claim
from losslab.units.reading import NUMBER, plain, sentences

CORE_SEED_SD = 0.0062  # over 20 seeds of one recipe (karpathy/nanochat, pull request 807)

IMPROVES = (r"improv|\bbetter\b|\bbeats?\b|\bbeating\b|outperform|\bgains?\b|\bwins?\b|\bwinning\b|superior|surpass|\breduc|"
            r"\blower(?:s|ed|ing)?\b|\bsmaller\b|\bhigher\b|\bexceed|\bahead\b|progress|advance")  # fmt: skip
_DENIES = (r"\bnot\b|n't\b|\bno (?:improve|better|gain|differ|evidence|signif|real|win)|within (?:the |its |one |a )?(?:\w+ )?(?:noise|error)|"
           r"indistinguish|insignificant|inconclusive|never|cannot|\btie[sd]?\b|too (?:small|little)|could be|may be|might")  # fmt: skip
_ERROR = (rf"\+- ?({NUMBER})|(?:standard errors?|std ?err(?:or)?|stderr|\bs\.?e\.?m?\.?\b|seed noise|noise(?: level| floor)?)"
          rf"[a-z =:~(]{{0,25}}?({NUMBER})|({NUMBER})(?:%)? (?:standard error|stderr|seed noise|noise)")  # fmt: skip
_SIZE = (rf"(?:improv\w*|gains?|gained|better|reduc\w*|lower\w*|beats?|wins?|higher|advantage|differ\w*|ahead|drop\w*|outperform\w*|decreas\w*)"
         rf"(?: [a-z-]+| \w+[-_]\w+){{0,6}}? (?:by|of|is|=|with)(?: about| only| just| an?| some| ~)* ?({NUMBER})(?! ?(?:and|to|->|vs)\b| times)|"
         rf"({NUMBER})%?(?: (?:nats?(?: per token)?|bpb|points?|core|perplexity|bits?|absolute))*(?: \+- ?{NUMBER}%?)? ?"
         rf"(?:better|lower|higher|improvement|gain|ahead|less|reduction|advantage)")  # fmt: skip
_PAIR = (rf"({NUMBER})%?(?: ?\+- ?({NUMBER}))?(?: ?\([^)]*\))? ?(?:to|->|vs|versus|against|compared (?:to|with)|over|from|than|beats?|instead of|, down from|down from|up from)"
         rf"(?: [a-z_-]+| \w+[-_]\w+){{0,4}}? ?({NUMBER})%?(?: ?\+- ?({NUMBER}))?")
_OVER = (rf"(?:improv\w*|better|beats?|outperform\w*|lower|higher|superior|wins?|gain\w*|ahead)(?: [a-z_-]+){{0,4}}? (?:over|than|from|on|of|to)?"
         rf"(?: [a-z_'-]+){{0,4}}? ?(?:of |at |\()?({NUMBER})(?!%? ?(?:seeds|items|runs|points|times|%))")
QUANTITIES = ("loss", "bits_per_byte", "perplexity", "accuracy")


@dataclass(frozen=True)
class _Difference:
    size: float
    said: str
    error: float | None  # of the difference
    error_said: str = ""


def improvement(claim: Claim, table: Sequence[Claim]) -> Iterator[Check]:
    """A difference smaller than its standard error is not shown to be an improvement."""
    text = claim.text
    if not any(re.search(IMPROVES, part) and not re.search(_DENIES, part) for part in sentences(text)):
        return
    found = _in_words(claim) or _between_rows(claim, table)
    if found is None:
        return
    if found.error is None and re.search(r"\bcore\b(?! ?(?:i\d|count|hours?))", claim.about) and not re.search(r"\bseeds\b|averaged", text):
        found = _Difference(found.size, found.said, CORE_SEED_SD, f"CORE varies by {CORE_SEED_SD:g} (sd) between seeds of one recipe")
    if not found.error:
        return
    said = f"{found.said}, and {found.error_said or f'its standard error is {figure(found.error)}'}"
    if found.size < 0:
        yield Check(False, f"{found.said}: that is worse, not better")
    elif found.size < found.error * (1 - 1e-9):
        yield Check(False, f"{said}: {figure(found.size / found.error)} of it, which shows no improvement")
    else:
        yield Check(True, f"{said}: {figure(found.size / found.error)} times as large")


def _in_words(claim: Claim) -> _Difference | None:
    """A difference that the text itself states, with the error of the text or of the column."""
    text = re.sub(r"core_?v?\d?|gpt-?\d|v\d\b", lambda m: re.sub(r"\d", "", m[0]), claim.text)
    column = claim.columns.get("stderr")
    written = re.search(_ERROR, text)
    error = float(next(filter(None, written.groups()))) if written else column.value if column else None
    pair = re.search(_PAIR, re.sub(r"\bby " + NUMBER, "", text))
    if pair and not re.search(rf"{NUMBER}% (?:interval|confidence)", pair[0]):
        a, a_error, b, b_error = (None if part is None else float(part) for part in pair.groups())
        size = abs(a - b)
        said = f"|{pair[1]} - {pair[3]}| = {figure(size)}"
        if a_error and b_error and "paired" not in text:
            both = math.hypot(a_error, b_error)
            return _Difference(size, said, both, f"its standard error is sqrt({pair[2]}^2 + {pair[4]}^2) = {figure(both)}")
        return _Difference(size, said, error)
    for quantity in ("loss", "bits_per_byte"):
        if quantity in claim.columns and claim.columns[quantity].value < 0:  # the column holds the difference
            own = claim.columns[quantity]
            return _Difference(-own.value, f"the difference is {own.text}", error)
    if size := re.search(_SIZE, text):
        number = size[1] or size[2]
        return _Difference(float(number), f"the difference is {number}", error * _percent(size[0], text, written, error) if error else None)
    if over := re.search(_OVER, text):
        for quantity in QUANTITIES:
            if quantity in claim.columns and _comparable(claim.columns[quantity].value, float(over[1])):
                own, size = claim.columns[quantity], abs(claim.columns[quantity].value - float(over[1]))
                return _Difference(size, f"|{own.text} - {over[1]}| = {figure(size)}", error)
    return None


def _percent(size: str, text: str, written: re.Match | None, error: float) -> float:
    """100 where the difference is in percent and the error is not."""
    following = text[written.end() : written.end() + 1] if written else ""
    return 100.0 if "%" in size and following != "%" and "%" not in (written[0] if written else "") and error < 0.05 else 1.0


def _comparable(a: float, b: float) -> bool:
    return 0.5 < a / b < 2 if b else False


def _between_rows(claim: Claim, table: Sequence[Claim]) -> _Difference | None:
    """The difference of two rows, where the text says which is the other, or where there is only one."""
    about = "accuracy" if "accura" in claim.text else None
    for quantity in (about,) if about else QUANTITIES:
        others = [row for row in table if row is not claim and quantity in row.columns]
        if quantity not in claim.columns or not others:
            continue
        named = [row for row in others if re.search(rf"(?<![\w.]){re.escape(plain(row.name))}(?![\w])", claim.text)]
        base = [row for row in others if re.search(r"baseline|reference", plain(row.name))]
        other = next(iter(sorted(named, key=lambda row: -len(row.name)) or base or (others if len(others) == 1 else [])), None)
        if other is None:
            return None
        own, theirs = claim.columns[quantity], other.columns[quantity]
        errors = [error for error in (_error(claim, quantity), _error(other, quantity)) if error]
        size = (theirs.value - own.value) * (-1 if quantity == "accuracy" else 1)
        if size < 0 and re.search(r"\b(?:higher|worse)\b", claim.text):
            return None
        error = math.hypot(*errors) if errors else None
        roots = " + ".join(f"{figure(e)}^2" for e in errors)
        if "paired" in claim.text and len(errors) > 1:
            return None
        return _Difference(size, f"{theirs.text} ({other.name}) - {own.text} = {figure(theirs.value - own.value)}", error,
                           f"its standard error is sqrt({roots}) = {figure(error)}" if error else "")
    return None


def _error(claim: Claim, quantity: str) -> float | None:
    stderr, n = claim.columns.get("stderr"), claim.columns.get("n")
    if stderr is not None:
        return stderr.value
    if quantity == "accuracy" and n is not None and 0 <= claim.columns["accuracy"].value <= 1:
        p = claim.columns["accuracy"].value
        return math.sqrt(p * (1 - p) / n.value)
    return None
