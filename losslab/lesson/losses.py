"""The four losses of the lesson, each over the logits of one position.

They are defined as in the family (`losslab losses NAME`), with its default parameters; a test holds both equal.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from losslab.lesson.autograd import Scalar, mean, total
from losslab.words import nearest

EPSILON = 0.1  # of label smoothing


@dataclass(frozen=True)
class Loss:
    """A loss with its formulas.

    Args:
        compute: takes the logits and the id of the target, gives the loss.
        value: its formula.
        gradient: the formula of its derivative with respect to the logit of token j; [j=y] is 1 for the target, else 0.
        rest: where its gradient is 0, in words.
    """

    compute: Callable[[Sequence[Scalar], int], Scalar]
    value: str
    gradient: str
    rest: str


def cross_entropy(logits: Sequence[Scalar], target: int) -> Scalar:
    """-log p of the target: the log of the sum of all exp(logit), minus the logit of the target."""
    top = max(logit.value for logit in logits)  # as in softmax
    return total([(logit + -top).exp() for logit in logits]).log() + top - logits[target]


def label_smoothing(logits: Sequence[Scalar], target: int) -> Scalar:
    """Cross-entropy where a share of the target, 0.1, is spread over all tokens."""
    return cross_entropy(logits, target) + (logits[target] - mean(logits)) * EPSILON


def squentropy(logits: Sequence[Scalar], target: int) -> Scalar:
    """Cross-entropy plus the mean square of the wrong logits."""
    return cross_entropy(logits, target) + mean([z**2 for token, z in enumerate(logits) if token != target])


def mse(logits: Sequence[Scalar], target: int) -> Scalar:
    """The mean squared distance of the logits from 1 for the target and 0 for the others."""
    return mean([(z + -float(token == target)) ** 2 for token, z in enumerate(logits)])


LOSSES = {
    "cross_entropy": Loss(
        cross_entropy, "-ln p_y", "p_j - [j=y]",
        "nowhere: the right logit may always grow a little more"),
    "label_smoothing": Loss(
        label_smoothing, "-ln p_y + 0.1 (z_y - mean z)", "p_j - 0.9 [j=y] - 0.1/V",
        "at p_y = 0.9 + 0.1/V: more certain than that costs"),
    "squentropy": Loss(
        squentropy, "-ln p_y + mean of z_j^2 (j≠y)", "p_j + 2 z_j/(V-1) (j≠y), p_y - 1",
        "nowhere: the right logit grows, and the wrong ones are drawn to 0"),
    "mse": Loss(
        mse, "mean of (z_j - [j=y])^2", "2 (z_j - [j=y])/V",
        "at the logits 1 and 0, which softmax makes e/(e + V - 1)"),
}  # fmt: skip


def named(name: str) -> Loss:
    """The loss of a name.

    Raises:
        ValueError: for a name that is none of the four.
    """
    if name not in LOSSES:
        raise ValueError(f"the lesson has no loss {name!r}{nearest(name, LOSSES)}; it has {', '.join(LOSSES)}")
    return LOSSES[name]


def evaluated(name: str, logits: Sequence[float], target: int) -> tuple[float, list[float]]:
    """The loss of a position and its gradient, one number a logit.

    Example:
        >>> evaluated("cross_entropy", [0.0, 0.0], 1)
        (0.6931471805599453, [0.5, -0.5])
    """
    numbers = [Scalar(logit) for logit in logits]
    loss = named(name).compute(numbers, target)
    loss.backward()
    return loss.value, [number.gradient for number in numbers]
