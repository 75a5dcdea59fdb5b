"""The same lesson with tensors: all positions of a name at once, in float64, by the losses of the family."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from losslab.lesson.model import HEAD_DIM, N_EMBD, N_HEAD, NORM_EPSILON, NUM_POSITIONS, initial, shapes
from losslab.lesson.names import Names
from losslab.lesson.training import ADAM_EPSILON, BETA1, BETA2, NUM_STEPS, Course, Step
from losslab.objective import Objective


class Training(Course):
    """The training of the scalar model by tensors: every loss is that of `training.Training` to nine digits."""

    def __init__(self, names: Names, loss: str = "cross_entropy", num_steps: int = NUM_STEPS):
        super().__init__(names, loss, num_steps)
        rows = initial(names.vocab_size, self.rng)
        self.flat = torch.tensor([number for matrix in rows.values() for row in matrix for number in row],
                                 dtype=torch.float64, requires_grad=True)
        self.averages, self.squares = torch.zeros_like(self.flat), torch.zeros_like(self.flat)
        self.objective = Objective.parse(loss)
        self.mask = torch.full((NUM_POSITIONS, NUM_POSITIONS), float("-inf"), dtype=torch.float64).triu(1)

    def matrices(self) -> dict[str, Tensor]:
        """The weights, each matrix a part of one vector."""
        return _cut(self.flat, self.names.vocab_size)

    def step(self) -> Step:
        """Learn the next name."""
        loss, nll = self._losses(self.next_tokens())
        (gradient,) = torch.autograd.grad(loss, self.flat)
        rate, correction, square_correction = self.adam()
        self.averages.lerp_(gradient, 1 - BETA1)
        self.squares.lerp_(gradient.square(), 1 - BETA2)
        size = (self.squares / square_correction).sqrt() + ADAM_EPSILON
        with torch.no_grad():
            self.flat -= rate * (self.averages / correction) / size
        self.steps_done += 1
        return Step(loss.item(), nll.item())

    def _losses(self, tokens: list[int]) -> tuple[Tensor, Tensor]:
        logits, targets = self.logits(tokens[:-1]), torch.tensor(tokens[1:])
        nll = F.cross_entropy(logits, targets)
        return nll if self.loss == "cross_entropy" else self.objective(logits[None], targets[None]).mean(), nll.detach()

    def logits(self, tokens: list[int]) -> Tensor:
        """`[positions, vocab]` logits after each of the tokens."""
        weights, length = self.matrices(), len(tokens)
        hidden = _normed(weights["token embedding"][tokens] + weights["position embedding"][:length])
        x = _normed(hidden)
        query, key, value = ((x @ weights[name].T).view(length, N_HEAD, HEAD_DIM).transpose(0, 1)
                             for name in ("query", "key", "value"))
        shares = (query @ key.mT * HEAD_DIM**-0.5 + self.mask[:length, :length]).softmax(-1)
        mixed = (shares @ value).transpose(0, 1).reshape(length, N_EMBD)
        hidden = hidden + mixed @ weights["attention output"].T
        hidden = hidden + (_normed(hidden) @ weights["mlp in"].T).relu() @ weights["mlp out"].T
        return hidden @ weights["lm_head"].T

    def numbers(self) -> list[float]:
        """Every weight, matrix by matrix and row by row."""
        return self.flat.tolist()

    @torch.no_grad()
    def _last(self, tokens: list[int]) -> list[float]:
        return self.logits(tokens)[-1].tolist()

    def reading(self) -> Callable[[int], list[float]]:
        """A reader at the start of a name: give it a token, and it gives the logits of the next one."""
        tokens: list[int] = []

        def read(token: int) -> list[float]:
            tokens.append(token)
            return self._last(tokens)

        return read

    def gradient_norms(self, tokens: list[int]) -> dict[str, float]:
        """Matrix -> how long the gradient of the mean loss of a name is there."""
        (gradient,) = torch.autograd.grad(self._losses(tokens)[0], self.flat)
        return {name: part.norm().item() for name, part in _cut(gradient, self.names.vocab_size).items()}


def _cut(flat: Tensor, vocab_size: int) -> dict[str, Tensor]:
    sizes = shapes(vocab_size)
    parts = flat.split([rows * columns for rows, columns in sizes.values()])
    return {name: part.view(shape) for (name, shape), part in zip(sizes.items(), parts, strict=True)}


def _normed(hidden: Tensor) -> Tensor:
    return hidden * (hidden.square().mean(-1, keepdim=True) + NORM_EPSILON) ** -0.5
