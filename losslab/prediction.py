"""What a model said about each token, and the token that came."""

from collections.abc import Mapping
from functools import cached_property

import torch.nn.functional as F
from torch import Tensor


class Prediction:
    """The one argument of a loss: quantities of the (transformed) logits, one number a token.

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
        """`[..., k]`, the logits of `k` further tokens a row; `ids` is `[..., k]`."""
        return self.logits.gather(-1, ids)

    def dot(self, name: str) -> Tensor:
        """`[...]`, the sum over the vocabulary of a vector of it, such as `unigram`, times the logits."""
        return (self.logits * self.vocabulary(name)).sum(-1)

    def vocabulary(self, name: str) -> Tensor:
        """`[vocab]`, a vector that the corpus built: `unigram`, or `prefix_of`, which holds token ids and -1."""
        if name not in self._vocabulary:
            known = ", ".join(self._vocabulary) or "none"
            raise ValueError(f"this loss needs the vocabulary vector {name!r}, but the corpus gave {known}")
        return self._vocabulary[name]
