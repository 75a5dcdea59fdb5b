"""One call of the streamed route: what is scored, and what its loss needs to know."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from losslab import kernels
from losslab.objective import Objective
from losslab.prediction import Needs, Quantity, StreamedPrediction

# what a sweep can tell of each token besides its loss
BY_PRODUCTS = ("nll", "log_z", "entropy", "max_logit", "is_correct")
ASKED_AS = {"entropy": "entropy", "is_correct": "argmax"}  # by-product -> what a sweep may have to be asked for


def dtype_of(hidden: Tensor) -> torch.dtype:
    """That of the matrix products."""
    kind = hidden.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype


def by_products(found: Mapping[Quantity, Tensor], targets: Tensor) -> dict[str, Tensor]:
    """Those of `BY_PRODUCTS` that are among the quantities found, detached."""
    seen = {name: found[name].detach() for name in BY_PRODUCTS if name in found}
    return seen | ({"is_correct": found["argmax"] == targets} if "argmax" in found else {})


def questions(
    objective: Objective, vocab_size: int, vocabulary: Mapping[str, Tensor] | None, device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> frozenset[Quantity] | None:
    """The quantities that an objective asks for, found by running it once without data, and kept with it.

    None where it reads the logits. `dtype` is that of the statistics.
    """
    key = vocab_size, device, dtype, *sorted(vocabulary or ())
    if key not in objective.asked:
        targets = torch.arange(6, device=device).view(2, 3) % vocab_size
        prediction = StreamedPrediction({}, Needs(), targets, vocab_size, dtype, vocabulary)
        # random numbers that a loss draws here must not change those of training, which draws none here after a resume
        with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.enable_grad():
            scored = score(objective, prediction)
        objective.asked[key] = None if scored is None else frozenset(prediction.missing)
    return objective.asked[key]


def score(objective: Objective, prediction: StreamedPrediction) -> Tensor | None:
    """The losses of a prediction; None where the objective reads the logits, which a sweep does not hold."""
    try:
        return objective.losses(prediction)
    except Exception:  # a loss file may raise anything
        if prediction.wants_logits:
            return None
        raise


class Job:
    """One call: what is scored, how, and what the loss needs to know of it.

    Args:
        num_valid: how many of the targets count.
        observe: by-products that are wanted.
    """

    def __init__(self, hidden: Tensor, lm_head: Tensor, targets: Tensor, objective: Objective, num_valid: int,
                 vocabulary: Mapping[str, Tensor] | None = None, observe: Collection[str] = ()):  # fmt: skip
        self.targets, self.objective, self.vocabulary = targets, objective, vocabulary or {}
        self.vocab_size, self.num_valid = lm_head.shape[0], num_valid
        self.kind, self.dtype = hidden.device.type, dtype_of(hidden)
        self.kernels = kernels.swept_by(hidden.device, self.dtype, objective.transforms)
        self.wide = torch.promote_types(self.dtype, torch.float32)
        self.valid = targets.flatten() >= 0
        self.every = num_valid == targets.numel()
        # not among the needs: watching must not change what is computed
        self.also = {quantity for name, quantity in ASKED_AS.items() if name in observe}
        asked = questions(objective, self.vocab_size, vocabulary, hidden.device, self.wide)
        self.reads_logits = asked is None
        self.needs = Needs(set(asked or ()))
        if any(quantity[0] == "logit_at" for quantity in self.needs.quantities):  # of which tokens depends on the batch
            self.needs = Needs()
            self.losses({})

    @property
    def why_not(self) -> str:
        """The sentence for an objective that cannot be computed from statistics."""
        if not self.reads_logits:
            return f"{self.objective} cannot be streamed: what it asks for changes from run to run"
        what = "takes (logits, targets)" if self.objective.takes_logits else "reads prediction.logits"
        return f"{self.objective} cannot be streamed: it {what}, which is never held; ask for no route, or dense"

    def losses(self, known: Mapping[Quantity, Tensor]) -> Tensor | None:
        """The objective of the whole batch from its statistics, None where it reads the logits; what is missing
        joins the needs."""
        given = {quantity: known[quantity] for quantity in self.needs.quantities if quantity in known}
        prediction = StreamedPrediction(
            given, self.needs, self.targets, self.vocab_size, self.wide, self.vocabulary
        )
        losses = score(self.objective, prediction)
        self.reads_logits, self.is_complete = losses is None, not prediction.missing
        self.needs = Needs(self.needs.quantities | prediction.missing, prediction.ids)
        return losses

    def rows(self, values: Tensor) -> Tensor:
        """`[..., k]` of the batch to `[n, k]` of its valid tokens."""
        flat = values.reshape(self.valid.numel(), *values.shape[self.targets.dim():])
        return flat if self.every else flat[self.valid]

    def whole(self, values: Tensor, filler: float = 0.0) -> Tensor:
        """The inverse of `rows`; masked tokens get `filler`."""
        if not self.every:
            flat = values.new_full((self.valid.numel(), *values.shape[1:]), filler)
            flat[self.valid] = values
            values = flat
        return values.view(*self.targets.shape, *values.shape[1:])

    def head(self, hidden: Tensor, lm_head: Tensor) -> kernels.Head:
        hidden = self.rows(hidden.reshape(*self.targets.shape, -1))
        names = [quantity[1] for quantity in self.needs.quantities if quantity[0] == "dot"]
        return self.kernels.Head(
            hidden, lm_head, self.rows(self.targets), self.needs, [self.rows(ids) for ids in self.needs.ids],
            self.objective.transforms, self.dtype,
            {name: self.vocabulary[name].to(dtype=self.wide, device=hidden.device) for name in names},
        )

    def grads(self, head: kernels.Head, hidden: Tensor, lm_head: Tensor) -> tuple[Tensor, Tensor]:
        """What a head has gathered, in the shapes and dtypes of the inputs."""
        if head.grad_hidden is None:
            return torch.zeros_like(hidden), torch.zeros_like(lm_head)
        grad_hidden = self.whole(head.grad_hidden).view(hidden.shape).to(hidden.dtype)
        return grad_hidden, head.grad_lm_head.to(lm_head.dtype)
