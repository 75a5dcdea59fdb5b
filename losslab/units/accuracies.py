"""What an accuracy, its standard error, its number of items and guessing say of each other."""

import math
from collections.abc import Iterator

from losslab.units.checks import Check, fits, likely
from losslab.units.claims import Claim
from losslab.units.numbers import Number, figure

FEW = 30  # so small an `n` may count seeds, not items
TOO_LARGE, TOO_SMALL = 1.25, 0.8  # of the error of independent items: bootstraps and stratified samples differ so much
CHANCE = {  # of benchmarks with a fixed number of options
    "hellaswag": 4, "hellaswag_zeroshot": 4, "piqa": 2, "copa": 2, "arc_easy": 4, "arc_challenge": 4, "winogrande": 2,
    "winograd": 2, "openbookqa": 4, "openbook_qa": 4, "boolq": 2, "commonsense_qa": 5, "csqa": 5, "social_i_qa": 3,
    "blimp": 2, "mmlu": 4,
}  # fmt: skip


def whole_items(row: Claim) -> Iterator[Check]:
    """An accuracy on n items is k/n for a whole k, rounded or cut off at its last digit."""
    accuracy, n = _accuracy(row), _items(row)
    if accuracy is None or n is None or n.high - n.low > 1.6:  # 10k is no exact count
        return
    items, right = n.value, accuracy.value * n.value
    nearest = f"{round(right):.0f}/{items:.0f} = {round(right) / items:.5f}"
    start = f"{accuracy.text} * {items:.0f} items = {right:.2f}"
    if math.floor(accuracy.high * items + 1e-6) >= math.ceil(accuracy.low * items - 1e-6):
        is_whole = abs(right - round(right)) < 1e-6 * items
        yield fits(True, start + ("" if is_whole else f", rounded from {nearest}"))
    else:
        yield fits(False, f"{start} right answers, no whole number, and the nearest is {nearest}")


def error_of_a_share(row: Claim) -> Iterator[Check]:
    """The standard error of a share of n independent items is sqrt(p(1-p)/n)."""
    accuracy, stderr = _accuracy(row), row.columns.get("stderr")
    n = row.columns.get("num_clusters") or row.columns.get("num_items") or row.columns.get("n")
    if row.score != "accuracy" or {"baseline", "difference", "improvement"} & {*row.columns, *row.words}:
        return  # the error may be of another score, or of the difference
    if accuracy is None or stderr is None or n is None or n.value < 2 or stderr.value < 0:
        return
    if not 0 < accuracy.value < 1 or "num_seeds" in row.columns:
        return
    p, expected = accuracy.value, math.sqrt(accuracy.value * (1 - accuracy.value) / n.value)
    start = f"sqrt({p:g} * {1 - p:.4g} / {n.value:.0f}) = {figure(expected)}"
    if stderr.low > TOO_LARGE * expected * math.sqrt(n.value / (n.value - 1)):
        times = stderr.value / expected
        hint = "; that is the half-width of a 95 % interval" if 1.9 < times < 2.05 else ""
        hint += "" if "num_clusters" in row.columns else "; if items come in groups, give num_clusters"
        yield fits(False, f"{start}, and the standard error is given as {stderr.text}{hint}")
    elif stderr.high < TOO_SMALL * expected and _items(row) is not None and "num_clusters" not in row.columns:
        yield fits(False, f"{start}, and the standard error is given as {stderr.text}, smaller than {n.value:.0f} "
                          "items allow")
    elif stderr.high >= TOO_SMALL * expected:
        yield fits(True, f"{start}, and the standard error is {stderr.text}")


def above_chance(row: Claim) -> Iterator[Check]:
    """An accuracy says that something was learned where it is above that of guessing by its standard error."""
    accuracy, chance = _accuracy(row), _chance(row)
    if accuracy is None or chance is None:
        return
    is_first, stderr = row.score == "accuracy", row.columns.get("stderr")
    n = row.columns.get("num_items") or (row.columns.get("n") if is_first else None)
    error = math.sqrt(chance * (1 - chance) / n.value) if n and n.value > FEW else 0.0
    error = stderr.value if is_first and stderr is not None else error
    lead = accuracy.value - chance
    if accuracy.high <= chance or lead < error:
        with_error = f" with a standard error of {figure(error)}" if error else ""
        over = "below" if lead < 0 else "not shown to be above"
        yield likely(False, f"{accuracy.text} - {chance:.4g} = {figure(lead)}{with_error}: {over} what guessing gets")
    else:
        yield likely(True, f"{accuracy.text} is above the {chance:.4g} of guessing")


def _accuracy(row: Claim) -> Number | None:
    accuracy = row.columns.get("accuracy")
    return accuracy if accuracy is not None and 0 <= accuracy.value <= 1 else None


def _chance(row: Claim) -> float | None:
    chance, choices = row.columns.get("chance"), row.columns.get("num_choices")
    if chance is not None:
        return chance.value if 0 <= chance.value < 1 else None
    known = choices.value if choices is not None else CHANCE.get(row.scope)
    return 1 / known if known and known >= 2 else None


def _items(row: Claim) -> Number | None:
    """The number of items, where the row says that it is one."""
    n = row.columns.get("n")
    if "num_seeds" in row.columns:
        return None
    if "num_items" in row.columns:
        return row.columns["num_items"]
    return None if n is None or row.score != "accuracy" or (n.value < FEW and "stderr" in row.columns) else n
