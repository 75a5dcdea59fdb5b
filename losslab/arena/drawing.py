"""Random formulas of the family, as loss files: sums of losses and terms, some on transformed logits.

What may be drawn, and between which numbers, stands in the three tables. The other losses of the family are left out:
those that stop gradients, that ask for a vector of the vocabulary, or that look at other tokens of the row.
"""

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass

Range = tuple[float, float]  # lowest and highest; above 0 and a factor of four apart or more: drawn by ratios
LOSSES: Mapping[str, Mapping[str, Range]] = {
    "cross_entropy": {}, "brier": {}, "spherical": {},
    "label_smoothing": {"epsilon": (0.001, 0.1)}, "squentropy": {"square_weight": (0.001, 1.0)},
    "poly1": {"epsilon": (-0.9, 3.0)}, "focal": {"gamma": (0.05, 1.0)},
    "generalized_cross_entropy": {"q": (0.02, 0.4)},
}  # fmt: skip
TERMS: Mapping[str, Range] = {  # their weights
    "z_loss": (1e-5, 1e-2), "max_z_loss": (1e-5, 1e-2), "logit_variance": (1e-5, 1e-2), "entropy": (-0.1, 0.1),
}  # fmt: skip
TRANSFORMS: Mapping[str, Mapping[str, Range]] = {
    "softcap": {"cap": (5.0, 60.0)}, "isru_cap": {"cap": (5.0, 60.0)}, "temperature": {"temperature": (0.6, 1.6)},
}  # fmt: skip
ADDED = {"brier", "spherical"}  # which hardly learn from scratch alone: only in a sum of two losses
SHARE: Range = (0.5, 0.95)  # of the first of two losses
FORMS = ("logits", "prediction")
DIGITS = 3
HEADER = "# drawn by `losslab arena search`, seed {seed}, number {number}: {formula}\n"


@dataclass(frozen=True)
class Drawn:
    """One formula that was drawn, and the loss file that computes it."""

    number: int
    formula: str
    form: str
    """`logits`: compute_loss(logits, targets); `prediction`: one function of a prediction."""
    text: str


def drawn(seed: int, count: int) -> list[Drawn]:
    """So many different formulas; the same for the same seed, and the first of more.

    Example:
        >>> drawn(0, 2) == drawn(0, 5)[:2]
        True
    """
    rng, found, known = random.Random(f"arena search {seed}"), [], {"cross_entropy"}
    while len(found) < count:
        one = _draw(rng, seed, len(found) + 1)
        if one.formula not in known:
            known.add(one.formula)
            found.append(one)
    return found


def _draw(rng: random.Random, seed: int, number: int) -> Drawn:
    names = [rng.choice(sorted(LOSSES.keys() - ADDED))]
    names += rng.sample(sorted(LOSSES.keys() - {*names}), rng.choices((0, 1), (2, 1))[0])
    share = _between(rng, SHARE) if len(names) == 2 else 1.0
    weights = [share, round(1 - share, 2 + DIGITS)][: len(names)]
    terms = rng.sample(sorted(TERMS), rng.choices((0, 1, 2), (1, 2, 1))[0])
    parts = [(weight, name, _values(rng, LOSSES[name])) for weight, name in zip(weights, names, strict=True)]
    parts += [(_between(rng, TERMS[name]), name, {}) for name in terms]
    transform = rng.choice(sorted(TRANSFORMS)) if rng.random() < 1 / 3 else ""
    values = _values(rng, TRANSFORMS[transform]) if transform else {}
    form = "logits" if transform else rng.choice(FORMS)
    formula = " + ".join(f"{_weighted(weight)}{_call(name, given)}" for weight, name, given in parts)
    formula = (f"{_call(transform, values)} | " if transform else "") + formula.replace("+ -", "- ")
    return Drawn(number, formula, form, HEADER.format(seed=seed, number=number, formula=formula)
                 + _source(parts, transform, values, form))


def _source(parts: list[tuple], transform: str, values: dict, form: str) -> str:
    lines = [f"from losslab.losses.{name} import {name}" for name in sorted({name for _, name, _ in parts})]
    if form == "logits":
        lines.append("from losslab.prediction import Prediction")
    if transform:
        lines.append(f"from losslab.transforms.{transform} import {transform}")
    summands = (f"{_weighted(weight)}{_call(name, given, 'prediction')}" for weight, name, given in parts)
    body = "    return (\n        " + "\n        + ".join(summands) + "\n    )\n"
    if form == "prediction":
        return "\n".join([*lines, "", "", "def searched(prediction):", body])
    logits = _call(transform, values, "logits") if transform else "logits"
    return "\n".join([*lines, "", "", "def compute_loss(logits, targets):",
                      f"    prediction = Prediction.dense({logits}, targets)", body])


def _call(name: str, values: dict, first: str = "") -> str:
    given = ", ".join([first] * bool(first) + [f"{key}={value}" for key, value in values.items()])
    return f"{name}({given})" if given else name


def _weighted(weight: float) -> str:
    return "" if weight == 1 else f"{weight}*"


def _values(rng: random.Random, ranges: Mapping[str, Range]) -> dict[str, float]:
    return {name: _between(rng, ends) for name, ends in ranges.items()}


def _between(rng: random.Random, ends: Range) -> float:
    low, high = ends
    by_ratio = low > 0 and high / low >= 4
    value = math.exp(rng.uniform(math.log(low), math.log(high))) if by_ratio else rng.uniform(low, high)
    return min(high, max(low, float(f"{value:.{DIGITS}g}")))
