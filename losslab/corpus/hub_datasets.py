"""Data sets of the model hub, or in its library's local formats -> documents. Needs the extra `hf`."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

from losslab import instruct
from losslab.corpus import files
from losslab.corpus.instructions import Reading
from losslab.corpus.splits import Piece
from losslab.instruct.rows import KNOWN as KNOWN_ROWS
from losslab.words import extra

KNOWN = {
    "tinystories": "roneneldan/TinyStories",
    "fineweb": "HuggingFaceFW/fineweb:sample-10BT",
    "fineweb-edu": "HuggingFaceFW/fineweb-edu:sample-10BT",
    "climbmix": "karpathy/climbmix-400b-shuffle",  # ClimbMix (Diao et al. 2025) as text, as karpathy/nanochat reads it
    "openwebtext": "Skylion007/openwebtext",
}
OFFLINE = "or take `tales`, `pydoc` or the path of a text file or folder"
REACH_SECONDS = 10  # the library itself would try for minutes


def stream(name: str, max_bytes: int, reading: Reading | None = None) -> Iterator[Piece]:
    """The documents of a hub data set, `owner/name` or `owner/name:configuration`, up to `max_bytes` of them.

    Args:
        reading: takes its rows where they have the keys of instruction data and no `text`.
    """
    datasets = library(f"the hub data set {name}", OFFLINE)
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    repository, _, configuration = KNOWN.get(name, name).partition(":")
    try:
        HfApi().dataset_info(repository, timeout=REACH_SECONDS)
        splits = datasets.load_dataset(repository, configuration or None, streaming=True)
        yield from _rows(splits, name, max_bytes, reading)
    except RepositoryNotFoundError:
        raise ValueError(
            f"the hub has no data set {repository} that this login may read; check its name, or run `hf auth login`"
        ) from None
    except (ValueError, ImportError) as error:  # an unknown configuration, a script, a missing decoder, a column
        raise ValueError(f"the hub data set {name} could not be read: {one_line(error)}") from None
    except Exception as error:  # each layer below (sockets, http, the hub, the library) has its own exceptions
        here = "" if name in KNOWN else ", and no file or folder here has that name"
        raise ConnectionError(
            f"the hub data set {name} cannot be reached ({type(error).__name__}: {one_line(error)}){here}; connect to "
            f"the network, {OFFLINE}, which need none"
        ) from None


def local(path: Path, reading: Reading | None = None) -> Iterator[Piece]:
    """The documents of a folder written by `save_to_disk`, or of parquet files; `reading` as for `stream`."""
    datasets = library(str(path), OFFLINE)
    if is_saved(path):
        splits = datasets.load_from_disk(str(path))
        stored = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    else:
        stored = sum(file.stat().st_size for file in parquet_files(path))
        named: dict[str, list[str]] = {}
        for file in parquet_files(path):
            named.setdefault("validation" if "val" in file.name.lower() else "train", []).append(str(file))
        splits = datasets.load_dataset("parquet", data_files=named, streaming=True)
    taken = 0
    for piece in _rows(splits, str(path), None, reading):
        taken += len(piece.content)
        files.check_unpacked(path, taken, stored)
        yield piece


def is_saved(path: Path) -> bool:
    """Whether `path` is a folder in the library's own `save_to_disk` format."""
    return (path / "dataset_dict.json").is_file() or all(
        (path / name).is_file() for name in ("state.json", "dataset_info.json")
    )


def parquet_files(path: Path) -> list[Path]:
    found = [path] if path.suffix == ".parquet" else sorted(path.rglob("*.parquet"))
    return [file for file in found if file.is_file()]  # a pipe would be waited for


def library(what: str, instead: str):
    """The package `datasets`; where it is missing, an error that says `instead`, what works without it."""
    try:
        import datasets
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            f"{what} needs the package `datasets`; {extra('hf')}, {instead}", name="datasets"
        ) from None
    return datasets


def _rows(splits, name: str, max_bytes: int | None, reading: Reading | None) -> Iterator[Piece]:
    if not isinstance(splits, dict):
        splits = {"train": splits}
    val = next((split for split in splits if split.startswith("val")), None)
    train = "train" if "train" in splits else next((split for split in splits if split != val), None)
    if train is None:
        raise ValueError(f"{name} has the split {', '.join(splits)} and none to train on; take a data set with `train`")
    if val is None:
        yield from _texts(splits[train], name, "", max_bytes, reading)
    else:
        yield from _texts(splits[val], name, "val", max_bytes, reading)
        yield from _texts(splits[train], name, "train", max_bytes, reading)


def _texts(
    rows: Iterable[dict], name: str, role: str, max_bytes: int | None, reading: Reading | None
) -> Iterator[Piece]:
    rows = iter(rows)
    first = next(rows, None)
    if first is None:
        return
    if reading is not None and instruct.is_example(first):
        taken = 0
        for piece in reading.pieces(itertools.chain([first], rows)):
            taken += len(piece.content.encode())
            yield piece._replace(role=role)
            if max_bytes is not None and taken > max_bytes and not piece.more:
                return
        return
    if not isinstance(first.get("text"), str):
        raise ValueError(f"{name} has the columns {', '.join(first)} and no `text`; rename the column with the text, "
                         f"or those of instruction data: {KNOWN_ROWS}")
    taken = 0
    for row in itertools.chain([first], rows):
        text = row["text"] or ""
        taken += len(text.encode(errors="replace"))
        if max_bytes is not None and taken > max_bytes:
            return
        if text and not text.isspace():
            yield Piece(text, role)


def one_line(error: BaseException) -> str:
    """What an error of the library says first."""
    return next(iter(str(error).splitlines()), "no reason given").strip()
