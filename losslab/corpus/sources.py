"""The name of a corpus -> its documents, and what identifies them without reading them all."""

import hashlib
import os
import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from losslab import instruct, tales
from losslab.config import DataConfig
from losslab.corpus import disk, files, hub_datasets, instructions
from losslab.corpus.instructions import Reading
from losslab.corpus.splits import Piece
from losslab.tokenizer import Tokenizer
from losslab.words import nearest

EMBEDDED = ("tales", "pydoc")
MOST_TALES = 10_000_000_000  # bytes; the telling of them takes hours
TALES_SEEDS = {"val": 1, "tune": 2, "train": 0}


@dataclass(frozen=True)
class Source:
    """A text that can be read, and a name for exactly that text."""

    name: str
    identity: object  # a JSON value that changes when the text does
    pieces: Callable[[], Iterable[Piece]]
    floor_bits_per_byte: Callable[[Sequence[str]], float] | None = None  # of given documents, where the truth is known
    by_position: bool = False  # whether a text of one document is cut by position
    extent: str = "the whole text"  # how much of it is taken
    about: Callable[[], dict | None] = lambda: None  # of instruction data: what was counted, once the pieces were read


def find(config: DataConfig, tokenizer: Tokenizer | None) -> Source:
    """The source that `config.corpus` names; `tokenizer` is the one that token shards were written with."""
    name = config.corpus
    if config.template != "auto":
        instruct.check(config.template)
    if name == "tales":
        return _tales(config)
    if name == "pydoc":
        return _pydoc()
    if name in hub_datasets.KNOWN:
        return _hub(name, config)
    path = Path(os.path.expanduser(name))
    if os.path.isdir(path):
        return _folder(path, config, tokenizer)
    if os.path.isfile(path):
        return _file(path, config, tokenizer)
    if os.path.exists(path):
        raise ValueError(
            f"{name} is no file and no folder, but a pipe or a device; a corpus is read more than once, so write the "
            "text into a file"
        )
    is_file_name = files.suffix(path) in (*files.TEXT_SUFFIXES, *files.JSON_SUFFIXES, files.SHARD_SUFFIX, ".parquet")
    if re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+(:[\w.-]+)?", name) and not is_file_name:
        return _hub(name, config)
    known = f"the corpora are {', '.join((*EMBEDDED, *hub_datasets.KNOWN))}, any `owner/name` of the hub, or a path"
    if is_file_name or "/" in name or "\\" in name:
        raise FileNotFoundError(f"there is no file or folder {name}; {known}")
    raise ValueError(f"unknown corpus {name!r}{nearest(name, (*EMBEDDED, *hub_datasets.KNOWN))}; {known}")


def _tales(config: DataConfig) -> Source:
    sizes = {"val": config.val_bytes, "tune": config.tune_bytes, "train": config.max_bytes}
    if sum(sizes.values()) > MOST_TALES:
        raise ValueError(
            f"tales are told up to {MOST_TALES:,} bytes, got data.max_bytes={sizes['train']:,}, data.val_bytes="
            f"{sizes['val']:,} and data.tune_bytes={sizes['tune']:,}; take smaller ones"
        )

    def pieces() -> Iterator[Piece]:
        for role, seed in TALES_SEEDS.items():
            rng, size = random.Random(seed), 0
            while size < sizes[role]:  # as `tales.stories`, without holding them all
                story = tales.story(rng)
                size += len(story.encode())
                yield Piece(story, role)

    files = sorted(Path(tales.__file__).parent.glob("*.py"))
    grammar = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    extent = "as many stories as reach data.max_bytes, data.val_bytes and data.tune_bytes"
    return Source(
        "tales", ["tales", grammar, sizes, TALES_SEEDS], pieces, tales.floor_bits_per_byte, extent=extent
    )


def _pydoc() -> Source:
    from pydoc_data.topics import topics  # ships with every CPython

    documents = [topics[key] for key in sorted(topics)]
    identity = hashlib.sha256("\0".join(documents).encode()).hexdigest()
    return Source("pydoc", ["pydoc", identity], lambda: map(Piece, documents))


def _hub(name: str, config: DataConfig) -> Source:
    reading = Reading(config.template, name)
    identity = ["hub", hub_datasets.KNOWN.get(name, name), config.max_bytes]
    identity += [config.template] if config.template != "auto" else []
    extent = f"the first documents, up to data.max_bytes={config.max_bytes:,} bytes in a split of the source"
    return Source(name, identity, lambda: hub_datasets.stream(name, config.max_bytes, reading), extent=extent,
                  about=reading.found)


def _file(path: Path, config: DataConfig, tokenizer: Tokenizer | None) -> Source:
    suffix = files.suffix(path)
    if suffix == ".parquet":
        return _local(path, [path], config)
    if suffix == files.SHARD_SUFFIX:
        known = _of_shards(path, config, tokenizer)
        return _of_files(path.name, [path], lambda: files.shards([path], known))
    if suffix in (*files.TEXT_SUFFIXES, *files.JSON_SUFFIXES) and instructions.holds(path):
        return _instructions(path.name, {"": [path]}, config)
    if suffix not in files.TEXT_SUFFIXES:
        raise ValueError(
            f"{path} ends in {suffix or 'nothing'}, which says no format that is known here; rename it to one of "
            f"{', '.join((*files.TEXT_SUFFIXES, *files.JSON_SUFFIXES, files.SHARD_SUFFIX, '.parquet'))}"
        )
    return _of_files(path.name, [path], lambda: files.parts([path]))


def _folder(path: Path, config: DataConfig, tokenizer: Tokenizer | None) -> Source:
    if hub_datasets.is_saved(path):
        return _local(path, sorted(file for file in path.rglob("*") if file.is_file()), config)
    if parquet := hub_datasets.parquet_files(path):
        return _local(path, parquet, config)
    train, val = files.split_files(path)
    if any(map(instructions.holds, train + val)):
        return _instructions(path.resolve().name, {"val": val, "train": train}, config)
    read = files.parts
    if files.suffix(train[0]) == files.SHARD_SUFFIX:
        known = _of_shards(path, config, tokenizer)

        def read(paths: list[Path]) -> Iterator[Piece]:
            return files.shards(paths, known)

    def pieces() -> Iterator[Piece]:
        for role, paths in (("val", val), ("train", train)):
            yield from (piece._replace(role=role) for piece in read(paths))

    return _of_files(path.resolve().name, train + val, pieces)


def rows_of(config: DataConfig) -> Iterator[object]:
    """The rows of instruction data that lie here, to be read once more.

    Raises:
        ValueError: for a corpus that is no file or folder of instruction data.
    """
    path = Path(os.path.expanduser(config.corpus))
    found = [path] if path.is_file() else [each for some in files.split_files(path) for each in some] if (
        path.is_dir() and not hub_datasets.is_saved(path) and not hub_datasets.parquet_files(path)) else []
    if not found or not all(map(instructions.holds, found)):
        raise ValueError("--parser spacy reads rows of instruction data in .json and .jsonl files, and "
                         f"{config.corpus} is no such file; leave --parser out")
    for each in found:
        yield from instructions.of_file(each)


def _instructions(name: str, paths: dict[str, list[Path]], config: DataConfig) -> Source:
    """The source of files of instruction data, by the split that they are for; empty leaves it to the rule."""
    reading = Reading(config.template, name)

    def pieces() -> Iterator[Piece]:
        for role, of_role in paths.items():
            for path in of_role:
                yield from (piece._replace(role=role) for piece in reading.pieces(instructions.of_file(path)))
        reading.check()

    found = _of_files(name, [path for of_role in paths.values() for path in of_role], pieces)
    return replace(found, identity=[*reading.identity, found.identity], by_position=False, about=reading.found)


def _of_files(name: str, paths: list[Path], read: Callable[[], Iterable[Piece]]) -> Source:
    """The source of files that stay as they are from here until they have been read."""
    before = [_state(path) for path in paths]

    def pieces() -> Iterator[Piece]:
        yield from read()
        for path, state in zip(paths, before, strict=True):
            if _state(path) != state:
                raise ValueError(f"{path} changed while it was read; start again when it stays as it is")

    return Source(name, _identity(paths), pieces, by_position=True)


def _state(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino


def _local(path: Path, parts: list[Path], config: DataConfig) -> Source:
    reading = Reading(config.template, str(path))
    identity = _identity(parts) if config.template == "auto" else [_identity(parts), config.template]
    return Source(path.resolve().name, identity, lambda: hub_datasets.local(path, reading), about=reading.found)


def _of_shards(path: Path, config: DataConfig, tokenizer: Tokenizer | None) -> Tokenizer:
    if tokenizer is None:
        raise ValueError(
            f"{path} holds token shards, which have the vocabulary they were written with, got the tokenizer "
            f"{config.tokenizer!r}; say `--tokenizer gpt2` for nanoGPT's and modded-nanogpt's GPT-2 shards"
        )
    return tokenizer


def _identity(paths: list[Path]) -> list:
    return ["files", [[path.name, disk.file_digest(path)] for path in paths]]
