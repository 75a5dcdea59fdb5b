"""What a loss file may set of the recipe: `CONFIG_OVERRIDES`, a literal dictionary that is read and never run."""

import ast
import re

from losslab.config.numbers import shown
from losslab.words import nearest

# what a submitter may set, in the words of the published task -> the field it sets
OVERRIDES = {"learning_rate": "learning_rate", "weight_decay": "weight_decay", "warmup_iters": "warmup_steps",
             "min_lr": "min_learning_rate_ratio", "grad_clip": "grad_clip"}
LITERAL = re.compile(r"^CONFIG_OVERRIDES\s*=\s*(\{[^{}]*\})", re.MULTILINE)
MOST_LITERAL = 2_000  # letters of that dictionary

MOST = 1e300  # a whole number beyond it is no float


def overrides_in(source: str) -> dict:
    """The literal dictionary `CONFIG_OVERRIDES` of a loss file, read and never run; empty where there is none.

    Raises:
        ValueError: for one that is no dictionary of numbers.

    Example:
        >>> overrides_in('CONFIG_OVERRIDES = {"learning_rate": 1e-3}')
        {'learning_rate': 0.001}
    """
    found = LITERAL.search(source)
    if found is None:
        if re.search(r"^CONFIG_OVERRIDES\b", source, re.MULTILINE):
            raise ValueError('CONFIG_OVERRIDES must be one literal dictionary of numbers, such as {"grad_clip": 1.0}')
        return {}
    try:
        if len(found[1]) > MOST_LITERAL:
            raise ValueError
        values = ast.literal_eval(found[1])
        if not all(type(value) in (int, float) and abs(value) <= MOST for value in values.values()):
            raise ValueError
        return values
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError, OverflowError, AttributeError):
        raise ValueError('CONFIG_OVERRIDES must be one literal dictionary of numbers, such as {"grad_clip": 1.0}'
                         ) from None


def ranges(values, source: str) -> dict:
    """The table `overrides` of a challenge: setting -> [lowest, highest].

    Raises:
        ValueError: naming what is no such range.
    """
    if not isinstance(values, dict) or not values.keys() <= OVERRIDES.keys():
        raise ValueError(f"overrides in {source} is a table of ranges for {', '.join(OVERRIDES)}, got {shown(values)}")
    for key, value in values.items():
        if not (isinstance(value, list) and len(value) == 2 and all(type(end) in (int, float) for end in value)
                and 0 <= value[0] <= value[1] <= MOST):
            raise ValueError(f"overrides.{key} in {source} must be [lowest, highest], got {shown(value)}")
    return {key: [float(end) for end in value] for key, value in values.items()}


def settings(given: dict, allowed: dict, train, name: str) -> dict:
    """Fields of training from what a loss file sets.

    Args:
        given: what the file sets.
        allowed: what the challenge `name` lets it set: setting -> (lowest, highest).
        train: the training that is changed.

    Raises:
        ValueError: naming what may not be set, or is out of range.
    """
    for key, value in given.items():
        if key not in allowed:
            raise ValueError(f"CONFIG_OVERRIDES sets {shown(key)}{nearest(str(key), allowed)}; in {name} it may set "
                             f"{', '.join(allowed) or 'nothing'}")
        low, high = allowed[key]
        if type(value) not in (int, float) or not low <= value <= high:
            raise ValueError(f"CONFIG_OVERRIDES sets {key} to {shown(value)}; it must be between {low:g} and {high:g}")
    found = {OVERRIDES[key]: float(value) for key, value in given.items()}
    if "warmup_steps" in found:
        found["warmup_steps"] = int(found["warmup_steps"])
    peak = found.get("learning_rate", train.learning_rate)
    if "min_lr" in given:
        found["min_learning_rate_ratio"] = min(1.0, given["min_lr"] / peak)
    elif "learning_rate" in given:  # the end of the schedule stays where it was, as in the published task
        found["min_learning_rate_ratio"] = min(1.0, train.learning_rate * train.min_learning_rate_ratio / peak)
    return found
