"""What an accuracy, its standard error and its number of items say of each other."""

import math
import re
from collections.abc import Iterator

from losslab.units.arithmetic import FEW, Check, figure
from losslab.units.claims import Claim
from losslab.units.quantities import says
from losslab.units.reading import NUMBER

CHANCE = {  # of benchmarks with a fixed number of options
    r"hellaswag": 0.25, r"\bpiqa": 0.5, r"\bcopa": 0.5, r"\barc\b|\barc[-_ ](?:e|c)": 0.25,
    r"winogrande|winograd": 0.5, r"open-?book-?qa": 0.25, r"boolq": 0.5,
    r"commonsense[ _]?qa|\bcsqa": 0.2, r"\bblimp": 0.5, r"\bmmlu": 0.25,
}  # fmt: skip
_LEARNED = (
    r"\blearn(?:s|ed|t)?\b|understand|understood|\bknows?\b(?! nothing)|\bmaster|\bsolve|above (?:chance|random)|"
    r"(?:better|more) than (?:chance|random|guess)|beats? (?:chance|random|guess)|reason(?:s|ing)|acquired"
)
_UNLEARNED = r"\bnot\b|n't\b|nothing|\bno \w+|fail|never|yet to|at chance|below chance|same as chance"


def fraction(claim: Claim) -> Iterator[Check]:
    """An accuracy is between 0 and 1."""
    accuracy = claim.columns.get("accuracy")
    if accuracy is None or says(claim, r"differ|change|delta|gain|improv|drop") and accuracy.value < 0:
        return
    if accuracy.value < 0:
        yield Check(False, f"an accuracy of {accuracy.text} is below 0")
    elif accuracy.value > 1:
        remedy = f"; written as {accuracy.text}% it would be {accuracy.value / 100:g}" if accuracy.value <= 100 else ""
        yield Check(False, f"an accuracy of {accuracy.text} is above 1, all items right{remedy}")


def whole_items(claim: Claim) -> Iterator[Check]:
    """An accuracy on n items is k/n for a whole k, rounded to its written digits."""
    accuracy, n = claim.columns.get("accuracy"), claim.columns.get("n")
    if accuracy is None or n is None or not 0 <= accuracy.value <= 1 or _are_seeds(claim):
        return
    last = 0.0 if says(claim, r"\bexact(?:ly)?\b") else _last_digit(accuracy.text, accuracy.value)
    items, low, high = n.value, accuracy.value - last / 2, accuracy.value + last
    right = accuracy.value * items
    nearest = f"{round(right):.0f}/{items:.0f} = {round(right) / items:.5f}"
    if math.floor(high * items + 1e-6) >= math.ceil(low * items - 1e-6):
        is_whole = abs(right - round(right)) < 1e-6 * items
        rounding = "" if is_whole else f", which is no whole number, so it was rounded from {nearest}"
        yield Check(True, f"{accuracy.text} * {items:.0f} items = {right:.2f}{rounding}")
    else:
        yield Check(False, f"{accuracy.text} * {items:.0f} items = {right:.2f} right answers, no whole number, and the "
                           f"nearest is {nearest}")


def error_of_a_share(claim: Claim) -> Iterator[Check]:
    """The standard error of a share of n items is sqrt(p(1-p)/n)."""
    accuracy, stderr, n = (claim.columns.get(name) for name in ("accuracy", "stderr", "n"))
    if accuracy is None or stderr is None or n is None or not 0 < accuracy.value < 1 or n.value < 2 or stderr.value < 0:
        return
    if any(name in claim.columns for name in ("loss", "perplexity", "bits_per_byte")):
        return  # the error may be of those
    p, expected = accuracy.value, math.sqrt(accuracy.value * (1 - accuracy.value) / n.value)
    said = f"sqrt({p:g} * {1 - p:.4g} / {n.value:.0f}) = {figure(expected)}"
    too_large = stderr.low > 1.25 * expected * math.sqrt(n.value / (n.value - 1))
    too_small = stderr.high < 0.8 * expected and not _are_seeds(claim)
    if too_large and not says(claim, r"cluster|document|passage|confidence|interval|seeds?\b"):
        times = stderr.value / expected
        hint = "; that is the half-width of a 95 % interval" if 1.9 < times < 2.05 else ""
        yield Check(False, f"{said}, and the standard error is given as {stderr.text}{hint}")
    elif too_small and not says(claim, r"paired|stratified"):
        yield Check(False, f"{said}, and the standard error is given as {stderr.text}, "
                           f"smaller than {n.value:.0f} items allow")
    elif not too_large and not too_small:
        yield Check(True, f"{said}, and the standard error is {stderr.text}")


def above_chance(claim: Claim) -> Iterator[Check]:
    """What was learned shows above the accuracy of guessing."""
    accuracy = claim.columns.get("accuracy")
    chance = _chance(claim.about)
    if accuracy is None or chance is None or not 0 <= accuracy.value <= 1:
        return
    if not re.search(_LEARNED, claim.text) or re.search(_UNLEARNED, claim.text):
        return
    n, stderr = claim.columns.get("n"), claim.columns.get("stderr")
    error = stderr.value if stderr else math.sqrt(chance * (1 - chance) / n.value) if n and n.value > FEW else 0.0
    lead = accuracy.value - chance
    if accuracy.high <= chance or lead < error:
        over = "is below" if lead < 0 else "is"
        beside = f" with a standard error of {figure(error)}" if error else ""
        yield Check(False, f"{accuracy.text} - {chance:g} = {figure(lead)}{beside}: that {over} what guessing gets, "
                           "and shows nothing learned")
    else:
        yield Check(True, f"{accuracy.text} is above the {chance:g} of guessing")


def _chance(about: str) -> float | None:
    options = re.search(rf"({NUMBER})[- ](?:way|choices?|options?|answers?|alternatives)\b", about)
    if options and float(options[1]) >= 2:
        return 1 / float(options[1])
    stated = re.search(rf"chance (?:level )?(?:is |of |= ?|at |\()?({NUMBER})(%?)", about)
    if stated:
        return float(stated[1]) * (0.01 if stated[2] or float(stated[1]) > 1 else 1)
    return next((chance for name, chance in CHANCE.items() if re.search(name, about)), None)


def _are_seeds(claim: Claim) -> bool:
    n = claim.columns.get("n")
    return says(claim, r"\bseeds?\b|\bruns\b") or (n is not None and n.value < FEW and "stderr" in claim.columns)


def _last_digit(text: str, value: float) -> float:
    decimals = len(text.lower().partition("e")[0].partition(".")[2])
    scale = value / float(text) if float(text) else 1.0  # 0.01 where it was written in percent
    return scale * 10.0**-decimals
