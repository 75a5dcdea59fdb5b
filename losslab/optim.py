"""The optimizer of a configuration, the learning rate of each update, and the state of any optimizer by name."""

import math

import torch
from torch import Tensor, nn

from losslab.config import TrainConfig, rates

PEAK = "peak_learning_rate"  # what a group calls its own; the schedule scales it

State = dict[str, Tensor | int | float | bool | str | None | tuple]


def build(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """The optimizer that a configuration describes: AdamW that decays matrices and embeddings, not biases and norms.

    Each of its groups has a `name` and a `peak_learning_rate`.
    """
    parameters = list(model.parameters())
    groups = [
        {"name": "matrices", "params": [p for p in parameters if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"name": "vectors", "params": [p for p in parameters if p.dim() < 2], "weight_decay": 0.0},
    ]
    groups = [group | {PEAK: config.learning_rate} for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=True)


def set_learning_rates(optimizer: torch.optim.Optimizer, step: int, num_steps: int, config: TrainConfig) -> None:
    """Give each group the learning rate of update `step`; one without its own peak has that of `config`."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step, num_steps, config, group.get(PEAK))


def learning_rate(step: int, num_steps: int, config: TrainConfig, peak: float | None = None) -> float:
    """Learning rate of update `step` (from 0): linear warm-up, then a cosine to the minimum.

    Args:
        step: from 0.
        num_steps: of the whole run.
        config: gives the warm-up, and the minimum as a share of the configuration's peak.
        peak: to scale, `config.learning_rate` if None.

    Example:
        >>> config = TrainConfig(learning_rate=1.0, min_learning_rate_ratio=0.1, warmup_steps=10)
        >>> [round(learning_rate(step, 1000, config), 4) for step in (0, 9, 10, 505, 1000)]
        [0.0909, 0.9091, 1.0, 0.55, 0.1]
        >>> learning_rate(1000, 1000, config, peak=20.0)
        2.0
    """
    if peak is None:
        peak = config.learning_rate
    lowest = rates.lowest(peak, config.min_learning_rate_ratio)
    warmup = min(config.warmup_steps, num_steps // 10)
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    progress = (step - warmup) / max(1, num_steps - warmup)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
    return lowest + cosine * (peak - lowest)


# --- state by name ------------------------------------------------------------------------------

def state(optimizer: torch.optim.Optimizer, model: nn.Module) -> State:
    """All that an optimizer keeps between two updates, flat: tensors, and plain values.

    Returns:
        `PARAMETER/KEY` for what it keeps of a parameter of the model, such as `wte.weight/exp_avg`; `group:NAME/KEY`
        for what it keeps of a group, such as `group:matrices/weight_decay`. A group without a name has its number.

    Raises:
        ValueError: for a value of another kind, which no checkpoint could hold.
    """
    found: State = {}
    for name, parameter in model.named_parameters():
        found |= {f"{name}/{key}": value for key, value in optimizer.state.get(parameter, {}).items()}
    for name, group in _groups(optimizer).items():
        found |= {f"group:{name}/{key}": value for key, value in group.items() if key not in ("params", "name")}
    for name, value in found.items():
        if not isinstance(value, Tensor) and not _is_plain(value):
            raise ValueError(f"the optimizer keeps {name}, a {type(value).__name__}; only tensors, numbers and texts "
                             "are saved")
    return found


def fill(optimizer: torch.optim.Optimizer, model: nn.Module) -> None:
    """Let an optimizer make the state that it has after an update, with arbitrary values; the weights stay.

    So that the tensors of a file can be compared with those that this optimizer really has, whichever it is. One
    parameter at a time has a gradient, so that no more than one is kept twice.
    """
    for parameter in model.parameters():
        before = parameter.detach().clone()
        parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
        parameter.grad = None
        with torch.no_grad():
            parameter.copy_(before)


def restore(optimizer: torch.optim.Optimizer, model: nn.Module, saved: State) -> None:
    """Put a state back into an optimizer that was filled; `saved` has tensors of the same shapes, and plain values."""
    for name, parameter in model.named_parameters():
        _put(optimizer.state.get(parameter, {}), name, saved)
    for name, group in _groups(optimizer).items():
        _put(group, f"group:{name}", saved)


def _groups(optimizer: torch.optim.Optimizer) -> dict[str, dict]:
    return {group.get("name", str(number)): group for number, group in enumerate(optimizer.param_groups)}


def _put(where: dict, name: str, saved: State) -> None:
    for key, value in where.items():
        new = saved.get(f"{name}/{key}", value)
        if isinstance(value, Tensor) and new is not value:
            value.copy_(new)
        else:
            where[key] = new


def is_like(value: object, own: object) -> bool:
    """Whether a value that was read is of the kind of the optimizer's own, and finite."""
    if isinstance(own, tuple):
        return isinstance(value, tuple) and len(value) == len(own) and all(map(is_like, value, own))
    return type(value) is type(own) and (not isinstance(value, int | float) or math.isfinite(value))


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)
