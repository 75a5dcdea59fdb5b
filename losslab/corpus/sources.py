"""The name of a corpus -> its documents, and what identifies them without reading them all."""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from losslab import tales
from losslab.config import DataConfig, nearest
from losslab.corpus import cache, files, hub
from losslab.corpus.splits import Piece, folder_train, folder_val, single_by_position
from losslab.tokenizer import Tokenizer

EMBEDDED = ("tales", "pydoc")
TALES_SEEDS = {"val": 1, "tune": 2, "train": 0}


@dataclass(frozen=True)
class Source:
    """A text that can be read, and a name for exactly that text."""

    name: str
    identity: object  # a JSON value that changes when the text does
    pieces: Callable[[], Iterable[Piece]]
    floor_bits_per_byte: Callable[[list[str]], float] | None = None  # of given documents, where the truth is known


def find(config: DataConfig, tokenizer: Tokenizer | None) -> Source:
    """The source that `config.corpus` names; `tokenizer` is the one that token shards were written with."""
    name = config.corpus
    if name == "tales":
        return _tales(config)
    if name == "pydoc":
        return _pydoc()
    if name in hub.KNOWN:
        return _hub(name, config)
    path = Path(name).expanduser()
    if path.is_dir():
        return _folder(path, config, tokenizer)
    if path.is_file():
        return _file(path, config, tokenizer)
    is_file_name = files.suffix(path) in (*files.TEXT_SUFFIXES, files.SHARD_SUFFIX, ".parquet")
    if re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+(:[\w.-]+)?", name) and not is_file_name:
        return _hub(name, config)
    known = f"the corpora are {', '.join((*EMBEDDED, *hub.KNOWN))}, any `owner/name` of the hub, or a path"
    if is_file_name or "/" in name or "\\" in name:
        raise FileNotFoundError(f"there is no file or folder {name}; {known}")
    raise ValueError(f"unknown corpus {name!r}{nearest(name, (*EMBEDDED, *hub.KNOWN))}; {known}")


def _tales(config: DataConfig) -> Source:
    sizes = {"val": config.val_bytes, "tune": config.tune_bytes, "train": config.max_bytes}

    def pieces() -> Iterator[Piece]:
        for role, seed in TALES_SEEDS.items():
            if sizes[role] > 0:
                yield from (Piece(story, role) for story in tales.stories(sizes[role], seed))

    files = sorted(Path(tales.__file__).parent.glob("*.py"))
    grammar = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()
    return Source("tales", ["tales", grammar, sizes, TALES_SEEDS], pieces, tales.floor_bits_per_byte)


def _pydoc() -> Source:
    from pydoc_data.topics import topics  # ships with every CPython

    documents = [topics[key] for key in sorted(topics)]
    identity = hashlib.sha256("\0".join(documents).encode()).hexdigest()
    return Source("pydoc", ["pydoc", identity], lambda: map(Piece, documents))


def _hub(name: str, config: DataConfig) -> Source:
    identity = ["hub", hub.KNOWN.get(name, name), config.max_bytes]
    return Source(name, identity, lambda: hub.stream(name, config.max_bytes))


def _file(path: Path, config: DataConfig, tokenizer: Tokenizer | None) -> Source:
    suffix = files.suffix(path)
    if suffix == ".parquet":
        return _local(path, [path])
    if suffix == files.SHARD_SUFFIX:
        known = _of_shards(path, config, tokenizer)
        return Source(path.name, _identity([path]), lambda: single_by_position(files.shards([path], known)))
    if suffix not in files.TEXT_SUFFIXES:
        raise ValueError(
            f"{path} ends in {suffix or 'nothing'}, which says no format that is known here; rename it to one of "
            f"{', '.join((*files.TEXT_SUFFIXES, files.SHARD_SUFFIX, '.parquet'))}"
        )
    return Source(path.name, _identity([path]), lambda: single_by_position(files.texts([path])))


def _folder(path: Path, config: DataConfig, tokenizer: Tokenizer | None) -> Source:
    if hub.is_saved(path):
        return _local(path, sorted(file for file in path.rglob("*") if file.is_file()))
    if parquet := hub.parquet_files(path):
        return _local(path, parquet)
    train, val = files.split_files(path)
    token_bytes = None
    if files.suffix(train[0]) == files.SHARD_SUFFIX:
        known = _of_shards(path, config, tokenizer)
        token_bytes = known.token_bytes

        def read(paths: list[Path]) -> Iterator[Piece]:
            return files.shards(paths, known)
    else:
        read = files.texts

    def pieces() -> Iterator[Piece]:
        yield from folder_val(read(val), config.val_bytes, token_bytes)
        yield from folder_train(read(train))

    return Source(path.resolve().name, _identity(train + val), pieces)


def _local(path: Path, parts: list[Path]) -> Source:
    return Source(path.resolve().name, _identity(parts), lambda: hub.local(path))


def _of_shards(path: Path, config: DataConfig, tokenizer: Tokenizer | None) -> Tokenizer:
    if tokenizer is None:
        raise ValueError(
            f"{path} holds token shards, which have the vocabulary they were written with, got the tokenizer "
            f"{config.tokenizer!r}; say `--tokenizer gpt2` for nanoGPT's and modded-nanogpt's GPT-2 shards"
        )
    return tokenizer


def _identity(paths: list[Path]) -> list:
    return ["files", [[path.name, cache.file_digest(path)] for path in paths]]
