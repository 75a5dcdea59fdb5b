"""Safe weights and training state: safetensors and JSON, a checksummed manifest, whole or not at all.

`checkpoint/step-00000500/` holds `model.safetensors`, `optimizer.safetensors`, `model.json`, the tokenizer's files
and `manifest.json`. Nothing in it is executed when it is read: no pickle, so a stranger's checkpoint is only numbers.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from losslab import config as configuration
from losslab import tokenizer as tokenizers
from losslab.model import GPT2

FORMAT = 1


class Damaged(ValueError):
    """A checkpoint whose bytes are not those that were written."""


@dataclass(frozen=True)
class Checkpoint:
    path: Path
    step: int
    tokens: int
    seconds: float  # of training, over all processes so far
    model: GPT2
    tokenizer: object


def save(
    folder: str | Path, model: GPT2, tokenizer, *, step: int, tokens: int, seconds: float,
    optimizer: torch.optim.Optimizer | None = None, keep: int = 2,
) -> Path:
    """Write `folder/step-N` atomically, and keep the newest `keep`."""
    folder = Path(folder)
    final = folder / f"step-{step:08d}"
    temporary = folder / f".step-{step:08d}.{os.getpid()}"
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        safetensors.torch.save_file(weights, temporary / "model.safetensors")
        if optimizer is not None:
            safetensors.torch.save_file(_optimizer_tensors(model, optimizer), temporary / "optimizer.safetensors")
        tokenizer.save(temporary)
        described = {
            "format": FORMAT, "step": step, "tokens": tokens, "seconds": seconds, "model": asdict(model.config),
            "vocab_size": model.vocab_size, "transform": model.transform_text,
        }
        (temporary / "model.json").write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
        manifest = {file.name: _sha256(file) for file in sorted(temporary.iterdir())}
        (temporary / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        for file in temporary.iterdir():  # on the disk before the name says that it is there
            with open(file, "rb") as handle:
                os.fsync(handle.fileno())
        shutil.rmtree(final, ignore_errors=True)
        os.replace(temporary, final)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise OSError(f"cannot write the checkpoint {final}: {error.strerror or error}; free some space") from None
    except safetensors.SafetensorError as error:  # how its Rust side reports a full disk
        shutil.rmtree(temporary, ignore_errors=True)
        raise OSError(f"cannot write the checkpoint {final}: {error}; free some space") from None
    for old in steps(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def steps(folder: str | Path) -> list[Path]:
    """The checkpoints of a run, oldest first."""
    return sorted(Path(folder).glob("step-*"))


def load(path: str | Path, *, device: str = "cpu") -> Checkpoint:
    """Read one checkpoint after comparing every byte with its manifest.

    Raises:
        Damaged: naming the file that is missing or changed.
        ValueError: if a newer losslab wrote it.
    """
    path = Path(path)
    verify(path)
    found, model_config = about(path)
    model = GPT2(model_config, found["vocab_size"], found["transform"])
    model.load_state_dict(safetensors.torch.load_file(path / "model.safetensors"))
    return Checkpoint(
        path, found["step"], found["tokens"], found["seconds"], model.to(device), tokenizers.load(path)
    )


def about(path: Path) -> tuple[dict, configuration.ModelConfig]:
    """What `model.json` says of a checkpoint, and its configuration."""
    found = json.loads((path / "model.json").read_text(encoding="utf-8"))
    if found["format"] > FORMAT:
        raise ValueError(
            f"{path} was written by a newer losslab (checkpoint format {found['format']}, this one reads up to "
            f"{FORMAT}); update losslab to read it"
        )
    return found, configuration.override(configuration.ModelConfig(), found["model"], source=str(path / "model.json"))


def newest(folder: str | Path, *, warn: Callable[[str], None] = lambda text: None) -> Path:
    """The newest checkpoint of a run that is whole; a damaged one is named, and the one before it used.

    Raises:
        Damaged: if there is none.
    """
    for path in reversed(steps(folder)):
        try:
            verify(path)
            return path
        except Damaged as error:
            warn(f"{error}; going on from the checkpoint before it, if there is one")
    raise Damaged(f"{folder} has no whole checkpoint; train the run first, or again")


def restore_optimizer(path: str | Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put the saved moments back, parameter by parameter."""
    tensors = safetensors.torch.load_file(Path(path) / "optimizer.safetensors")
    for name, parameter in model.named_parameters():
        state = {key: tensors[f"{name}/{key}"] for key in ("step", "exp_avg", "exp_avg_sq")}
        optimizer.state[parameter] = {k: v if k == "step" else v.to(parameter.device) for k, v in state.items()}


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    return {
        f"{name}/{key}": value.contiguous()
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state[parameter].items()
    }


def verify(path: Path) -> None:
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise Damaged(f"checkpoint {path} is damaged: manifest.json is missing or unreadable") from None
    for name, expected in manifest.items():
        file = path / Path(name).name  # a manifest cannot point out of its folder
        if not file.is_file():
            raise Damaged(f"checkpoint {path} is damaged: {name} is missing")
        if _sha256(file) != expected:
            raise Damaged(f"checkpoint {path} is damaged: {name} is not what was written")


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
