"""Where a model of theirs lies, a folder or a name on the hub, and its tensors, read without running anything of it."""

import json
import re
import warnings
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

SAFE, PICKLED = "model.safetensors", "pytorch_model.bin"
FILES = ("config.json", "model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json",
         "tokenizer.json", "vocab.json", "merges.txt", "losslab_tokenizer.json")
PICKLED_FILES = ("pytorch_model.bin", "pytorch_model-*-of-*.bin", "pytorch_model.bin.index.json")
NAME = re.compile(r"^[\w][\w.-]*(/[\w][\w.-]*)?$")  # `gpt2` or `owner/name`
REACH_SECONDS = 10  # the library itself would try for minutes


def find(source: str, *, trust_pickle: bool = False) -> tuple[Path, str | None]:
    """The folder of a model, and the commit if it came from the hub."""
    if Path(source).is_dir():
        return Path(source), None
    if Path(source).exists():
        raise ValueError(f"{source} is a file; give the folder that holds config.json and {SAFE}")
    if not NAME.match(source):
        raise ValueError(f"{source} does not exist; give the folder of a GPT2LMHeadModel, or a name on the hub")
    return _download(source, [*FILES, *(PICKLED_FILES if trust_pickle else ())])


def _download(name: str, patterns: list[str]) -> tuple[Path, str]:
    try:
        import huggingface_hub
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f'{name} is no folder here, and the hub needs the package `huggingface_hub`: run `pip install '
            '"losslab[hf]"`, or give a folder', name="huggingface_hub",
        ) from None
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        commit = huggingface_hub.HfApi().model_info(name, timeout=REACH_SECONDS).sha
        folder = huggingface_hub.snapshot_download(name, revision=commit, allow_patterns=patterns)
    except RepositoryNotFoundError:
        raise ValueError(f"there is no folder {name} here, and no model of that name on the hub that this login may "
                         "read; check the name, or run `hf auth login`") from None
    except Exception as error:  # each layer below (sockets, http, the hub) has exceptions of its own
        try:  # what was fetched before serves again
            folder = huggingface_hub.snapshot_download(name, local_files_only=True)
        except LocalEntryNotFoundError:
            why = next(iter(str(error).splitlines()), "no reason given").strip()
            raise ConnectionError(
                f"the hub cannot be reached for the model {name} ({type(error).__name__}: {why}), and no folder here "
                "has that name; connect to the network, or give a folder"
            ) from None
    return Path(folder), Path(folder).name


# --- what lies in it ---------------------------------------------------------------------------

def settings(folder: Path) -> dict:
    """`config.json`."""
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f"{folder} is not a model: it has no config.json; give the folder of a GPT2LMHeadModel")
    return read_json(path)


def tensors(folder: Path, *, trust_pickle: bool = False) -> dict[str, Tensor]:
    """Every tensor of the model by its name, from one file or several.

    Raises:
        ValueError: without weights, with damaged ones, or with pickled ones that were not trusted.
    """
    for name, read in ((SAFE, _read_safe), (PICKLED, _read_pickled)):
        index = folder / f"{name}.index.json"
        if not (folder / name).is_file() and not index.is_file():
            continue
        if read is _read_pickled and not trust_pickle:
            raise ValueError(f"{folder} has its weights in a pickle, {name}, which can run code when it is opened; get "
                             f"the model with {SAFE}, or allow its numbers alone with --trust-pickle")
        files = [name] if (folder / name).is_file() else _parts(index)
        found: dict[str, Tensor] = {}
        for file in files:
            if not (folder / file).is_file():
                raise ValueError(f"{folder} lacks {file}, a part of its weights by {index.name}; fetch it again")
            found |= read(folder / file)
        return found
    raise ValueError(f"{folder} has a config.json and no {SAFE}; give the folder of a whole GPT2LMHeadModel")


def read_json(path: Path) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not readable JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold a JSON object, got {type(found).__name__}")
    return found


def _parts(index: Path) -> list[str]:
    weight_map = read_json(index).get("weight_map")
    names = sorted(set(map(str, weight_map.values()))) if isinstance(weight_map, dict) else []
    for name in names:
        if Path(name).name != name:  # an index cannot point out of its folder
            raise ValueError(f"{index} names {name!r}, which is not a file beside it")
    if not names:
        raise ValueError(f"{index} names no files; it should have a weight_map")
    return names


def _read_safe(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is damaged, or no safetensors file: {error}; fetch it again") from None


def _read_pickled(path: Path) -> dict[str, Tensor]:
    try:
        with warnings.catch_warnings(action="ignore"):
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # hostile bytes may end anywhere in the reader
        why = next(iter(str(error).splitlines()), "no reason given")
        raise ValueError(f"{path} holds more than tensors, or is damaged: {why}; nothing of it was run") from None
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise ValueError(f"{path} is not a dictionary of tensors; save the model's state_dict")
    return found
