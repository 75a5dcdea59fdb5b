"""The one training loop."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from losslab import machine, optim, parallel
from losslab.config import IGNORE_INDEX, TrainConfig
from losslab.fused import linear_loss
from losslab.kernels import products
from losslab.model import LanguageModel, segments
from losslab.objective import Objective, check_targets

# what `linear_loss` says of each token -> the name of its mean over the valid tokens of a step
OBSERVED = {"nll": "nll", "log_z": "log_z", "entropy": "entropy", "max_logit": "max_logit", "p_target": "p_target",
            "is_correct": "accuracy"}  # fmt: skip


@dataclass(frozen=True)
class StepInfo:
    """What is known after an update; told upward through `on_step` and in no other way."""

    step: int  # updates done
    num_steps: int
    tokens: int  # valid targets so far
    objective: float  # mean over the valid tokens of the step, before the update
    learning_rate: float
    grad_norm: float
    seconds: float  # spent on updates so far, in this process
    observed: Mapping[str, float] = field(default_factory=dict)  # means of the same tokens, on logged steps only
    skipped: bool = False  # whether the update was left out

    @property
    def nll(self) -> float | None:
        """Plain cross-entropy, nats/token, whatever is descended."""
        return self.observed.get("nll")

    @property
    def is_last(self) -> bool:
        return self.step == self.num_steps


@dataclass(frozen=True)
class Trained:
    """The horizon was reached, or `on_step` asked to stop before it."""

    step: int
    num_steps: int
    tokens: int
    seconds: float

    @property
    def stopped(self) -> bool:
        return self.step < self.num_steps


@dataclass(frozen=True)
class Diverged:
    """The objective or its gradient was not finite; the weights are those before that update."""

    step: int
    objective: float
    grad_norm: float
    previous: float | None  # the objective one step before
    tokens: int
    seconds: float


def train(
    model: LanguageModel,
    batches: Callable[[int], object],
    objective: Objective,
    config: TrainConfig,
    on_step: Callable[[StepInfo], bool | None] = lambda info: None,
    *,
    seed: int = 0,
    start_step: int = 0,
    start_tokens: int = 0,
    optimizer: optim.Optimizer | None = None,
    vocabulary: Mapping[str, Tensor] | None = None,
    skip: Callable[[float, float], bool] = lambda objective, grad_norm: False,
) -> Trained | Diverged:
    """Descend the objective from update `start_step` to the horizon.

    Args:
        model: whose weights are trained; of it, `model(tokens)`, `lm_head` and `config.num_positions` are used.
        batches: update number -> `(tokens, targets)`, arrays of ids `[batch, seq]`, and perhaps the document of each
            token, `[batch, seq]`, where documents attend to themselves alone; a pure function, so nothing of the data
            needs saving. Under `torchrun` each process gives its own share of the batch.
        on_step: called after each update; a true answer stops the loop there.
        seed: of dropout, drawn anew for each update so that a resumed run repeats it.
        start_tokens: valid targets before `start_step`.
        optimizer: to continue with; if None, a new one as `config` describes it.
        skip: asked before each update, given its objective and the norm of its gradient, whether to leave it out; its
            tokens count. Every rank must answer alike, and sees the same two numbers.

    Raises:
        ValueError: for a step whose targets are all masked, which would only decay the weights.
    """
    num_steps = config.horizon(model.config.num_positions)
    optimizer = optimizer or optim.build(model, config)
    parameters = list(model.parameters())
    device = parameters[0].device
    model.train()
    seconds, tokens, previous = 0.0, start_tokens, None
    for step in range(start_step, num_steps):
        started = time.perf_counter()
        optim.set_learning_rates(optimizer, step, num_steps, config)
        torch.manual_seed(_mix(seed, step * parallel.world_size() + parallel.rank()))
        is_logged = step == start_step or (step + 1) % config.log_every == 0 or step + 1 == num_steps
        total, observed, count = accumulate(
            model, batches(step), objective, config, device, observe=is_logged, vocabulary=vocabulary
        )
        if not count:
            raise ValueError(f"step {step + 1} has nothing to learn: every target of its batch is masked; "
                             "leave such batches out, or check how targets are masked")  # fmt: skip
        grad_norm = nn.utils.clip_grad_norm_(parameters, config.grad_clip or float("inf")).item()
        mean = total / count
        if not (_is_finite(mean) and _is_finite(grad_norm)):
            return Diverged(step + 1, mean, grad_norm, previous, tokens, seconds)
        skipped = bool(skip(mean, grad_norm))
        if not skipped:
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        tokens += count
        previous = mean
        seconds += time.perf_counter() - started  # what `on_step` does, evaluation above all, is not training
        info = StepInfo(
            step + 1, num_steps, tokens, mean, optimizer.param_groups[0]["lr"], grad_norm, seconds,
            {name: value / count for name, value in observed.items()}, skipped,
        )
        if on_step(info):
            return Trained(step + 1, num_steps, tokens, seconds)
    return Trained(num_steps, num_steps, tokens, seconds)


def accumulate(
    model, batch, objective, config, device, *, observe: bool = False, vocabulary=None
) -> tuple[float, dict[str, float], int]:
    """Gradients of one update, over its micro-batches and ranks; sums of the objective and, where asked, of what is
    observed, and the valid tokens."""
    tokens, targets, documents = (None if part is None else torch.as_tensor(part) for part in (*batch, None)[:3])
    asked = tuple(OBSERVED) if observe else ()
    sums = torch.zeros(1 + len(asked), dtype=torch.float64, device=device)
    valid = check_targets(targets, model.lm_head.shape[0])  # here and not on the device, which would be waited for
    count = parallel.sum(torch.tensor(float(valid), dtype=torch.float64), device).item()
    size = config.micro_batch_size or len(tokens)
    of_documents = [None] * -(-len(tokens) // size) if documents is None else documents.split(size)
    for x, y, of in zip(tokens.split(size), targets.split(size), of_documents, strict=True):
        x, y, num_valid = x.to(device), y.to(device), int((y != IGNORE_INDEX).sum())
        of = None if of is None else of.to(device)
        dtype = config.dtype if config.dtype != "auto" else "float32"
        with products.numerics(config.numerics), machine.autocast(device.type, dtype):
            hidden = model(x) if of is None else model(x, **segments.placed(of))
            if of is not None and not objective.scored_alone:  # a loss that sees rows sees one document in each
                hidden, y = segments.apart(hidden, y, of)
            total, _, statistics = linear_loss(
                hidden, model.lm_head, y, objective, vocabulary=vocabulary, observe=asked, num_valid=num_valid
            )
        # by the valid tokens of the whole step, not a mean of means: that would favor the short micro-batches
        (total / max(count, 1)).backward()
        sums[0] += total.detach()
        for place, name in enumerate(asked, start=1):
            sums[place] += getattr(statistics, name).sum()
    parallel.sum_gradients(model.parameters())
    total, *observed = parallel.sum(sums, device).tolist()
    return total, dict(zip(OBSERVED.values(), observed, strict=False)), int(count)


def _is_finite(value: float) -> bool:
    return value - value == 0.0


def _mix(seed: int, step: int) -> int:
    """A separate seed for each (seed, step)."""
    return (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + 1) % 2**63
