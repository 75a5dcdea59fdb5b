"""One call of the streamed route: what is scored, and what its loss needs to know."""

from collections.abc import Collection, Mapping

import torch
from torch import Tensor

from losslab import kernels
from losslab.objective import Objective
from losslab.prediction import Needs, Quantity, StreamedPrediction

# what a sweep can tell of each token beside its loss
BY_PRODUCTS = ("nll", "log_z", "entropy", "max_logit", "is_correct")
BESIDE = {"entropy": "entropy", "is_correct": "argmax"}  # by-product -> what a sweep may have to be asked for


class NotStreamable(ValueError):
    """The objective looks at something that the streamed route does not hold."""


def dtype_of(hidden: Tensor) -> torch.dtype:
    """That of the matrix products."""
    kind = hidden.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype


def by_products(found: Mapping[Quantity, Tensor], targets: Tensor) -> dict[str, Tensor]:
    """Those of `BY_PRODUCTS` that are among the quantities found, detached."""
    seen = {name: found[name].detach() for name in BY_PRODUCTS if name in found}
    return seen | ({"is_correct": found["argmax"] == targets} if "argmax" in found else {})


class Job:
    """One call: what is scored, how, and what the loss needs to know of it."""

    def __init__(self, hidden: Tensor, lm_head: Tensor, targets: Tensor, objective: Objective,
                 vocabulary: Mapping[str, Tensor] | None = None, observe: Collection[str] = ()):  # fmt: skip
        self.targets, self.objective, self.vocabulary = targets, objective, vocabulary or {}
        self.vocab_size = lm_head.shape[0]
        self.kind, self.dtype = hidden.device.type, dtype_of(hidden)
        self.kernels = kernels.swept_by(hidden.device, self.dtype, objective.transforms)
        self.wide = torch.promote_types(self.dtype, torch.float32)
        self.valid = targets.flatten() >= 0
        self.every = bool(self.valid.all())
        # not among the needs: watching must not change what is computed
        self.also = {quantity for name, quantity in BESIDE.items() if name in observe}
        self.needs = Needs()
        self.losses({})  # asks for what it needs

    def losses(self, known: Mapping[Quantity, Tensor]) -> Tensor:
        """The objective of the whole batch from its statistics; what is missing joins the needs."""
        asked = {quantity: known[quantity] for quantity in self.needs.quantities if quantity in known}
        prediction = StreamedPrediction(
            asked, self.needs, self.targets, self.vocab_size, self.wide, self.vocabulary
        )
        try:
            losses = self.objective.losses(prediction)
        except Exception as error:
            if prediction.wants_logits:
                what = "takes (logits, targets)" if self.objective.takes_logits else "looks at prediction.logits"
                raise NotStreamable(
                    f"{self.objective} cannot be streamed: it {what}, which is never held; ask for no route, or dense"
                ) from error
            raise
        self.is_complete = not prediction.missing
        self.needs = Needs(self.needs.quantities | prediction.missing, prediction.ids)
        return losses

    def rows(self, values: Tensor) -> Tensor:
        """`[..., k]` of the batch to `[n, k]` of its valid tokens."""
        flat = values.reshape(self.valid.numel(), *values.shape[self.targets.dim():])
        return flat if self.every else flat[self.valid]

    def whole(self, values: Tensor, filler: float = 0.0) -> Tensor:
        """The way back; masked tokens get `filler`."""
        if not self.every:
            flat = values.new_full((self.valid.numel(), *values.shape[1:]), filler)
            flat[self.valid] = values
            values = flat
        return values.view(*self.targets.shape, *values.shape[1:])

    def head(self, hidden: Tensor, lm_head: Tensor):
        hidden = self.rows(hidden.reshape(*self.targets.shape, -1))
        return self.kernels.Head(
            hidden, lm_head, self.rows(self.targets), self.needs, [self.rows(ids) for ids in self.needs.ids],
            self.objective.transforms, self.dtype, self.vocabulary,
        )

    def grads(self, head, hidden: Tensor, lm_head: Tensor) -> tuple[Tensor, Tensor]:
        """What a head has gathered, in the shapes and dtypes of the inputs."""
        if head.grad_hidden is None:
            return torch.zeros_like(hidden), torch.zeros_like(lm_head)
        grad_hidden = self.whole(head.grad_hidden).view(hidden.shape).to(hidden.dtype)
        return grad_hidden, head.grad_lm_head.to(lm_head.dtype)
