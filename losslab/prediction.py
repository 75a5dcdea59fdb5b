"""What a model said about each token, and the token that came."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from losslab.words import nearest


class Prediction:
    """The one argument of a loss: quantities of the (transformed) logits, one value per token.

    Every quantity is a differentiable expression and is computed when it is first asked for. Tokens whose
    target id is negative do not count: `valid` is False there, and their quantities speak of token 0.
    """

    def __init__(self, logits: Tensor, targets: Tensor, vocabulary: Mapping[str, Tensor] | None = None):
        assert logits.shape[:-1] == targets.shape, f"{logits.shape=} {targets.shape=}"
        self.logits = logits
        self.valid = targets >= 0
        self.targets = targets.where(self.valid, 0)
        self._vocabulary = vocabulary or {}

    @classmethod
    def dense(cls, logits: Tensor, targets: Tensor, vocabulary: Mapping[str, Tensor] | None = None) -> "Prediction":
        """From whole logits, by autograd: the reference.

        Args:
            logits: `[..., vocab]`, after the logit transform.
            targets: `[...]`, ids of the tokens that came; a negative id does not count.
            vocabulary: named `[vocab]` vectors such as `unigram`.

        Example:
            >>> import torch
            >>> prediction = Prediction.dense(torch.zeros(1, 4), torch.tensor([2]))
            >>> prediction.nll, prediction.entropy  # both log 4
            (tensor([1.3863]), tensor([1.3863]))
        """
        return cls(logits, targets, vocabulary)

    @property
    def vocab_size(self) -> int:
        return self.logits.shape[-1]

    @cached_property
    def nll(self) -> Tensor:
        """`[...]`, minus the log-probability of the target, nats."""
        # one fused pass that subtracts the maximum first, so that logits of 1e4 lose no digits
        flat = F.cross_entropy(self.logits.reshape(-1, self.vocab_size), self.targets.reshape(-1), reduction="none")
        return flat.view(self.targets.shape)

    @cached_property
    def target_logit(self) -> Tensor:
        """`[...]`, the logit of the target."""
        return self.logits.gather(-1, self.targets.unsqueeze(-1)).squeeze(-1)

    @cached_property
    def log_z(self) -> Tensor:
        """`[...]`, the log of the partition function."""
        return self.nll + self.target_logit

    @cached_property
    def sum_logits(self) -> Tensor:
        """`[...]`, the sum over the vocabulary of the logits."""
        return self.logits.sum(-1)

    @cached_property
    def sum_squares(self) -> Tensor:
        """`[...]`, the sum over the vocabulary of the squared logits."""
        return self.logits.square().sum(-1)

    @cached_property
    def max_logit(self) -> Tensor:
        """`[...]`, the largest logit."""
        return self.logits.gather(-1, self.argmax.unsqueeze(-1)).squeeze(-1)

    @cached_property
    def argmax(self) -> Tensor:
        """`[...]`, the id of the largest logit, the first where several tie."""
        return self.logits.detach().argmax(-1)

    @cached_property
    def entropy(self) -> Tensor:
        """`[...]`, entropy of the predicted distribution, nats."""
        log_p = self.logits.log_softmax(-1)
        return -(log_p.exp() * log_p).sum(-1)

    def power_sum(self, alpha: float) -> Tensor:
        """`[...]`, the sum over the vocabulary of `p**alpha`; 1 at `alpha=1`."""
        return (alpha * self.logits.log_softmax(-1)).exp().sum(-1)

    def logit_at(self, ids: Tensor) -> Tensor:
        """`[..., k]`, the logits of `k` further tokens per row; `ids` is `[..., k]`."""
        return self.logits.gather(-1, ids)

    def dot(self, name: str) -> Tensor:
        """`[...]`, the sum over the vocabulary of a vector of it, such as `unigram`, times the logits."""
        return self.logits @ self.vocabulary(name).to(self.logits.dtype)

    def __getattr__(self, name: str):
        """Only for an unknown name: the names that exist, and the nearest of them."""
        if name.startswith("_"):  # what copies and debuggers ask for
            raise AttributeError(name)
        if hasattr(type(self), name):  # a quantity that itself met a wrong name: its own error is the one that helps
            return object.__getattribute__(self, name)
        known = sorted({*(each for each in dir(type(self)) if not each.startswith("_")), "targets", "valid", "logits"}
                       - {"dense"})
        near = nearest(name, known) or ";"
        raise AttributeError(f"a prediction has no {name!r}{near} its quantities are {', '.join(known)}")

    def vocabulary(self, name: str) -> Tensor:
        """`[vocab]`, a vector that the corpus built: `unigram`, or `prefix_of`, which holds token ids and -1."""
        if name not in self._vocabulary:
            known = ", ".join(self._vocabulary) or "none"
            raise ValueError(f"this loss needs the vocabulary vector {name!r}, but the corpus gave {known}")
        return self._vocabulary[name]


# --- streamed ----------------------------------------------------------------------------------

# what a sweep gathers: the name of a quantity, or ("power_sum", alpha), ("dot", name), ("logit_at", place in `ids`)
Quantity = str | tuple[str, float | str]


@dataclass
class Needs:
    """The quantities that a loss asks for, so that a sweep gathers these and no others."""

    quantities: set[Quantity] = field(default_factory=set)
    ids: list[Tensor] = field(default_factory=list)  # of `logit_at`, as the loss gave them


class StreamedPrediction(Prediction):
    """The same quantities from statistics that were gathered over the vocabulary; there are no logits.

    A quantity that was not gathered is noted in `missing` and answered with that of an untrained (uniform) model.
    So a first run over no statistics at all finds out what a loss needs.
    """

    def __init__(self, known: Mapping[Quantity, Tensor], needs: Needs, targets: Tensor, vocab_size: int,
                 dtype: torch.dtype, vocabulary: Mapping[str, Tensor] | None = None):  # fmt: skip
        self.valid = targets >= 0
        self.targets = targets.where(self.valid, 0)
        self.wants_logits = False
        self.missing: set[Quantity] = set()
        self.ids = list(needs.ids)
        self._known, self._vocab_size, self._dtype, self._vocabulary = dict(known), vocab_size, dtype, vocabulary or {}

    @property
    def logits(self) -> Tensor:
        self.wants_logits = True
        raise ValueError(
            "this loss reads prediction.logits, which the streamed route never holds; write it over nll, log_z, "
            "entropy and the other quantities, or leave the choice of the route to linear_loss"
        )

    @property
    def vocab_size(self) -> int:
        return self._vocab_size

    def _get(self, quantity: Quantity, shape: torch.Size | None = None) -> Tensor:
        if quantity not in self._known:
            self.missing.add(quantity)
            self._known[quantity] = torch.full(
                shape or self.targets.shape, uninformed(quantity, self._vocab_size), dtype=self._dtype,
                device=self.targets.device,
            )
            self._known[quantity].requires_grad_()  # a loss may ask for its own derivative
        return self._known[quantity]

    nll = property(lambda self: self._get("nll"))
    log_z = property(lambda self: self._get("log_z"))
    target_logit = property(lambda self: self._get("target_logit"))
    sum_logits = property(lambda self: self._get("sum_logits"))
    sum_squares = property(lambda self: self._get("sum_squares"))
    max_logit = property(lambda self: self._get("max_logit"))
    entropy = property(lambda self: self._get("entropy"))

    @property
    def argmax(self) -> Tensor:
        if "argmax" not in self._known:
            self.missing.add("argmax")
            self._known["argmax"] = torch.zeros_like(self.targets)
        return self._known["argmax"]

    def power_sum(self, alpha: float) -> Tensor:
        return self._get(("power_sum", float(alpha)))

    def dot(self, name: str) -> Tensor:
        self.vocabulary(name)  # an error where it is missing
        return self._get(("dot", name))

    def logit_at(self, ids: Tensor) -> Tensor:
        place = next((i for i, known in enumerate(self.ids) if known.shape == ids.shape and torch.equal(known, ids)),
                     len(self.ids))  # fmt: skip
        if place == len(self.ids):
            self.ids.append(ids)
        return self._get(("logit_at", place), ids.shape)


def uninformed(quantity: Quantity, vocab_size: int) -> float:
    """The quantity where every logit is 0, which is what a masked token shows on either route."""
    if quantity in ("nll", "log_z", "entropy"):
        return math.log(vocab_size)
    if quantity[0] == "power_sum":
        return vocab_size ** (1.0 - quantity[1])
    return 0.0
