"""An objective on synthetic logits, and whether the value of a token depends on other tokens."""

import copy

import torch
from torch import Tensor

from losslab.objective import Objective

TOKENS = (2, 3)  # rows and columns of a batch that is tried
LADDER = (27, 64, 256, 1_024, 4_096, 50_257)  # classes on which a loss is tried, until it runs


def vectors(vocab_size: int, dtype: torch.dtype = torch.float64) -> dict[str, Tensor]:
    """What a corpus would give: Zipf's frequencies, and of every second token the one before as its prefix."""
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


def smallest(objective: Objective) -> int:
    """The fewest classes of the ladder on which the loss runs: 27, unless it needs more, as the top 50 of them do.

    Raises:
        ValueError: what was wrong with the loss on 27 classes, where it runs on no number of them.
    """
    first = None
    for size in LADDER:
        try:
            objective.check(size, vectors(size, torch.float32))
        except (ValueError, RuntimeError, IndexError) as error:
            first = first or error
        else:
            return size
    raise first


def runs_on(objective: Objective, vocab_size: int, tokens: int = 1) -> bool:
    """Whether the loss gives finite values for so many classes, rows of `tokens` tokens."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(4, tokens, vocab_size, generator=generator, dtype=torch.float64)
    targets = torch.randint(vocab_size, (4, tokens), generator=generator)
    try:
        losses, gradient = losses_and_gradient(objective, logits, targets)
    except (ValueError, RuntimeError, IndexError):
        return False
    return bool(losses.isfinite().all() and gradient.isfinite().all())


def _batch(vocab_size: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(*TOKENS, vocab_size, generator=generator, dtype=torch.float64)
    targets = torch.arange(TOKENS[0] * TOKENS[1]).view(TOKENS) * 3 + 1
    logits[..., targets.flatten()] += 2.0  # likely everywhere, so that a dependence on the neighbors shows
    return logits, targets


def sees_the_target(objective: Objective, vocab_size: int) -> bool:
    """Whether another target changes the value or the gradient."""
    logits, targets = _batch(vocab_size)
    before, after = (losses_and_gradient(objective, logits, y) for y in (targets, (targets + 5) % vocab_size))
    return not all(torch.allclose(a, b, rtol=1e-6, atol=1e-9) for a, b in zip(before, after, strict=True))


def scored_alone(objective: Objective, vocab_size: int = 27) -> bool | str:
    """True, False, or `by definition` where only losses of the family depend on other tokens.

    The contract tests require each loss of the family to be token-wise independent, or to say why it is not.
    """
    objective.check(vocab_size, vectors(vocab_size, torch.float32))
    if _is_alone(objective, vocab_size):
        return True
    from_files = [term for term in objective.terms if term.source]
    return "by definition" if all(_is_alone(_only(objective, term), vocab_size) for term in from_files) else False


def _only(objective: Objective, term) -> Objective:
    part = copy.copy(objective)
    part.terms, part.asked = (term,), {}
    return part


def _is_alone(objective: Objective, vocab_size: int) -> bool:
    logits, targets = _batch(vocab_size)
    value, gradient = losses_and_gradient(objective, logits, targets)
    close = {"rtol": 1e-9, "atol": 1e-12} if value.dtype == torch.float64 else {"rtol": 1e-4, "atol": 1e-6}
    for row in range(TOKENS[0]):
        at = (slice(row, row + 1), slice(1, 2))
        alone, alone_gradient = losses_and_gradient(objective, logits[at], targets[at])
        # of a scalar mean only the gradient says whether a token has its own part in it
        if not objective.takes_logits and not torch.allclose(alone, value[at], **close):
            return False
        if not torch.allclose(alone_gradient, gradient[at], **close):
            return False
    return True
