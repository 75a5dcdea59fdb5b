"""The numbers of a formula as sliders: how far each can be moved, and the curves that follow."""

import inspect
import math
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from losslab import formula
from losslab.formula import Call, Formula

SIZES = (27, 4_096)  # classes of the curves that follow a slider; the whole anatomy has GPT-2's vocabulary, too
LARGEST = sys.float_info.max
LEAST_STEP = 1e-300  # smaller ones are lost where they are added
one_at_a_time = threading.Lock()
"""What is computed takes a core."""


@dataclass(frozen=True)
class Slider:
    """A number of a formula that can be moved."""

    key: str
    """`0.gamma` for a parameter of the first term, `1.weight` for the weight of the second."""
    title: str
    value: float
    low: float
    high: float
    step: float
    scale: str = "linear"
    """`log`: low, high and step are of the logarithm to base 10."""


def drawn(text: str) -> dict:
    """The curves of a formula, and what it is of an untrained model."""
    from losslab import anatomy

    with one_at_a_time:
        return anatomy.shapes(text, sizes=SIZES)


def moved(parsed: Formula, query: Mapping[str, str]) -> Formula:
    """The formula with the numbers that the address gives."""
    terms = []
    for number, (weight, call) in enumerate(parsed.terms):
        weight = _given(query, f"{number}.weight", weight)
        own = {name: _given(query, f"{number}.{name}", value) for name, value in _numbers(call).items()
               if f"{number}.{name}" in query}
        if own:
            parameters = list(inspect.signature(formula.load("losslab.losses", call.name)).parameters)[1:]
            kept = dict(zip(parameters, call.positional, strict=False)) | dict(call.keywords) | own
            call = Call(call.name, (), tuple(kept.items()))
        terms.append((weight, call))
    return replace(parsed, terms=tuple(terms))


def of(parsed: Formula, now: Formula) -> list[Slider]:
    """A slider for each number of a formula, at the value that it has now."""
    found = []
    for number, ((weight, call), (current, other)) in enumerate(zip(parsed.terms, now.terms, strict=True)):
        if len(parsed.terms) > 1 and weight > 0 and number:
            found.append(Slider(f"{number}.weight", f"weight of {call.name}", current, -6, 1, 0.05, "log"))
        values = _numbers(other)
        for name, start in _numbers(call).items():
            low, high = _range(call, name, start)
            step = 1 if isinstance(start, int) and start == 0 else _step(low, high)
            found.append(Slider(f"{number}.{name}", f"{name} of {call.name}", values[name], low, high, step))
    return found


def _numbers(call: Call) -> dict[str, float]:
    """The parameters of a call that are numbers, with their values."""
    parameters = list(inspect.signature(formula.load("losslab.losses", call.name)).parameters.values())[1:]
    given = dict(zip((each.name for each in parameters), call.positional, strict=False)) | dict(call.keywords)
    found = {each.name: given.get(each.name, each.default) for each in parameters}
    return {name: value for name, value in found.items()
            if isinstance(value, int | float) and not isinstance(value, bool)}


def _given(query: Mapping[str, str], key: str, value: float) -> float:
    try:
        found = float(query.get(key, value))
    except ValueError:
        return value
    if not math.isfinite(found):
        return value
    return round(found) if isinstance(value, int) and found == round(found) else found


def _step(low: float, high: float) -> float:
    """A hundredth of the way, rounded down to a power of ten."""
    way = max(LEAST_STEP, high / 100 - low / 100)  # their difference may be more than a number holds
    return 10.0 ** math.floor(math.log10(way))


@lru_cache(1_000)
def _range(call: Call, name: str, start: float) -> tuple[float, float]:
    """From 0 to four times the value, or as far as the loss takes it."""
    def takes(value: float) -> bool:
        kept = {key: each for key, each in (*_numbers(call).items(), *call.keywords)} | {name: value}
        try:
            drawn(str(Formula(((1.0, Call("cross_entropy")), (1.0, Call(call.name, (), tuple(kept.items())))), ())))
        except (ValueError, ArithmeticError, RuntimeError):
            return False
        return True

    size = abs(start) or 4.0
    tried = (4 * size, 2 * size, 1.0, 1.5 * size, size)
    high = next((value for value in tried if start <= value <= LARGEST and takes(value)), size)
    tried = (-max(high, size) if start < 0 else 0.0, start / 100, start / 2)
    low = next((value for value in tried if takes(value)), start)
    if low < high:
        return low, high
    around = max(1.0, abs(start) / 2)  # 1 more is the same number where that is large
    return max(-LARGEST, start - around), min(LARGEST, start + around)
