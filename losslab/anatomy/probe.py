"""An objective on logits made up for it, and what its tokens have to do with each other."""

import copy

import torch
from torch import Tensor

from losslab.objective import Objective

TOKENS = (2, 3)  # rows and columns of a batch that is tried


def vectors(vocab_size: int, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """What a corpus would give: frequencies as of Zipf, and of every second token the one before as its prefix."""
    ids = torch.arange(vocab_size)
    often = 1.0 / (1 + ids).to(dtype)
    return {"unigram": often / often.sum(), "prefix_of": torch.where(ids % 2 == 1, ids - 1, -1)}


def losses_and_gradient(objective: Objective, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """`[...]` losses of raw logits `[..., vocab]`, and the gradient of their sum, detached."""
    raw = logits.detach().requires_grad_()
    losses = objective(raw, targets, vectors(logits.shape[-1], logits.dtype))
    if not losses.requires_grad:  # a loss may be flat here and there
        return losses, torch.zeros_like(raw)
    (gradient,) = torch.autograd.grad(losses.sum(), raw, allow_unused=True, materialize_grads=True)
    return losses.detach(), gradient


def check(objective: Objective) -> None:
    """Raise one clear error for a loss that fails or has no gradient."""
    objective.check(27, vectors(27, torch.float32))


def _batch(vocab_size: int = 27) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(*TOKENS, vocab_size, generator=generator, dtype=torch.float64)
    targets = torch.arange(TOKENS[0] * TOKENS[1]).view(TOKENS) * 3 + 1
    logits[..., targets.flatten()] += 2.0  # likely everywhere, so that a loss cannot overlook its neighbors
    return logits, targets


def sees_the_target(objective: Objective) -> bool:
    """Whether another target changes the value or the gradient."""
    logits, targets = _batch()
    before, after = (losses_and_gradient(objective, logits, y) for y in (targets, (targets + 5) % 27))
    return not all(torch.allclose(a, b, rtol=1e-6, atol=1e-9) for a, b in zip(before, after, strict=True))


def scored_alone(objective: Objective) -> bool | str:
    """True, False, or `by definition` where only losses of the family look beyond their token.

    The contract of the family holds each of its losses to scoring every token alone, or to saying why not.
    """
    objective.check(27, vectors(27, torch.float32))
    if _is_alone(objective):
        return True
    strangers = [term for term in objective.terms if term.source]
    return "by definition" if all(_is_alone(_only(objective, term)) for term in strangers) else False


def _only(objective: Objective, term) -> Objective:
    part = copy.copy(objective)
    part.terms = (term,)
    return part


def _is_alone(objective: Objective) -> bool:
    logits, targets = _batch()
    value, gradient = losses_and_gradient(objective, logits, targets)
    close = {"rtol": 1e-4, "atol": 1e-6}  # a file may compute in float32
    for row in range(TOKENS[0]):
        at = (slice(row, row + 1), slice(1, 2))
        alone, alone_gradient = losses_and_gradient(objective, logits[at], targets[at])
        # of a scalar mean only the gradient says whether a token has its own part in it
        if not objective.takes_logits and not torch.allclose(alone, value[at], **close):
            return False
        if not torch.allclose(alone_gradient, gradient[at], **close):
            return False
    return True
