"""Which way an objective is evaluated, and what that costs compared with cross-entropy."""

import statistics
import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from losslab import machine
from losslab.anatomy.probe import vectors
from losslab.fused import DENSE_BYTES
from losslab.fused.job import Job
from losslab.fused.sweep import general
from losslab.fused.timing import Batch, forward_and_backward, in_turn
from losslab.objective import Objective
from losslab.prediction import Quantity

TOKENS, WIDTH, VOCAB_SIZE, REPEATS = 512, 64, 4_096, 15
CONVENTIONS = {
    "route": f"of a large batch; up to {DENSE_BYTES // 2**20} MiB of float32 logits a batch is computed whole, "
    "whatever the loss. Streamed: tiles are made, read and forgotten. Chunked: in pieces of tokens, whose logits are "
    "made again in the backward pass. Dense: all logits are held.",
    "cost": f"forward and backward of `linear_loss` by this route on a CPU, float32, {TOKENS} tokens, width {WIDTH}, "
    f"vocabulary {VOCAB_SIZE}, {REPEATS} runs in turn with streamed cross-entropy: medians, and the quartiles of the "
    "ratio. Memory is the most that is held at a time besides the inputs.",
}


def route(objective: Objective, vocab_size: int = 27) -> dict:
    """How `linear_loss` evaluates a large batch: the name of the way, why, and the row statistics it gathers."""
    targets = torch.arange(6).view(2, 3)
    hidden, lm_head, given = torch.zeros(2, 3, 1), torch.zeros(vocab_size, 1), vectors(
        vocab_size, torch.float32)
    alone = objective.check(vocab_size, given)
    job = Job(hidden, lm_head, targets, objective, targets.numel(), given)
    if job.reads_logits or general(hidden, lm_head, job) is None:
        return {"name": "chunked" if alone else "dense", "why": _unstreamed(objective, alone), "statistics": []}
    needs = sorted({_named(quantity) for quantity in job.needs.quantities})
    sweeps = "value and gradient in one sweep" if alone else (
        "and of other tokens of the batch: a second sweep for the gradient")
    return {"name": "streamed", "why": f"a function of row statistics ({', '.join(needs)}), {sweeps}",
            "statistics": needs}  # fmt: skip


def _unstreamed(objective: Objective, alone: bool) -> str:
    if objective.takes_logits:
        return "it takes (logits, targets), the classic form, so it is given a whole micro-batch of logits"
    if alone:
        return "it reads the logits themselves, and is token-wise independent"
    return "it reads the logits themselves, and is not token-wise independent"


def _named(quantity: Quantity) -> str:
    if isinstance(quantity, str):
        return quantity
    name, parameter = quantity
    if name == "logit_at":  # how often it is asked for is no kind of statistic
        return name
    return f"{name}({parameter:g})" if isinstance(parameter, float) else f"{name}({parameter})"


def measure(objective: Objective) -> dict:
    """Time and memory of one call, and of cross-entropy in the same process."""
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(4, TOKENS // 4, WIDTH, generator=generator)
    lm_head = 0.02 * torch.randn(VOCAB_SIZE, WIDTH, generator=generator)
    targets = torch.randint(VOCAB_SIZE, (4, TOKENS // 4), generator=generator)
    rivals = objective, Objective.parse("cross_entropy")
    batch = Batch(hidden, lm_head, targets, vectors(VOCAB_SIZE, torch.float32))
    routes = route(objective)["name"], "streamed"
    memory = [_peak_bytes(each, batch, way) for each, way in zip(rivals, routes, strict=True)]
    seconds = in_turn(rivals, batch, REPEATS, routes)
    ratios = [own / plain for own, plain in zip(*seconds, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    about = machine.describe("cpu", "float32")
    return {
        "milliseconds": 1e3 * statistics.median(seconds[0]),
        "cross_entropy_milliseconds": 1e3 * statistics.median(seconds[1]),
        "time_ratio": middle, "time_ratio_low": low, "time_ratio_high": high, "repeats": REPEATS,
        "peak_bytes": memory[0], "cross_entropy_peak_bytes": memory[1], "memory_ratio": memory[0] / memory[1],
        "tokens": TOKENS, "width": WIDTH, "vocab_size": VOCAB_SIZE,
        **{key: about[key] for key in ("processor", "threads", "torch", "device", "dtype")},
    }


class _Held(TorchDispatchMode):
    """The most bytes that tensors made under it hold at a time."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        given = {each.untyped_storage()._cdata for each in tree_leaves((args, kwargs)) if torch.is_tensor(each)}
        for tensor in tree_leaves(made):
            if torch.is_tensor(tensor):
                self._count(tensor.untyped_storage(), given)
        return made

    def _count(self, storage, given: set[int]) -> None:
        if storage._cdata in self.known | given:  # a view, or what was written in place
            return
        self.known.add(storage._cdata)
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, storage._cdata, storage.nbytes())

    def _forget(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size


def _peak_bytes(objective: Objective, batch: Batch, way: str) -> int:
    with _Held() as held:
        forward_and_backward(objective, batch, way)
    return held.peak
