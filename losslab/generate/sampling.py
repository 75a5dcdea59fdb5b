"""How the next token is chosen: what its logits are changed by, and the draw."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn. What is set is applied in this order, as in `transformers`.

    1. `repetition_penalty` (Keskar et al., 2019, arXiv:1909.05858, in the form that its authors published as code):
       the logit of each token that the text or its prompt has is divided by it where positive, multiplied where
       negative.
    2. `temperature` divides the logits; 0 takes the most likely token, and nothing below changes anything.
    3. `top_k` (Fan et al., 2018, arXiv:1805.04833): the k most likely tokens alone.
    4. `top_p` (Holtzman et al., 2020, arXiv:1904.09751): the fewest most likely tokens whose probabilities reach p.
    5. `min_p` (Nguyen et al., 2025, arXiv:2407.01082): those with at least this share of the largest probability.

    Each step starts from what the one before left, its probabilities summing to 1 again.

    Args:
        temperature: from 0.
        top_k: tokens; 0 for all.
        top_p: above 0, at most 1; 1 for all.
        min_p: from 0 to 1; 0 for all.
        repetition_penalty: above 0; 1 changes nothing, more discourages.

    Raises:
        ValueError: for another value, naming it.

    Example:
        >>> Sampling(temperature=1.0, top_p=0.5).filtered(torch.tensor([3.0, 2.0, 1.0, 0.0])).tolist()
        [3.0, -inf, -inf, -inf]
    """

    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0

    def __post_init__(self):
        if not self.temperature >= 0 or self.top_k < 0:
            raise ValueError(f"temperature and top_k must not be negative, got {self.temperature} and {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is a probability above 0, at most 1, which keeps all tokens; got {self.top_p}")
        if not 0 <= self.min_p <= 1:
            raise ValueError(f"min_p is a share from 0, which keeps all tokens, to 1; got {self.min_p}")
        if not (self.repetition_penalty > 0 and math.isfinite(self.repetition_penalty)):
            raise ValueError(f"repetition_penalty is above 0, and 1 changes nothing; got {self.repetition_penalty}")

    def choose(self, logits: Tensor, ids: Sequence[int], generator: torch.Generator) -> int:
        """The token after the text `ids`, by the model's logits `[vocab]`.

        Raises:
            ValueError: for logits that are not finite.
        """
        if not bool(logits.max().isfinite()):
            raise ValueError("the model gives logits that are not finite, and no token can be drawn from them; its "
                             "weights are damaged, or its training diverged")
        logits = penalized(logits, ids, self.repetition_penalty)
        if self.temperature == 0 or not bool((logits / self.temperature).max().isfinite()):  # next to 0 is 0
            return int(logits.argmax())
        return int(torch.multinomial(self.filtered(logits).softmax(-1), 1, generator=generator))

    def filtered(self, logits: Tensor) -> Tensor:
        """Logits `[vocab]` over the temperature, with minus infinity for the tokens that are not drawn."""
        logits = logits / self.temperature
        if 0 < self.top_k < len(logits):
            best = logits.topk(self.top_k)  # by index, not by value: ties would let more than k in
            logits = torch.full_like(logits, -math.inf).scatter(0, best.indices, best.values)
        if self.top_p < 1:
            values, order = logits.sort()  # from the least likely on, as long as what is left out stays within 1 - p
            out = values.softmax(-1).cumsum(-1) <= 1 - self.top_p
            out[-1] = False
            logits = logits.masked_fill(torch.zeros_like(out).scatter(0, order, out), -math.inf)
        if self.min_p > 0:
            probabilities = logits.softmax(-1)
            logits = logits.masked_fill(probabilities < self.min_p * probabilities.max(), -math.inf)
        return logits


def penalized(logits: Tensor, ids: Sequence[int], penalty: float) -> Tensor:
    """Logits `[vocab]` with those of the tokens in `ids` made smaller, or larger where `penalty` is below 1."""
    if penalty == 1:
        return logits
    seen = torch.tensor(sorted(set(ids)), dtype=torch.long, device=logits.device)
    found = logits[seen]
    return logits.scatter(0, seen, torch.where(found < 0, found * penalty, found / penalty))
