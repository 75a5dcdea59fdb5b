"""The state of an optimizer in a checkpoint: its tensors as safetensors, what else it keeps as JSON."""

import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from losslab import optim, untrusted
from losslab.checkpoint import sums
from losslab.checkpoint.weights import read_weights

OPTIMIZER, OPTIONS = "optimizer.safetensors", "optimizer.json"


def save(folder: Path, state: optim.State) -> None:
    """Write what `optim.state` gives into a folder."""
    kept = {name: value.contiguous() for name, value in state.items() if torch.is_tensor(value)}
    safetensors.torch.save_file(kept, folder / OPTIMIZER)
    options = {name: value for name, value in state.items() if name not in kept}
    (folder / OPTIONS).write_text(json.dumps(options, indent=1) + "\n", encoding="utf-8")


def restore_optimizer(path: str | Path, model: nn.Module, optimizer: optim.Optimizer) -> None:
    """Put the saved state back, by the names of parameters and groups; a damaged one leaves a new optimizer.

    A checkpoint without `optimizer.json`, as they were before there was one, has no options of groups; those of
    `optimizer` stay.

    Raises:
        Damaged: for a state that is not that of this optimizer and model, or not what was written.
    """
    path = Path(path)
    try:
        with sums.damage(path):
            optim.fill(optimizer, model)
            own, written = optim.state(optimizer, model), sums.manifest(path)
            kinds = {name: (value.dtype, tuple(value.shape)) for name, value in own.items() if torch.is_tensor(value)}
            saved, sha256 = read_weights(path / OPTIMIZER, expected=kinds)
            if sha256 != written.get(OPTIMIZER):
                raise ValueError(f"{OPTIMIZER} is not what was written")
            if not all(0 <= float(value) < math.inf for name, value in saved.items() if name.endswith("/step")):
                raise ValueError(f"{OPTIMIZER} has a step that is no count")
            settings = {*optimizer.defaults, optim.PEAK} - {"lr"}
            optim.restore(optimizer, model, saved | _options(path, own, written, settings))
    except sums.Damaged:
        optimizer.state.clear()
        raise


def _options(
    path: Path, own: Mapping[str, object], written: Mapping[str, str], settings: Collection[str]
) -> dict[str, object]:
    """The saved values that are no tensors, each of the kind that the optimizer itself has there.

    Those called as one of `settings` are what the optimizer was made with: the file cannot change them.
    """
    found = untrusted.read_object(path / OPTIONS) if OPTIONS in written else {}
    if found and sums.sha256(path / OPTIONS) != written[OPTIONS]:
        raise ValueError(f"{OPTIONS} is not what was written")
    for name, value in found.items():
        found[name] = value = tuple(value) if isinstance(value, list) else value
        if name not in own or not optim.is_like(value, own[name]):
            raise ValueError(f"{OPTIONS} has {untrusted.shown(name)} {untrusted.shown(value)}, which this optimizer "
                             "does not keep")
        if name.startswith("group:") and name.rpartition("/")[2] in settings and value != own[name]:
            raise ValueError(f"{OPTIONS} has {name} {untrusted.shown(value)}, and the configuration says "
                             f"{untrusted.shown(own[name])}")
    for name, value in own.items():
        if not torch.is_tensor(value) and not name.startswith("group:") and name not in found:
            raise ValueError(f"{OPTIONS} has no {name}")
    return found
