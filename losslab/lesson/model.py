"""A GPT whose every weight is one number.

It is GPT-2 made small: one layer, width 16, four heads, 16 positions, no biases. The norm divides by the root mean
square and has no weights, and the MLP uses ReLU.
"""

from collections.abc import Callable, Iterator
from random import Random

from losslab.lesson.autograd import Scalar, dot, softmax

N_EMBD, N_HEAD, NUM_POSITIONS = 16, 4, 16
HEAD_DIM = N_EMBD // N_HEAD
INIT_STD = 0.08
NORM_EPSILON = 1e-5
Matrix = list[list[Scalar]]


def shapes(vocab_size: int) -> dict[str, tuple[int, int]]:
    """Matrix -> (rows, columns), in the order in which their random numbers are drawn."""
    square = (N_EMBD, N_EMBD)
    return {
        "token embedding": (vocab_size, N_EMBD), "position embedding": (NUM_POSITIONS, N_EMBD),
        "lm_head": (vocab_size, N_EMBD), "query": square, "key": square, "value": square, "attention output": square,
        "mlp in": (4 * N_EMBD, N_EMBD), "mlp out": (N_EMBD, 4 * N_EMBD),
    }  # fmt: skip


def initial(vocab_size: int, rng: Random) -> dict[str, list[list[float]]]:
    """Initial weights, normal with standard deviation 0.08, matrix by matrix and row by row."""
    return {name: [[rng.gauss(0, INIT_STD) for _ in range(columns)] for _ in range(rows)]
            for name, (rows, columns) in shapes(vocab_size).items()}


class Model:
    """The weights, and how logits come of them.

    Args:
        vocab_size: how many tokens there are.
        rng: where the initial weights come from.
    """

    def __init__(self, vocab_size: int, rng: Random):
        self.weights: dict[str, Matrix] = {name: [[Scalar(number) for number in row] for row in rows]
                                           for name, rows in initial(vocab_size, rng).items()}

    def parameters(self) -> Iterator[Scalar]:
        """Every weight, in the order in which they were drawn."""
        return (number for matrix in self.weights.values() for row in matrix for number in row)

    def reading(self) -> Callable[[int], list[Scalar]]:
        """A reader at the start of a name: give it a token, and it gives the logits of the next one.

        It remembers the keys and values of the tokens it was given, so each token is computed once.
        """
        keys, values = [], []
        return lambda token: self._logits(token, keys, values)

    def _logits(self, token: int, keys: Matrix, values: Matrix) -> list[Scalar]:
        weights, position = self.weights, len(keys)
        tables = weights["token embedding"][token], weights["position embedding"][position]
        hidden = normed(plus(*tables))

        x = normed(hidden)
        query = times(weights["query"], x)
        keys.append(times(weights["key"], x))
        values.append(times(weights["value"], x))
        hidden = plus(hidden, times(weights["attention output"], attended(query, keys, values)))

        x = times(weights["mlp in"], normed(hidden))
        hidden = plus(hidden, times(weights["mlp out"], [number.relu() for number in x]))
        return times(weights["lm_head"], hidden)


def times(matrix: Matrix, vector: list[Scalar]) -> list[Scalar]:
    """Matrix times vector."""
    return [dot(row, vector) for row in matrix]


def plus(left: list[Scalar], right: list[Scalar]) -> list[Scalar]:
    return [a + b for a, b in zip(left, right, strict=True)]


def normed(vector: list[Scalar]) -> list[Scalar]:
    """The vector divided by its root mean square."""
    scale = (dot(vector, vector) * (1 / len(vector)) + NORM_EPSILON) ** -0.5
    return [number * scale for number in vector]


def attended(query: list[Scalar], keys: Matrix, values: Matrix) -> list[Scalar]:
    """Per head: the values of the tokens so far, mixed by how well their keys match the query."""
    mixed = []
    for start in range(0, N_EMBD, HEAD_DIM):
        part = slice(start, start + HEAD_DIM)
        shares = softmax([dot(query[part], key[part]) * HEAD_DIM**-0.5 for key in keys])
        mixed += [dot(shares, [value[column] for value in values]) for column in range(start, start + HEAD_DIM)]
    return mixed

