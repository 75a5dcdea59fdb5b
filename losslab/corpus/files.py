"""Text files and token shards -> documents."""

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from losslab.corpus.splits import Piece
from losslab.tokenizer import END_OF_TEXT, Tokenizer

TEXT_SUFFIXES = (".txt", ".txt.gz", ".jsonl", ".jsonl.gz")
SHARD_SUFFIX = ".bin"
MARK = END_OF_TEXT.encode()
HEADER_BYTES = 1024  # 256 int32, of which modded-nanogpt uses three: magic, version, number of tokens
MAGIC = 20240520


def suffix(path: Path) -> str:
    """`.txt`, `.jsonl.gz`, ...: the part of the name that says the format."""
    name = path.name.lower()
    return next((s for s in (*TEXT_SUFFIXES, SHARD_SUFFIX) if name.endswith(s)), path.suffix.lower())


def split_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """The training and the validation files of a folder, each in name order."""
    found: dict[str, list[Path]] = {"train": [], "val": []}
    for path in sorted(folder.iterdir()):
        # `train.txt`, `valid.jsonl.gz`, and also `TinyStories-train.txt`, `fineweb_val_000000.bin`
        role = re.search(r"(?:^|[-_.])(train|val)", path.name.lower())
        twin = path.suffix == ".gz" and path.with_suffix("").exists()  # the same file, unpacked
        if path.is_file() and role and not twin and suffix(path) in (*TEXT_SUFFIXES, SHARD_SUFFIX):
            found[role[1]].append(path)
    train, val = found["train"], found["val"]
    if not train or not val:
        missing = " and no ".join(["train"] * (not train) + ["val / valid / validation"] * (not val))
        raise ValueError(
            f"the folder {folder} has no {missing} file; a corpus folder holds one of each as "
            f"{', '.join(TEXT_SUFFIXES)} or {SHARD_SUFFIX}, and a single file is a corpus too"
        )
    if len({suffix(path) == SHARD_SUFFIX for path in train + val}) == 2:
        raise ValueError(
            f"the folder {folder} has text and token shards ({SHARD_SUFFIX}) side by side; move one kind elsewhere"
        )
    return train, val


def texts(paths: list[Path]) -> Iterator[Piece]:
    """The documents of text files, whitespace-only ones left out."""
    for path in paths:
        read = _jsonl if ".jsonl" in suffix(path) else _txt
        try:
            with gzip.open(path, "rb") if path.suffix.lower() == ".gz" else open(path, "rb") as lines:
                yield from (Piece(text) for text in read(path, lines) if text and not text.isspace())
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise ValueError(f"{path} is not a whole gzip file ({error}); unpack it, or fetch it again") from None


def _txt(path: Path, lines) -> Iterator[str]:
    """Documents end with a line `<|endoftext|>`; the line break before it is not theirs."""
    document, start, position, marks = [], 0, 0, 0
    for line in lines:
        if line.startswith(MARK) and line.strip() == MARK:
            yield _without_last_break(_utf8(b"".join(document), path, start))
            document, start, marks = [], position + len(line), marks + 1
        else:
            document.append(line)
        position += len(line)
    text = _utf8(b"".join(document), path, start)
    yield _without_last_break(text) if marks else text  # a text of one document stays as it is, to the byte


def _jsonl(path: Path, lines) -> Iterator[str]:
    position = 0
    for number, line in enumerate(lines, 1):
        text = _utf8(line, path, position)
        position += len(line)
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except ValueError as error:
            raise ValueError(f'line {number} of {path} is not JSON ({error}); a row is {{"text": "..."}}') from None
        if not isinstance(row, dict) or not isinstance(row.get("text"), str):
            keys = f"the keys {', '.join(map(repr, row))}" if isinstance(row, dict) else type(row).__name__
            wrong = "a `text` that is no string" if isinstance(row, dict) and "text" in row else keys
            raise ValueError(
                f'line {number} of {path} has {wrong}; a row is {{"text": "..."}}, so rename the column with the text'
            )
        yield row["text"]


def _utf8(content: bytes, path: Path, start: int) -> str:
    if (nul := content.find(b"\0")) >= 0:
        raise ValueError(
            f"{path} is a binary file (a NUL byte at offset {start + nul}); a corpus is UTF-8 text, or token shards "
            f"named {SHARD_SUFFIX}"
        )
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 (byte 0x{content[error.start]:02x} at offset {start + error.start}); convert it, for "
            "example with `iconv -f latin1 -t utf-8`"
        ) from None


def _without_last_break(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r")


def shards(paths: list[Path], tokenizer: Tokenizer) -> Iterator[Piece]:
    """The documents of token shards, cut at the end marks; a document may run on from one shard into the next."""
    rest = np.zeros(0, dtype=np.uint16)
    for path in paths:
        tokens = _shard(path)
        if len(tokens) and (largest := int(tokens.max())) >= tokenizer.vocab_size:
            raise ValueError(
                f"{path} has the token {largest}, but {tokenizer.name} has only {tokenizer.vocab_size}; "
                "take the tokenizer that the shards were written with"
            )
        start = 0
        for mark in np.flatnonzero(tokens == tokenizer.eot):
            if len(document := np.concatenate([rest, tokens[start:mark]])):
                yield Piece(document)
            rest, start = rest[:0], mark + 1
        rest = np.concatenate([rest, tokens[start:]])
    if len(rest):
        yield Piece(rest, ends=False)  # no end mark came


def _shard(path: Path) -> np.ndarray:
    """uint16 ids of a modded-nanogpt shard, which has a header, or a nanoGPT one, which has none."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        magic, version, count = np.frombuffer(file.read(12).ljust(12, b"\0"), dtype="<i4")
    if magic == MAGIC and size >= HEADER_BYTES:
        if version != 1 or size != HEADER_BYTES + 2 * count:
            raise ValueError(
                f"{path} has a header of version {version} with {count} tokens, and {size - HEADER_BYTES} bytes of "
                "them; a shard of version 1 has two bytes a token, so fetch or write it again"
            )
        return np.memmap(path, dtype="<u2", mode="r", offset=HEADER_BYTES) if count else np.zeros(0, dtype=np.uint16)
    if size % 2:
        raise ValueError(f"{path} has {size} bytes, an odd number; a token shard is uint16 ids, with or without header")
    return np.memmap(path, dtype="<u2", mode="r") if size else np.zeros(0, dtype=np.uint16)
