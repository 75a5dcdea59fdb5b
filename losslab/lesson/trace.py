"""One name taken apart: what the model said at every position, what came, what it cost, where the gradient goes."""

import math
from dataclasses import asdict, dataclass

from losslab.lesson import losses
from losslab.lesson.model import NUM_POSITIONS
from losslab.lesson.training import Course, probabilities


@dataclass(frozen=True)
class Position:
    """One prediction.

    Args:
        context: the letters before it, as text.
        token: the id of the last of them; of the end mark at the start.
        target: the id of the token that came.
        logits: one a token.
        probabilities: one a token.
        loss: of the loss that is traced.
        nll: -log p of the target.
        gradient: of the mean loss of the name, with respect to each logit here.
    """

    context: str
    token: int
    target: int
    logits: list[float]
    probabilities: list[float]
    loss: float
    nll: float
    gradient: list[float]


@dataclass(frozen=True)
class Trace:
    """A name under a model.

    Args:
        name: as it was read.
        step: how many steps the model was trained.
        loss_name: the loss that is traced.
        left_out: letters behind the last position of the model.
        positions: one a prediction.
        loss, nll: means over the positions.
        gradient_norms: matrix -> length of the gradient of the mean loss there.
    """

    name: str
    step: int
    loss_name: str
    left_out: int
    positions: list[Position]
    loss: float
    nll: float
    gradient_norms: dict[str, float]

    def to_dict(self) -> dict:
        return asdict(self)


def trace(training: Course, name: str) -> Trace:
    """Read a name with the model as it is now; nothing is learned of it.

    Raises:
        ValueError: for letters that the model does not know.
    """
    names = training.names
    tokens = names.tokens(name)
    kept = tokens[: NUM_POSITIONS + 1]
    number, read, positions = len(kept) - 1, training.reading(), []
    for i, (token, target) in enumerate(zip(kept[:-1], kept[1:], strict=True)):
        logits = read(token)
        loss, gradient = losses.evaluated(training.loss, logits, target)
        nll = losses.evaluated("cross_entropy", logits, target)[0]
        positions.append(Position(names.text(kept[: i + 1]), token, target, logits, probabilities(logits), loss, nll,
                                  [slope / number for slope in gradient]))
    means = (math.fsum(getattr(one, key) for one in positions) / number for key in ("loss", "nll"))
    return Trace(names.text(tokens), training.steps_done, training.loss, len(tokens) - len(kept), positions, *means,
                 training.gradient_norms(kept))
