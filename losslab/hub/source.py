"""Where a model of `transformers` is, a folder or a name on the hub; its tensors, read without running its code."""

import math
import os
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from losslab import tensors as files
from losslab import untrusted
from losslab.words import extra

SAFE, PICKLED = "model.safetensors", "pytorch_model.bin"
FILES = ("config.json", "model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json",
         "tokenizer.json", "vocab.json", "merges.txt", "losslab_tokenizer.json")
PICKLED_FILES = ("pytorch_model.bin", "pytorch_model-*-of-*.bin", "pytorch_model.bin.index.json")
NAME = re.compile(r"^[\w][\w.-]*(/[\w][\w.-]*)?$")  # `gpt2` or `owner/name`
MOST_CONFIG_BYTES = 2**20
MOST_PARTS = 1000  # files of one model
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
            f"{name} is no folder here, and the hub needs the package `huggingface_hub`; {extra('hf')}, or give a "
            "folder", name="huggingface_hub",
        ) from None
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        commit = huggingface_hub.HfApi().model_info(name, timeout=REACH_SECONDS).sha
        folder = huggingface_hub.snapshot_download(name, revision=commit, allow_patterns=patterns)
    except RepositoryNotFoundError:
        raise ValueError(f"there is no folder {name} here, and no model of that name on the hub that this login may "
                         "read; check the name, or run `hf auth login`") from None
    except Exception as error:  # each layer below (sockets, http, the hub) has its own exceptions
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

def links_into(folder: Path) -> Path | None:
    """Where the links in a model's folder may lead: the hub's library keeps its files apart, and links to them."""
    place = folder.absolute()
    return place.parent.parent / "blobs" if place.parent.name == "snapshots" else None


def settings(folder: Path) -> dict:
    """`config.json`."""
    path = folder / "config.json"
    if not os.path.lexists(path):
        raise ValueError(f"{folder} is not a model: it has no config.json; give the folder of a GPT2LMHeadModel")
    return untrusted.read_object(path, MOST_CONFIG_BYTES, links_into=links_into(folder))


def tensors(
    folder: Path, check: Callable[[Mapping[str, Tensor | files.Entry]], None], *, trust_pickle: bool = False
) -> dict[str, Tensor]:
    """Every tensor of the model by its name, from one file or several.

    Args:
        folder: of the model.
        check: is given dtypes and shapes by name before anything is allocated; it raises for what does not fit.
        trust_pickle: read the tensors of a pickle, and nothing else of it.

    Raises:
        ValueError: without weights, with damaged ones, or with pickled ones that were not trusted.
    """
    for name, read in ((SAFE, _read_safe), (PICKLED, _read_pickled)):
        index = folder / f"{name}.index.json"
        if not os.path.lexists(folder / name) and not os.path.lexists(index):
            continue
        if read is _read_pickled and not trust_pickle:
            raise ValueError(f"{folder} has its weights in a pickle, {name}, which can run code when it is opened; get "
                             f"the model with {SAFE}, or allow its numbers alone with --trust-pickle")
        parts = [name] if os.path.lexists(folder / name) else _parts(index)
        for part in parts:
            if not os.path.lexists(folder / part):
                raise ValueError(f"{folder} lacks {part}, a part of its weights by {index.name}; fetch it again")
        return read([folder / part for part in parts], check)
    raise ValueError(f"{folder} has a config.json and no {SAFE}; give the folder of a whole GPT2LMHeadModel")


def _parts(index: Path) -> list[str]:
    """The files that an index names, which lie in its folder."""
    weight_map = untrusted.read_object(index, links_into=links_into(index.parent)).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError(f"{index} names no files; it should have a weight_map")
    for name in weight_map.values():
        if not isinstance(name, str) or Path(name).name != name:  # an index cannot point out of its folder
            raise ValueError(f"{index} names {untrusted.shown(name)}, which is not a file in its folder")
    names = sorted(set(weight_map.values()))
    if len(names) > MOST_PARTS:
        raise ValueError(f"{index} names {len(names):,} files; at most {MOST_PARTS:,} are read")
    return names


def _read_safe(paths: list[Path], check: Callable) -> dict[str, Tensor]:
    entries: dict[str, files.Entry] = {}
    for path in paths:
        _add(entries, files.headers(path, links_into=links_into(path.parent)), path)
    check(entries)
    found: dict[str, Tensor] = {}
    for path in paths:
        _add(found, files.read(path, links_into=links_into(path.parent))[0], path)
    return found


def _add(found: dict, more: Mapping, path: Path) -> None:
    for name in found.keys() & more.keys():
        raise ValueError(f"{path} holds {untrusted.shown(name)}, which another file of the model holds too")
    found |= more


def _read_pickled(paths: list[Path], check: Callable) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for path in paths:
        _add(found, _read_one_pickled(path), path)
    check(found)
    return found


def _read_one_pickled(path: Path) -> dict[str, Tensor]:
    with untrusted.open_file(path, links_into=links_into(path.parent)) as file:
        size = os.fstat(file.fileno()).st_size
        try:
            if zipfile.is_zipfile(file):
                with zipfile.ZipFile(file) as archive:
                    if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                        raise ValueError("it is compressed, which torch.save does not do")
            file.seek(0)
            with warnings.catch_warnings(action="ignore"):
                found = torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # hostile bytes may end anywhere in the reader
            why = next(iter(str(error).splitlines()), "no reason given")
            raise ValueError(f"{path} holds more than tensors, or is damaged: {why}; nothing of it was run") from None
    if not isinstance(found, dict) or not all(
        isinstance(name, str) and isinstance(value, Tensor) for name, value in found.items()
    ):
        raise ValueError(f"{path} is not a dictionary of tensors; save the model's state_dict")
    dense = all(v.layout == torch.strided and v.device.type == "cpu" and not v.is_quantized for v in found.values())
    # a few bytes can be shown as a large tensor; a tied head is the one tensor that is there twice
    if not dense or sum(math.prod(v.shape) * v.element_size() for v in found.values()) > 2 * size:
        raise ValueError(f"{path} holds tensors that are larger than the file, or not plain; save them as {SAFE}")
    return found
