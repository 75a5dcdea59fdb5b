"""The state of any optimizer by the names of a model's parameters: tensors and plain values, for a checkpoint."""

import math

import torch
from torch import Tensor, nn

from losslab import parallel
from losslab.optim.groups import Together

State = dict[str, Tensor | int | float | bool | str | None | tuple]
Optimizer = torch.optim.Optimizer | Together


def state(optimizer: Optimizer, model: nn.Module) -> State:
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


def fill(optimizer: Optimizer, model: nn.Module) -> None:
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


def restore(optimizer: Optimizer, model: nn.Module, saved: State) -> None:
    """Put a state back into an optimizer that was filled; `saved` has tensors of the same shapes, and plain values."""
    for name, parameter in model.named_parameters():
        _put(optimizer.state.get(parameter, {}), name, saved)
    for name, group in _groups(optimizer).items():
        _put(group, f"group:{name}", saved)


def _groups(optimizer: Optimizer) -> dict[str, dict]:
    return {group.get("name", str(number)): group for number, group in enumerate(optimizer.param_groups)}


def _put(where: dict, name: str, saved: State) -> None:
    for key, value in where.items():
        new = saved.get(f"{name}/{key}", value)
        if isinstance(value, Tensor) and new is not value:
            parallel.put(new, value)
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
