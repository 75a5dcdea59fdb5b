"""What a loss is, found by trying it: curves, minimizer and its bias, convexity, what stays finite, cost.

Nothing here knows a loss by its name, so a loss file gets the same findings as the family.
"""

import dataclasses
import math
from dataclasses import dataclass

from losslab import formula
from losslab.anatomy import cost as costs
from losslab.anatomy import minimizer, probe, shape
from losslab.objective import Objective

__all__ = ["Anatomy", "inspect", "shapes"]


@dataclass(frozen=True)
class Anatomy:
    loss: str
    """The formula that was asked for."""
    inspected: str
    """The formula that was inspected: `cross_entropy + it` for what cannot be descended alone."""
    proper: bool | None
    """Whether converged training gives the true probabilities, for each distribution that was tried; None where it
    runs on none of them, because it needs more classes."""
    bias: dict | None
    """The largest distance of the minimizer from the truth, and its direction; None where there is no minimizer."""
    minimizers: list[dict]
    """For each truth, where training from zero logits ends."""
    scored_alone: bool | str
    """Whether it is token-wise independent: True, False, or `by definition` for what a loss of the family declares."""
    convex: bool | None
    """Whether no counterexample to convexity in the logits was found; None where the loss ran on no number tried."""
    convexity: dict
    """How many pairs were tried, on which numbers of classes, and the worst of them as a witness."""
    curves: list[dict]
    """Value and gradient against P(correct), one entry per vocabulary size on which the loss runs."""
    left_out: str
    """Why some curve is left out; empty where none is."""
    untrained: list[dict]
    """Value and gradient of an untrained (uniform) model, one entry per vocabulary size."""
    finite: dict[str, bool]
    """Whether value and gradient stay finite in float32, by case."""
    route: dict
    """How `linear_loss` evaluates a large batch, why, and the row statistics that it gathers for it."""
    cost: dict | None
    """Time and memory compared with cross-entropy, measured here; None where it was not measured."""
    conventions: dict[str, str]
    """What the numbers above mean."""

    def to_dict(self) -> dict:
        """As JSON has it: what is not finite becomes None."""
        return _jsonable(dataclasses.asdict(self))


def inspect(objective: str | Objective, *, sizes: tuple[int, ...] = shape.SIZES, measure: bool = True) -> Anatomy:
    """Find out what a loss is.

    Args:
        objective: a formula, the path of a loss file, or an objective.
        sizes: numbers of classes for the curves and the untrained model.
        measure: whether to time it and cross-entropy, which takes a second or two.

    Raises:
        ValueError: for a formula that cannot be read, or a loss that fails or has no gradient.

    Example:
        >>> found = inspect("label_smoothing(0.1)", sizes=(27,), measure=False)
        >>> found.proper, found.bias["direction"], found.convex, found.scored_alone
        (False, 'flatter', True, True)
    """
    asked = str(objective).strip()
    objective, size = _descendable(objective)
    found = minimizer.find(objective, alone := probe.scored_alone(objective, size))
    convexity = shape.convexity(objective, bool(alone is True))
    drawn, left_out = shape.drawable(objective, sizes)
    return Anatomy(
        loss=asked, inspected=str(objective), proper=minimizer.is_proper(found) if found else None,
        bias=minimizer.bias(found), minimizers=found, scored_alone=alone,
        convex=convexity["witness"] is None if convexity["classes"] else None, convexity=convexity,
        curves=[shape.curve(objective, size) for size in drawn], left_out=left_out,
        untrained=[shape.untrained(objective, size) for size in sizes if probe.runs_on(objective, size, 16)],
        finite=shape.finite(objective, size), route=costs.route(objective, size),
        cost=costs.measure(objective) if measure and probe.runs_on(objective, costs.VOCAB_SIZE) else None,
        conventions=shape.CONVENTIONS | minimizer.CONVENTIONS | costs.CONVENTIONS,
    )


def shapes(objective: str | Objective, *, sizes: tuple[int, ...] = shape.SIZES) -> dict:
    """What of an anatomy takes no search: `loss`, `inspected`, `curves`, `left_out` and `untrained`, as `inspect` has
    them.

    Raises:
        ValueError: as `inspect`.
    """
    asked = str(objective).strip()
    objective, _ = _descendable(objective)
    drawn, left_out = shape.drawable(objective, sizes)
    return _jsonable({
        "loss": asked, "inspected": str(objective), "left_out": left_out,
        "curves": [shape.curve(objective, size) for size in drawn],
        "untrained": [shape.untrained(objective, size) for size in sizes if probe.runs_on(objective, size, 16)]})


def _descendable(objective: str | Objective) -> tuple[Objective, int]:
    """The objective itself, or cross-entropy plus it where it is only a term or does not see the target.

    With it the fewest classes on which it runs.
    """
    if isinstance(objective, str):
        try:
            objective = Objective.parse(objective)
        except ValueError as error:
            try:
                objective = Objective.parse(_with_cross_entropy(objective))
                return objective, probe.smallest(objective)
            except ValueError:  # it was not for being a term alone
                raise error from None
    size = probe.smallest(objective)
    if not probe.sees_the_target(objective, size):
        objective = Objective.parse(_with_cross_entropy(str(objective)))
    return objective, size


def _with_cross_entropy(text: str) -> str:
    parsed = formula.parse(text)
    return str(formula.Formula(((1.0, formula.Call("cross_entropy")), *parsed.terms), parsed.transforms))


def _jsonable(value):
    if isinstance(value, dict):
        return {key: _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
