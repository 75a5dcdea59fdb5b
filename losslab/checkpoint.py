"""Safe weights and training state: safetensors and JSON, a checksummed manifest, whole or not at all.

`checkpoint/step-00000500/` holds `model.safetensors`, `optimizer.safetensors`, `model.json`, the tokenizer's files
and `manifest.json`. Nothing in it is executed when it is read: no pickle, so a stranger's checkpoint is only numbers.
All sizes in it are compared with each other before anything is allocated, and what does not fit is `Damaged`.
"""

import contextlib
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from losslab import formula, tensors, untrusted
from losslab import tokenizer as tokenizers
from losslab.config import ModelConfig
from losslab.model import LanguageModel, check_vocab_size, config_of, expected_shapes, unfilled

FORMAT = 1
WEIGHTS, OPTIMIZER, ABOUT, MANIFEST = "model.safetensors", "optimizer.safetensors", "model.json", "manifest.json"
NEEDED = {WEIGHTS, ABOUT, "losslab_tokenizer.json", "tokenizer.json"}  # each is read, so each stands in the manifest
SIZES = ("n_layer", "n_head", "n_embd", "max_seq_len")
STEP = re.compile(r"step-([0-9]{8,18})")


class Damaged(ValueError):
    """A checkpoint whose bytes are not those that were written, or that do not belong together."""


@dataclass(frozen=True)
class Checkpoint:
    path: Path
    step: int
    tokens: int
    seconds: float  # of training, over all processes so far
    model: LanguageModel
    tokenizer: object


def save(
    folder: str | Path, model: LanguageModel, tokenizer, *, step: int, tokens: int, seconds: float,
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
        safetensors.torch.save_file(weights, temporary / WEIGHTS)
        if optimizer is not None:
            safetensors.torch.save_file(_optimizer_tensors(model, optimizer), temporary / OPTIMIZER)
        tokenizer.save(temporary)
        described = {
            "format": FORMAT, "step": step, "tokens": tokens, "seconds": seconds, "model": asdict(model.config),
            "vocab_size": model.vocab_size, "transform": model.transform_text,
        }
        (temporary / ABOUT).write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
        sums = {file.name: _sha256(file) for file in sorted(temporary.iterdir())}
        (temporary / MANIFEST).write_text(json.dumps(sums, indent=1) + "\n", encoding="utf-8")
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
    """The checkpoints of a run, oldest first: the folders called `step-` and a number."""
    found = [path for path in Path(folder).glob("step-*") if STEP.fullmatch(path.name)]
    return sorted((path for path in found if path.is_dir() and not path.is_symlink()), key=lambda p: int(p.name[5:]))


def load(path: str | Path, *, device: str = "cpu", weights_sha256: str | None = None) -> Checkpoint:
    """Read one checkpoint after comparing every byte with its manifest.

    Args:
        path: a folder `step-N`.
        device: where the model goes.
        weights_sha256: of the only weights that are wanted.

    Raises:
        Damaged: naming the file that is missing, changed or made up.
        ValueError: if a newer losslab wrote it.
    """
    path = Path(path)
    written = verify(path)
    found, config = about(path)
    with _damage(path):
        weights, sha256 = read_weights(path / WEIGHTS, expected=expected_shapes(config, found["vocab_size"]))
        if sha256 != written[WEIGHTS]:
            raise ValueError(f"{WEIGHTS} is not what was written")
        if weights_sha256 is not None and sha256 != weights_sha256:
            raise ValueError(f"its weights have the sha256 {sha256[:12]}..., not {weights_sha256[:12]}...")
        tokenizer = tokenizers.load(path)
        if tokenizer.vocab_size != found["vocab_size"]:
            raise ValueError(f"its tokenizer has {tokenizer.vocab_size} tokens, and its model {found['vocab_size']}")
        model = model_from(weights, config, found["vocab_size"], found["transforms"], str(path / WEIGHTS))
    return Checkpoint(path, found["step"], found["tokens"], found["seconds"], model.to(device), tokenizer)


def about(path: str | Path) -> tuple[dict, ModelConfig]:
    """What `model.json` says of a checkpoint, and its configuration; nothing of it is believed unchecked.

    Returns:
        `format`, `step`, `tokens`, `seconds`, `vocab_size`, `transform`, `model`, and `transforms`, the values that
        `transform` writes; and the configuration in `model`.

    Raises:
        Damaged: for what is missing, of the wrong kind, or out of range.
        ValueError: if a newer losslab wrote it.
    """
    path = Path(path)
    with _damage(path):
        found = untrusted.read_object(path / ABOUT)
        written = found.get("format")
        if type(written) is not int or written < 1:
            raise ValueError(f"{ABOUT} has format {untrusted.shown(written)}")
    if written > FORMAT:
        raise ValueError(
            f"{path} was written by a newer losslab (checkpoint format {written}, this one reads up to {FORMAT}); "
            "update losslab to read it"
        )
    with _damage(path):
        for key, kinds in (("step", (int,)), ("tokens", (int,)), ("vocab_size", (int,)), ("seconds", (int, float))):
            if type(found.get(key)) not in kinds or not 0 <= found[key] < 2**63:
                raise ValueError(f"{ABOUT} has {key} {untrusted.shown(found.get(key))}")
        sizes = found.get("model")
        if not isinstance(sizes, dict) or not sizes.keys() >= set(SIZES):
            raise ValueError(f"{ABOUT} does not give the model its {', '.join(SIZES)}")
        config = config_of(sizes, ABOUT)
        check_vocab_size(found["vocab_size"])
        found["transforms"] = formula.check_transforms(found.get("transform"), str(path / ABOUT))
    return found, config


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


# --- weights -----------------------------------------------------------------------------------

def read_weights(
    file: str | Path, *, expected: Mapping[str, tuple[int, ...]] | None = None
) -> tuple[dict[str, Tensor], str]:
    """The tensors of a safetensors file, and the sha256 of exactly the bytes they were read from, which is once.

    Args:
        file: a regular file; a link is refused.
        expected: float32 tensors by name and shape; a file that holds others is refused before it is read.

    Raises:
        Damaged: with one sentence, whatever is wrong with the file.
    """
    def check(entries):
        if expected is not None:
            _compare(entries, expected, str(file))

    try:
        return tensors.read(file, check)
    except (ValueError, OSError) as error:
        raise Damaged(untrusted.one_line(str(error))) from None


def model_from(
    weights: Mapping[str, Tensor], config: ModelConfig, vocab_size: int, transforms: Sequence[formula.Transform],
    source: str,
) -> LanguageModel:
    """A model of these sizes that has these weights; it takes the tensors themselves, not copies.

    Args:
        weights: the whole state of the model and nothing else, float32.
        config: with `vocab_size`, all that decides the sizes.
        transforms: the logit transforms.
        source: what the weights are called in a message.

    Raises:
        Damaged: naming the tensor that is missing, not expected, or of another shape or dtype.
        ValueError: for sizes that are no model's.
    """
    _compare(weights, expected_shapes(config, vocab_size), source)
    model = unfilled(config, vocab_size, transforms)
    model.load_state_dict(dict(weights), assign=True)
    return model


def _compare(found: Mapping[str, Tensor | tensors.Entry], expected: Mapping[str, tuple[int, ...]], source: str) -> None:
    wrong = next((name for name in expected if name not in found), None)
    if wrong is not None:
        raise Damaged(untrusted.one_line(f"{source} has no tensor {wrong}, which a model of these sizes has"))
    for name, tensor in found.items():
        if name not in expected:
            raise Damaged(untrusted.one_line(f"{source} has the tensor {name!r}, which a model of these sizes has not"))
        if tuple(tensor.shape) != expected[name] or tensor.dtype != torch.float32:
            kind = str(tensor.dtype).removeprefix("torch.")
            raise Damaged(untrusted.one_line(f"{source} has {name} of shape {list(tensor.shape)} in {kind}, and a "
                                             f"model of these sizes has {list(expected[name])} in float32"))


# --- the state of an optimizer -----------------------------------------------------------------

def restore_optimizer(path: str | Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Put the saved moments back, parameter by parameter.

    Raises:
        Damaged: for tensors that are not the moments of this model, or not those that were written.
    """
    path, parameters = Path(path), dict(model.named_parameters())
    expected = {f"{name}/{key}": () if key == "step" else tuple(parameter.shape)
                for name, parameter in parameters.items() for key in ("step", "exp_avg", "exp_avg_sq")}
    with _damage(path):
        saved, sha256 = read_weights(path / OPTIMIZER, expected=expected)
        if sha256 != manifest(path).get(OPTIMIZER):
            raise ValueError(f"{OPTIMIZER} is not what was written")
        if not all(0 <= float(value) < math.inf for name, value in saved.items() if name.endswith("/step")):
            raise ValueError(f"{OPTIMIZER} has a step that is no count")
    for name, parameter in parameters.items():
        state = {key: saved[f"{name}/{key}"] for key in ("step", "exp_avg", "exp_avg_sq")}
        optimizer.state[parameter] = {k: v if k == "step" else v.to(parameter.device) for k, v in state.items()}


def _optimizer_tensors(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    return {
        f"{name}/{key}": value.contiguous()
        for name, parameter in model.named_parameters()
        for key, value in optimizer.state[parameter].items()
    }


# --- what was written --------------------------------------------------------------------------

@contextlib.contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Whatever is wrong inside is damage of the checkpoint at `path`."""
    try:
        yield
    except (ValueError, OSError, OverflowError) as error:
        raise Damaged(untrusted.one_line(f"checkpoint {path} is damaged: {error}")) from None


def manifest(path: Path) -> dict[str, str]:
    """File name -> sha256 of all that is read from a checkpoint, and perhaps of more."""
    try:
        found = untrusted.read_object(path / MANIFEST)
    except (ValueError, OSError) as error:
        text = f"checkpoint {path} is damaged: {MANIFEST} is missing or unreadable: {error}"
        raise Damaged(untrusted.one_line(text)) from None
    with _damage(path):
        for name, sha256 in found.items():
            if Path(name).name != name or name.startswith("."):  # it cannot point out of its folder
                raise ValueError(f"{MANIFEST} names {name!r}, which is no file in it")
            if not isinstance(sha256, str) or not re.fullmatch("[0-9a-f]{64}", sha256):
                raise ValueError(f"{MANIFEST} has no sha256 for {name!r}")
        for name in sorted(NEEDED - found.keys()):
            raise ValueError(f"{MANIFEST} does not name {name}")
    return found


def verify(path: Path) -> dict[str, str]:
    """The manifest, once every file that it names was found and has the sum that it gives."""
    written = manifest(path)
    with _damage(path):
        for name, expected in written.items():
            if not os.path.lexists(path / name):
                raise ValueError(f"{name} is missing")
            if _sha256(path / name) != expected:
                raise ValueError(f"{name} is not what was written")
    return written


def _sha256(path: Path) -> str:
    with untrusted.open_file(path) as file:
        if (size := os.fstat(file.fileno()).st_size) > tensors.memory_bytes():
            raise ValueError(f"{path.name} has {size:,} bytes, more than the memory of this machine")
        return hashlib.file_digest(file, "sha256").hexdigest()
