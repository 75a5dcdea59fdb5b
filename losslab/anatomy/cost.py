"""Which way an objective is evaluated, and what that costs beside cross-entropy."""

import statistics
import time

import torch

from losslab import machine
from losslab.anatomy.probe import vectors
from losslab.fused import linear_loss
from losslab.objective import Objective

TOKENS, WIDTH, VOCAB_SIZE, REPEATS = 512, 64, 4_096, 15
CONVENTIONS = {
    "cost": f"forward and backward of `linear_loss` on a CPU, float32, {TOKENS} tokens, width {WIDTH}, vocabulary "
    f"{VOCAB_SIZE}, {REPEATS} runs in turn with cross-entropy: medians, and the quartiles of the ratio. Memory is what "
    "is kept for the backward pass.",
}


def route(objective: Objective) -> dict[str, str]:
    """How `linear_loss` evaluates the objective, and why."""
    if objective.takes_logits:
        return {"name": "whole batch", "why": "it takes (logits, targets), so it gets one whole micro-batch"}
    if not objective.scored_alone:
        return {"name": "whole batch", "why": "its tokens look at each other, so a batch is not cut"}
    return {"name": "dense", "why": "each token is scored alone, so a large batch is cut into pieces of tokens"}


def measure(objective: Objective) -> dict:
    """Time and memory of one call, beside cross-entropy in the same process."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(4, TOKENS // 4, WIDTH, generator=generator)
    lm_head = 0.02 * torch.randn(VOCAB_SIZE, WIDTH, generator=generator)
    targets = torch.randint(VOCAB_SIZE, (4, TOKENS // 4), generator=generator)
    rivals = (objective, Objective.parse("cross_entropy"))
    given = vectors(VOCAB_SIZE, torch.float32)
    memory = [_kept_bytes(each, hidden, lm_head, targets, given) for each in rivals]  # the first calls warm up
    seconds = [[], []]
    for repeat in range(REPEATS):
        for each, taken in list(zip(rivals, seconds, strict=True))[:: 1 if repeat % 2 else -1]:
            begun = time.perf_counter()
            _call(each, hidden, lm_head, targets, given).backward()
            taken.append(time.perf_counter() - begun)
    ratios = [own / plain for own, plain in zip(*seconds, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    about = machine.describe("cpu", "float32")
    return {
        "milliseconds": 1e3 * statistics.median(seconds[0]),
        "cross_entropy_milliseconds": 1e3 * statistics.median(seconds[1]),
        "time_ratio": middle, "time_ratio_low": low, "time_ratio_high": high, "repeats": REPEATS,
        "kept_bytes": memory[0], "cross_entropy_kept_bytes": memory[1], "memory_ratio": memory[0] / memory[1],
        "tokens": TOKENS, "width": WIDTH, "vocab_size": VOCAB_SIZE,
        **{key: about[key] for key in ("processor", "threads", "torch", "device", "dtype")},
    }


def _call(objective, hidden, lm_head, targets, given):
    inputs = hidden.detach().requires_grad_(), lm_head.detach().requires_grad_()
    return linear_loss(*inputs, targets, objective, vocabulary=given).total / TOKENS


def _kept_bytes(objective, hidden, lm_head, targets, given) -> int:
    """Bytes of the distinct tensors that the forward pass keeps for the backward pass."""
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        _call(objective, hidden, lm_head, targets, given).backward()
    return sum(kept.values())
