"""What every task comes down to: how likely is this continuation after that context?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Request:
    """Token ids; a context begins with the end mark, so that the first token of a text has something before it."""

    context: Sequence[int]  # at least one token
    continuation: Sequence[int]  # at least one token


@dataclass(frozen=True)
class Answer:
    """What the model said of one request."""

    nats: np.ndarray  # float64 [len(continuation)], minus the log-probability of each token
    is_greedy: np.ndarray  # bool [len(continuation)], whether it was the likeliest token, the first where several tie
    num_cut: int  # context tokens that did not fit, dropped from the left


@torch.no_grad()
def answers(model, requests: Sequence[Request], *, progress: Callable[[int, int], None] | None = None) -> list[Answer]:
    """One answer a request, in their order.

    Args:
        model: `model(tokens) -> hidden`, `model.logits(hidden)`, `model.config.max_seq_len`.
        progress: told (done, of all) now and then.

    Raises:
        ValueError: for an empty context or continuation, or a continuation that is longer than the model's context.
    """
    was_training, limit, found = model.training, model.config.max_seq_len, []
    model.eval()
    device = next(model.parameters()).device
    for done, request in enumerate(requests):
        context, continuation = list(request.context), list(request.continuation)
        if not context or not continuation:
            raise ValueError("a request needs at least one token of context and one to score")
        if len(continuation) > limit:
            raise ValueError(f"a continuation of {len(continuation)} tokens does not fit a context of {limit}")
        both = (context + continuation)[-(limit + 1) :]
        tokens = torch.tensor([both[:-1]], device=device)
        logits = model.logits(model(tokens)[0, -len(continuation) :]).double().cpu()
        targets = torch.tensor(continuation)
        nats = -logits.log_softmax(-1).gather(-1, targets[:, None])[:, 0]
        num_cut = len(context) + len(continuation) - len(both)
        found.append(Answer(nats.numpy(), (logits.argmax(-1) == targets).numpy(), num_cut))
        if progress is not None:
            progress(done + 1, len(requests))
    model.train(was_training)
    return found
