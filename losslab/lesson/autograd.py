"""Derivatives, one number at a time.

Each number of a computation remembers which numbers it was made of, and how fast it grows with each of them. No more is
needed to walk back from a loss to every weight.
"""

import math
from collections.abc import Sequence
from itertools import count
from operator import mul

_births = count()


class Scalar:
    """One number of a computation.

    Args:
        value: the number.
        parents: the numbers that it was computed from.
        slopes: the derivative of `value` with respect to each of them.

    Example:
        >>> a, b = Scalar(3.0), Scalar(2.0)
        >>> product = a * b
        >>> product.backward()
        >>> product.value, a.gradient, b.gradient
        (6.0, 2.0, 3.0)
    """

    __slots__ = ("value", "gradient", "parents", "slopes", "birth")

    def __init__(self, value: float, parents: Sequence["Scalar"] = (), slopes: Sequence[float] = ()):
        self.value, self.parents, self.slopes = value, parents, slopes
        self.gradient = 0.0  # of the number that `backward` started from, with respect to this one
        self.birth = next(_births)

    def __repr__(self) -> str:
        return f"Scalar({self.value!r})"

    def __add__(self, other):
        if isinstance(other, Scalar):
            return Scalar(self.value + other.value, (self, other), (1.0, 1.0))
        return Scalar(self.value + other, (self,), (1.0,))

    def __mul__(self, other):
        if isinstance(other, Scalar):
            return Scalar(self.value * other.value, (self, other), (other.value, self.value))
        return Scalar(self.value * other, (self,), (other,))

    def __pow__(self, exponent: float):
        return Scalar(self.value**exponent, (self,), (exponent * self.value ** (exponent - 1),))

    def exp(self) -> "Scalar":
        grown = math.exp(self.value)
        return Scalar(grown, (self,), (grown,))

    def log(self) -> "Scalar":
        return Scalar(math.log(self.value), (self,), (1 / self.value,))

    def relu(self) -> "Scalar":
        return Scalar(max(0.0, self.value), (self,), (float(self.value > 0),))

    def __neg__(self):
        return self * -1.0

    def __sub__(self, other):
        return self + -other

    def __truediv__(self, other):
        return self * other**-1

    __radd__, __rmul__ = __add__, __mul__

    def backward(self) -> None:
        """Add to the `gradient` of every number behind this one the derivative of this one with respect to it.

        A number is made after its parents. So going from the newest to the oldest, each has heard from everything that
        was made of it before it passes anything on: this is the chain rule.
        """
        behind, todo = {self}, [self]
        while todo:
            for parent in todo.pop().parents:
                if parent not in behind:
                    behind.add(parent)
                    todo.append(parent)
        self.gradient = 1.0
        for number in sorted(behind, key=lambda one: one.birth, reverse=True):
            gradient = number.gradient
            for parent, slope in zip(number.parents, number.slopes, strict=True):
                parent.gradient += slope * gradient


def dot(left: Sequence[Scalar], right: Sequence[Scalar]) -> Scalar:
    """The sum of the products of two lists, as one number: most of a GPT is this.

    Example:
        >>> dot([Scalar(1.0), Scalar(2.0)], [Scalar(3.0), Scalar(4.0)])
        Scalar(11.0)
    """
    lefts, rights = [one.value for one in left], [one.value for one in right]
    return Scalar(sum(map(mul, lefts, rights)), (*left, *right), (*rights, *lefts))


def total(numbers: Sequence[Scalar]) -> Scalar:
    """The sum of a list, as one number.

    Example:
        >>> total([Scalar(1.0), Scalar(2.5)])
        Scalar(3.5)
    """
    return Scalar(sum(one.value for one in numbers), tuple(numbers), (1.0,) * len(numbers))


def mean(numbers: Sequence[Scalar]) -> Scalar:
    """The mean of a list, as one number."""
    return total(numbers) * (1 / len(numbers))


def softmax(logits: Sequence[Scalar]) -> list[Scalar]:
    """Probabilities of logits: exp of each, divided by the sum of them all.

    Example:
        >>> softmax([Scalar(0.0), Scalar(0.0)])
        [Scalar(0.5), Scalar(0.5)]
    """
    top = max(logit.value for logit in logits)  # taken from all, which changes no probability, so that no exp overflows
    grown = [(logit + -top).exp() for logit in logits]
    share = total(grown) ** -1
    return [one * share for one in grown]
