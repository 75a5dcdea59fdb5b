"""Training: one name a step, its loss, the way back to every weight, and a small change to each."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from losslab.lesson import losses
from losslab.lesson.autograd import Scalar, mean, softmax
from losslab.lesson.model import NUM_POSITIONS, Model
from losslab.lesson.names import Names

SEED = 42
NUM_STEPS = 1_000  # over which the learning rate falls to 0
LEARNING_RATE, BETA1, BETA2, ADAM_EPSILON = 0.01, 0.85, 0.99, 1e-8
TEMPERATURE, NUM_SAMPLES = 0.5, 20


@dataclass(frozen=True)
class Step:
    """What one step measured, before it changed the weights.

    Args:
        loss: the mean over positions of the loss that is trained.
        nll: that of -log p.
    """

    loss: float
    nll: float


class Course:
    """What is the same however the numbers are computed: which name comes when, and at which learning rate.

    One stream of random numbers serves the order of the names, the initial weights and the samples, in that order.

    Args:
        names: to learn from, one a step, and again from the first after the last.
        loss: one of the four of the lesson.
        num_steps: how many steps are planned; the learning rate falls over these, or over 1,000 where they are fewer.
    """

    def __init__(self, names: Names, loss: str = "cross_entropy", num_steps: int = NUM_STEPS):
        losses.named(loss)
        self.names, self.loss, self.planned, self.steps_done = names, loss, max(num_steps, NUM_STEPS), 0
        self.rng = Random(SEED)
        self.order = list(names.names)
        self.rng.shuffle(self.order)

    def next_tokens(self) -> list[int]:
        """The tokens of the name whose turn it is, at most as many as there are positions, and the one after them."""
        return self.names.tokens(self.order[self.steps_done % len(self.order)])[: NUM_POSITIONS + 1]

    def adam(self) -> tuple[float, float, float]:
        """The learning rate of this step, and the corrections of both averages, which began at 0."""
        step = self.steps_done
        rate = LEARNING_RATE * (1 - step / self.planned)
        return rate, 1 - BETA1 ** (step + 1), 1 - BETA2 ** (step + 1)


class Training(Course):
    """The training of the scalar model.

    Example:
        >>> from losslab.lesson.names import Names
        >>> training = Training(Names(("ada", "bo"), "two names"))
        >>> round(training.step().loss, 3), training.steps_done  # near ln 5 = 1.609: a, b, d, o and the end
        (1.516, 1)
    """

    def __init__(self, names: Names, loss: str = "cross_entropy", num_steps: int = NUM_STEPS):
        super().__init__(names, loss, num_steps)
        self.model = Model(names.vocab_size, self.rng)
        self.parameters = list(self.model.parameters())
        self.averages = [0.0] * len(self.parameters)  # of the gradient, over the last few steps
        self.squares = [0.0] * len(self.parameters)  # of its square

    def step(self) -> Step:
        """Learn the next name."""
        loss, nll = self._losses(self.next_tokens())
        loss.backward()
        self._update()
        return Step(loss.value, nll.value)

    def _losses(self, tokens: list[int]):
        """The mean loss over the positions of a name, and the mean -log p."""
        read, compute = self.model.reading(), losses.named(self.loss).compute
        logits = [read(token) for token in tokens[:-1]]
        loss, nll = (mean([each(z, target) for z, target in zip(logits, tokens[1:], strict=True)])
                     for each in (compute, losses.cross_entropy))
        return loss, nll

    def _update(self) -> None:
        """Adam: against the average gradient, in steps of about the learning rate for every weight."""
        rate, correction, square_correction = self.adam()
        for i, weight in enumerate(self.parameters):
            self.averages[i] = BETA1 * self.averages[i] + (1 - BETA1) * weight.gradient
            self.squares[i] = BETA2 * self.squares[i] + (1 - BETA2) * weight.gradient**2
            average, square = self.averages[i] / correction, self.squares[i] / square_correction
            weight.value -= rate * average / (square**0.5 + ADAM_EPSILON)
            weight.gradient = 0.0
        self.steps_done += 1

    def numbers(self) -> list[float]:
        """Every weight, matrix by matrix and row by row."""
        return [weight.value for weight in self.parameters]

    def reading(self) -> Callable[[int], list[float]]:
        """A reader at the start of a name, see `Model.reading`; it gives plain numbers."""
        read = self.model.reading()
        return lambda token: [logit.value for logit in read(token)]

    def gradient_norms(self, tokens: list[int]) -> dict[str, float]:
        """Matrix -> how long the gradient of the mean loss of a name is there; no weight is changed."""
        self._losses(tokens)[0].backward()
        norms = {}
        for name, matrix in self.model.weights.items():
            norms[name] = sum(weight.gradient**2 for row in matrix for weight in row) ** 0.5
            for row in matrix:
                for weight in row:
                    weight.gradient = 0.0
        return norms


def sample(training: Course, number: int = NUM_SAMPLES) -> list[str]:
    """Names that the model makes up, at temperature 0.5."""
    names, made = training.names, []
    for _ in range(number):
        read, token, letters = training.reading(), names.end, []
        for _ in range(NUM_POSITIONS):
            shares = probabilities([logit / TEMPERATURE for logit in read(token)])
            token = training.rng.choices(range(names.vocab_size), weights=shares)[0]
            if token == names.end:
                break
            letters.append(token)
        made.append(names.text(letters))
    return made


def probabilities(logits: list[float]) -> list[float]:
    """The softmax of plain numbers."""
    return [share.value for share in softmax([Scalar(logit) for logit in logits])]
