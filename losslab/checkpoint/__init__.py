"""Safe weights and training state: safetensors and JSON, a checksummed manifest, whole or not at all.

`checkpoint/step-00000500/` holds `model.safetensors`, `model.json`, `optimizer.safetensors` and `optimizer.json` (what
is no tensor in the optimizer's state), the tokenizer's files and `manifest.json`. Nothing in it is executed when it is
read: no pickle, so a checkpoint from somebody else is only numbers. All sizes in it are compared with each other before
anything is allocated, and what does not fit is `Damaged`.
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import safetensors.torch
import torch

from losslab import formula, optim, parallel, untrusted
from losslab import tokenizer as tokenizers
from losslab.checkpoint import sums
from losslab.checkpoint.optimizer import restore_optimizer
from losslab.checkpoint.optimizer import save as save_optimizer
from losslab.checkpoint.sums import ABOUT, WEIGHTS, Damaged, damage, manifest, verify
from losslab.checkpoint.weights import kinds, model_from, read_weights
from losslab.config import RENAMED, ModelConfig
from losslab.model import LanguageModel, check_vocab_size, config_of

__all__ = [
    "ABOUT", "WEIGHTS", "Checkpoint", "Damaged", "about", "load", "manifest", "model_from", "newest", "read_weights",
    "restore_optimizer", "save", "steps", "verify",
]  # fmt: skip
FORMAT = 2  # 1 called the positions max_seq_len and kept no options of the optimizer
MOST_STEPS, FAR = 1024, 1e300  # of what a checkpoint remembers of the last steps
SIZES = ("n_layer", "n_head", "n_embd", "num_positions")
STEP = re.compile(r"step-([0-9]{8,18})")


@dataclass(frozen=True)
class Checkpoint:
    path: Path
    step: int
    tokens: int
    seconds: float  # of training, over all processes so far
    model: LanguageModel
    tokenizer: object
    window: list[list[float]] = field(default_factory=list)  # (objective, norm of the gradient) of the last steps
    scaler: dict[str, float] = field(default_factory=dict)  # of gradients in float16
    skipped: int | None = None  # updates left out so far; None where nobody counted


def save(
    folder: str | Path, model: LanguageModel, tokenizer, *, step: int, tokens: int, seconds: float,
    optimizer: optim.Optimizer | None = None, keep: int = 2, window: Sequence[Sequence[float]] = (),
    scaler: Mapping[str, float] = {}, skipped: int | None = None,
) -> Path:
    """Write `folder/step-N` atomically, and keep the newest `keep` up to it.

    What lies in the folder beyond this step goes: a run that writes step N could not continue from any later one. So
    does what a killed process left half written; whoever calls this is the only writer of the folder.

    Where ranks hold parts of the weights, all of them must call this; the first one collects the parts and writes what
    one process would, so that any number of ranks can read it.

    Args:
        window: (objective, norm of the gradient) of the last steps.
        scaler: the state of that of float16.
        skipped: updates left out so far.
    """
    folder, state = Path(folder), None if optimizer is None else optim.state(optimizer, model)
    final = folder / f"step-{step:08d}"
    weights = parallel.collected(model.state_dict())
    if state is not None:
        state |= parallel.collected({name: value for name, value in state.items() if torch.is_tensor(value)})
    if parallel.rank() > 0:
        return final
    temporary = folder / f".step-{step:08d}.{os.getpid()}"
    try:
        for left in folder.glob(".step-*"):  # each as large as a checkpoint
            shutil.rmtree(left, ignore_errors=True)
        temporary.mkdir(parents=True)
        safetensors.torch.save_file({name: tensor.contiguous() for name, tensor in weights.items()},
                                    temporary / WEIGHTS)
        if state is not None:
            save_optimizer(temporary, state)
        tokenizer.save(temporary)
        sizes = {name: value for name, value in asdict(model.config).items() if name != "init_seed"}  # of the run
        described = {
            "format": FORMAT, "step": step, "tokens": tokens, "seconds": seconds, "model": sizes,
            "vocab_size": model.vocab_size, "transform": model.transform_text,
            **({"window": window} if window else {}), **({"scaler": dict(scaler)} if scaler else {}),
            **({} if skipped is None else {"skipped": skipped}),
        }
        (temporary / ABOUT).write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
        sums.sign(temporary)  # on the disk before the name says that it is there
        shutil.rmtree(final, ignore_errors=True)
        os.replace(temporary, final)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise OSError(f"cannot write the checkpoint {final}: {error.strerror or error}; free some space") from None
    except safetensors.SafetensorError as error:  # how its Rust side reports a full disk
        shutil.rmtree(temporary, ignore_errors=True)
        raise OSError(f"cannot write the checkpoint {final}: {error}; free some space") from None
    there = steps(folder)
    up_to = [path for path in there if int(path.name[5:]) <= step]
    for old in up_to[:-keep] + there[len(up_to):]:
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
    with damage(path):
        weights, sha256 = read_weights(path / WEIGHTS, expected=kinds(config, found["vocab_size"]))
        if sha256 != written[WEIGHTS]:
            raise ValueError(f"{WEIGHTS} is not what was written")
        if weights_sha256 is not None and sha256 != weights_sha256:
            raise ValueError(f"its weights have the sha256 {sha256[:12]}..., not {weights_sha256[:12]}...")
        tokenizer = tokenizers.load(path)
        if tokenizer.vocab_size != found["vocab_size"]:
            raise ValueError(f"its tokenizer has {tokenizer.vocab_size} tokens, and its model {found['vocab_size']}")
        model = model_from(weights, config, found["vocab_size"], found["transforms"], str(path / WEIGHTS))
    return Checkpoint(path, found["step"], found["tokens"], found["seconds"], model.to(device), tokenizer,
                      found["window"], found["scaler"], found["skipped"])


def about(path: str | Path) -> tuple[dict, ModelConfig]:
    """What `model.json` says of a checkpoint, and its configuration; nothing of it is believed unchecked.

    Returns:
        `format`, `step`, `tokens`, `seconds`, `vocab_size`, `transform`, `model`, and `transforms`, the values that
        `transform` writes; `window`, pairs of numbers; `scaler`, its numbers; `skipped`, a number or None; and the
        configuration in `model`.

    Raises:
        Damaged: for what is missing, of the wrong kind, or out of range.
        ValueError: if a newer losslab wrote it.
    """
    path = Path(path)
    with damage(path):
        found = untrusted.read_object(path / ABOUT)
        written = found.get("format")
        if type(written) is not int or written < 1:
            raise ValueError(f"{ABOUT} has format {untrusted.shown(written)}")
    if written > FORMAT:
        raise ValueError(
            f"{path} was written by a newer losslab (checkpoint format {written}, this one reads up to {FORMAT}); "
            "update losslab to read it"
        )
    with damage(path):
        for key, kinds in (("step", (int,)), ("tokens", (int,)), ("vocab_size", (int,)), ("seconds", (int, float))):
            if type(found.get(key)) not in kinds or not 0 <= found[key] < 2**63:
                raise ValueError(f"{ABOUT} has {key} {untrusted.shown(found.get(key))}")
        if not _is_window(found.setdefault("window", [])):
            raise ValueError(f"{ABOUT} has window {untrusted.shown(found['window'])}")
        if not _is_scaler(found.setdefault("scaler", {})):
            raise ValueError(f"{ABOUT} has scaler {untrusted.shown(found['scaler'])}")
        if (skipped := found.setdefault("skipped", None)) is not None and not (
                type(skipped) is int and 0 <= skipped <= found["step"]):
            raise ValueError(f"{ABOUT} has skipped {untrusted.shown(skipped)}")
        sizes = found.get("model")
        if not isinstance(sizes, dict) or not {RENAMED.get(name, name) for name in sizes} >= set(SIZES):
            raise ValueError(f"{ABOUT} does not give the model its {', '.join(SIZES)}")
        config = config_of(sizes, ABOUT)
        check_vocab_size(found["vocab_size"])
        found["transforms"] = formula.check_transforms(found.get("transform"), str(path / ABOUT))
    return found, config


def _is_window(value: object) -> bool:
    return isinstance(value, list) and len(value) <= MOST_STEPS and all(
        isinstance(pair, list) and len(pair) == 2 and all(type(x) in (int, float) and -FAR < x < FAR for x in pair)
        for pair in value)


def _is_scaler(value: object) -> bool:
    names = optim.Scaler("float16").state
    return value == {} or (isinstance(value, dict) and value.keys() == names.keys() and all(
        type(found) in (int, float) and 0 <= found < 2**63 for found in value.values()) and value["scale"] > 0)


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
            warn(f"{error}; continuing from the checkpoint before it, if there is one")
    if not Path(folder).parent.is_dir():
        raise FileNotFoundError(f"there is no folder {Path(folder).parent}; give a run folder")
    raise Damaged(f"{folder} has no whole checkpoint; train the run first, or again")
