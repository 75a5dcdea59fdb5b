"""The one training loop."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from losslab import machine, optim, parallel
from losslab.config import IGNORE_INDEX, TrainConfig
from losslab.fused import linear_loss
from losslab.kernels import products
from losslab.model import LanguageModel, dropout, segments
from losslab.objective import Objective, check_targets
from losslab.optim import Scaler
from losslab.spread import Spread

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
    overflowed: bool = False  # whether it was because float16 overflowed

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


def over_ranks(model: LanguageModel, way: str, device: str) -> Spread:
    """The model as the ranks of `torchrun` share it, `alone`, `replicated` or `sharded`; make its optimizer then."""
    return Spread(model, _scored, way, device)


def train(
    model: LanguageModel | Spread,
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
    scaler: Scaler | None = None,
) -> Trained | Diverged:
    """Descend the objective from update `start_step` to the horizon.

    Args:
        model: whose weights are trained; of it, `model(tokens)`, `lm_head` and `config.num_positions` are used. Under
            `torchrun` each rank has one, and they are trained as replicas, unless `over_ranks` says otherwise.
        batches: update number -> `(tokens, targets)`, arrays of ids `[batch, seq]`, and perhaps the document of each
            token, `[batch, seq]`, where documents attend to themselves alone; a pure function, so nothing of the data
            needs saving. Under `torchrun` each process gives its own share of the batch.
        on_step: called after each update; a true answer stops the loop there.
        seed: of dropout, drawn anew for each update so that a resumed run repeats it.
        start_tokens: valid targets before `start_step`.
        optimizer: to continue with; if None, a new one as `config` describes it.
        skip: asked before each update, given its objective and the norm of its gradient, whether to leave it out; its
            tokens count. Every rank must answer alike, and sees the same two numbers.
        scaler: of the gradients in float16; if None, a new one where `config.dtype` asks for it.

    Raises:
        ValueError: for a step whose targets are all masked, which would only decay the weights.
    """
    if isinstance(model, Spread):
        spread, model = model, model.model
    else:
        way = "alone" if parallel.world_size() == 1 else "replicated"
        spread = over_ranks(model, way, str(next(model.parameters()).device))
    num_steps = config.horizon(model.config.num_positions)
    optimizer = optimizer or optim.build(model, config)
    scaler = scaler or Scaler(config.dtype)
    parameters = list(model.parameters())
    device = parameters[0].device
    model.train()
    if spread.way == "replicated" and start_step < num_steps:
        _warm_up(spread, batches(start_step), objective, config, device, vocabulary)
    seconds, tokens, previous = 0.0, start_tokens, None
    for step in range(start_step, num_steps):
        started = time.perf_counter()
        optim.set_learning_rates(optimizer, step, num_steps, config)
        torch.manual_seed(_mix(seed, step * parallel.world_size() + parallel.rank()))
        is_logged = step == start_step or (step + 1) % config.log_every == 0 or step + 1 == num_steps
        total, observed, count = accumulate(
            spread, batches(step), objective, config, device, observe=is_logged, vocabulary=vocabulary,
            scale=scaler.scale, dropout_seed=_mix(seed, step),
        )
        if not count:
            raise ValueError(f"step {step + 1} has nothing to learn: every target of its batch is masked; "
                             "leave such batches out, or check how targets are masked")  # fmt: skip
        scaler.unscale(parameters)
        norm = nn.utils.clip_grad_norm_(parameters, config.grad_clip or float("inf"))
        grad_norm = parallel.whole(norm).item()
        mean = total / count
        overflowed = _is_finite(mean) and not scaler.allows(_is_finite(grad_norm))
        if not overflowed and not (_is_finite(mean) and _is_finite(grad_norm)):
            return Diverged(step + 1, mean, grad_norm, previous, tokens, seconds)
        skipped = overflowed or bool(skip(mean, grad_norm))
        if not skipped:
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        tokens += count
        previous = mean
        seconds += time.perf_counter() - started  # what `on_step` does, evaluation above all, is not training
        info = StepInfo(
            step + 1, num_steps, tokens, mean, optimizer.param_groups[0]["lr"], grad_norm, seconds,
            {name: value / count for name, value in observed.items()}, skipped, overflowed,
        )
        if on_step(info):
            return Trained(step + 1, num_steps, tokens, seconds)
    return Trained(num_steps, num_steps, tokens, seconds)


def accumulate(
    model: LanguageModel | Spread, batch, objective, config, device, *, observe: bool = False, vocabulary=None,
    scale: float = 1.0, dropout_seed: int | None = None,
) -> tuple[float, dict[str, float], int]:
    """Gradients of one update, over its micro-batches and ranks; sums of the objective and, where asked, of what is
    observed, and the valid tokens. Gradients are times `scale`; the sums are not."""
    spread = model if isinstance(model, Spread) else Spread(model, _scored, device=device)
    tokens, targets, documents = (None if part is None else torch.as_tensor(part) for part in (*batch, None)[:3])
    asked = tuple(OBSERVED) if observe else ()
    sums = torch.zeros(1 + len(asked), dtype=machine.widest(device), device=device)
    valid = check_targets(targets, spread.model.vocab_size)  # here and not on the device, which would be waited for
    shares = parallel.everyone(torch.tensor([valid, len(tokens)], dtype=torch.float64), device)
    (count, rows), most = shares.sum(0).tolist(), int(shares[:, 1].max())
    size = config.micro_batch_size or most
    of_documents = [None] * -(-len(tokens) // size) if documents is None else documents.split(size)
    pieces = list(zip(tokens.split(size), targets.split(size), of_documents, strict=True))
    if spread.is_sharded:  # a forward pass is one of all ranks, also of those that have less to do
        idle = tokens[:1], torch.full_like(targets[:1], IGNORE_INDEX), None if documents is None else documents[:1]
        pieces += [idle] * (-(-most // size) - len(pieces))
    masks = _masks(spread, int(rows), tokens.shape[1], config, device, dropout_seed)
    dtype = config.dtype if config.dtype != "auto" else "float32"
    for number, (x, y, of) in enumerate(pieces):
        if masks is not None:
            masks.own = _rows_of(range(number * size, number * size + len(x)), int(rows))  # of the whole batch
        x, y, num_valid = x.to(device), y.to(device), int((y != IGNORE_INDEX).sum())
        of = None if of is None else of.to(device)
        with spread.backward_pass(is_last=number == len(pieces) - 1), dropout.drawn_from(masks):
            with products.numerics(config.numerics), machine.autocast(device.type, dtype):
                total, observed = spread(x, {} if of is None else segments.placed(of), y, of, objective, asked,
                                         vocabulary=vocabulary, num_valid=num_valid)
            # by the valid tokens of the whole step, not a mean of means: that would favor the short micro-batches
            (total / max(count, 1) * scale if scale != 1 else total / max(count, 1)).backward()
        sums[0] += total.detach()
        for place, each in enumerate(observed, start=1):
            sums[place] += each
    total, *observed = parallel.sum(sums, device).tolist()
    return total, dict(zip(OBSERVED.values(), observed, strict=False)), int(count)


def _scored(
    hidden: Tensor, lm_head: Tensor, targets: Tensor, documents: Tensor | None, objective: Objective,
    asked: Sequence[str], **options,
) -> tuple[Tensor, list[Tensor]]:
    """The objective's sum over valid tokens, and the sums of what is asked."""
    if documents is not None and not objective.scored_alone:  # a loss that sees rows sees one document in each
        hidden, targets = segments.apart(hidden, targets, documents)
    total, _, statistics = linear_loss(hidden, lm_head, targets, objective, observe=asked, **options)
    return total, [getattr(statistics, name).sum() for name in asked]


def _warm_up(spread: Spread, batch, objective, config, device, vocabulary) -> None:
    """A backward pass that is forgotten: after its first, DistributedDataParallel sorts gradients anew, and sums of
    more than two ranks round as they lie. So a run that continues rounds as one that was never stopped."""
    first = tuple(None if part is None else part[:1] for part in batch)
    accumulate(spread, first, objective, config, device, vocabulary=vocabulary)
    spread.model.zero_grad(set_to_none=True)


def _masks(spread: Spread, rows: int, seq_len: int, config, device, seed: int | None) -> dropout.Masks | None:
    """What dropout takes away from the sequences of an update, where ranks share them on a CPU."""
    p = spread.model.config.dropout
    if spread.way == "alone" or not p or seed is None or device.type != "cpu":
        return None
    return dropout.Masks(seed, rows, config.micro_batch_size or rows, spread.model.dropped(seq_len), p)


def _rows_of(own: range, rows: int) -> list[int]:
    """The places in the whole batch of some of this rank's rows, which are every so many-th of it."""
    return [min(parallel.rank() + row * parallel.world_size(), rows - 1) for row in own]


def _is_finite(value: float) -> bool:
    return value - value == 0.0


def _mix(seed: int, step: int) -> int:
    """A separate seed for each (seed, step)."""
    return (seed * 0x9E3779B97F4A7C15 + step * 0xBF58476D1CE4E5B9 + 1) % 2**63
