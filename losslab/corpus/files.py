"""Text files and token shards -> documents."""

import codecs
import gzip
import itertools
import json
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from losslab.corpus.splits import Piece
from losslab.tokenizer import END_OF_TEXT, Tokenizer

TEXT_SUFFIXES = (".txt", ".txt.gz", ".jsonl", ".jsonl.gz")
JSON_SUFFIXES = (".json", ".json.gz")  # instruction data alone
SHARD_SUFFIX = ".bin"
PART_BYTES = 1 << 20  # of a long document that are handed on at once
LINE_BYTES = 1 << 25  # of a row of .jsonl
WHOLE = 1 << 30  # characters of a document that has to be in memory
FREE_BYTES, MOST_TIMES = 1 << 26, 100  # that a packed file may unpack to: the former, and so many times what was read
MARK = END_OF_TEXT.encode()
HEADER_BYTES = 1024  # 256 int32, of which modded-nanogpt uses three: magic, version, number of tokens
MAGIC = 20240520


def suffix(path: Path) -> str:
    """`.txt`, `.jsonl.gz`, ...: the part of the name that says the format."""
    name = path.name.lower()
    return next((s for s in (*TEXT_SUFFIXES, *JSON_SUFFIXES, SHARD_SUFFIX) if name.endswith(s)), path.suffix.lower())


def split_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """The training and the validation files of a folder, each in name order."""
    found: dict[str, list[Path]] = {"train": [], "val": []}
    for path in sorted(folder.iterdir()):
        # `train.txt`, `valid.jsonl.gz`, and also `TinyStories-train.txt`, `fineweb_val_000000.bin`
        role = re.search(r"(?:^|[-_.])(train|val)", path.name.lower())
        twin = path.suffix == ".gz" and path.with_suffix("").exists()  # the same file, unpacked
        if path.is_file() and role and not twin and suffix(path) in (*TEXT_SUFFIXES, *JSON_SUFFIXES, SHARD_SUFFIX):
            found[role[1]].append(path)
    train, val = found["train"], found["val"]
    if not train or not val:
        missing = " and no ".join(["train"] * (not train) + ["val / valid / validation"] * (not val))
        raise ValueError(
            f"the folder {folder} has no {missing} file; a corpus folder holds one of each as "
            f"{', '.join((*TEXT_SUFFIXES, *JSON_SUFFIXES))} or {SHARD_SUFFIX}, and a single file is a corpus too"
        )
    if len({suffix(path) == SHARD_SUFFIX for path in train + val}) == 2:
        raise ValueError(
            f"the folder {folder} has text and token shards ({SHARD_SUFFIX}) side by side; move one kind elsewhere"
        )
    return train, val


def parts(paths: list[Path]) -> Iterator[Piece]:
    """The documents of text files, long ones in parts of about a megabyte; a document may be blank.

    A file is read whole, whatever its size; the free space on the disk bounds what is kept of it. A packed one is
    given up when it unpacks to more than `MOST_TIMES` its size: text shrinks to a third or a tenth, the most repetitive
    logs to a fiftieth, and what shrinks to a thousandth was made to fill a disk.
    """
    for path in paths:
        read = _jsonl if ".jsonl" in suffix(path) else _txt
        with unpacking(path):
            yield from read(path)


@contextmanager
def unpacking(path: Path) -> Iterator[None]:
    """A sentence for a packed file that is damaged."""
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is not a whole gzip file ({error}); unpack it, or fetch it again") from None


def texts(paths: list[Path]) -> Iterator[Piece]:
    """The documents of text files, each whole in memory, blank ones left out."""
    document, size = [], 0
    for piece in parts(paths):
        document.append(piece.content)
        size += len(piece.content)
        if size > WHOLE:
            raise ValueError(
                f"{', '.join(map(str, paths))} has a document of more than {WHOLE:,} characters, too long for the "
                "memory; give it as a corpus, or divide it"
            )
        if not piece.more:
            text = "".join(document)
            if text and not text.isspace():
                yield Piece(text)
            document, size = [], 0


def _lines(path: Path, most: int) -> Iterator[bytes]:
    """The lines of a file, unpacked if it is `.gz`; one longer than `most` comes in parts."""
    with open(path, "rb") as stored:
        packed = path.suffix.lower() == ".gz"
        file = gzip.GzipFile(fileobj=stored) if packed else stored
        read = checked = 0
        while line := file.readline(most):
            read += len(line)
            if packed and read - checked >= PART_BYTES:
                checked = read
                check_unpacked(path, read, stored.tell())
            yield line


def check_unpacked(path: Path, unpacked: int, stored: int) -> None:
    """An error if `stored` bytes of a file have become more than text can come from."""
    if unpacked > FREE_BYTES + MOST_TIMES * stored:
        raise ValueError(
            f"{path} unpacks to more than {MOST_TIMES} times its size, as no text does ({unpacked:,} bytes from the "
            f"first {stored:,}); unpack it yourself if that is what you want"
        )


def _txt(path: Path) -> Iterator[Piece]:
    """Documents end with a line `<|endoftext|>`; the line break before it is not theirs."""
    document, size, position, marks, begins = [], 0, 0, 0, True  # `begins`: a line begins here
    reader = _Reader(path, 0)
    for line in _lines(path, PART_BYTES):
        position += len(line)
        if begins and line.startswith(MARK) and line.strip() == MARK:
            yield Piece(_without_last_break(reader.take(b"".join(document), last=True)))
            document, size, marks, reader = [], 0, marks + 1, _Reader(path, position)
        else:
            document.append(line)
            size += len(line)
            if size >= PART_BYTES:
                yield Piece(reader.take(b"".join(document)), more=True)
                document, size = [], 0
        begins = line.endswith(b"\n")
    text = reader.take(b"".join(document), last=True)
    yield Piece(_without_last_break(text) if marks else text)  # a text of one document stays as it is, to the byte


def whole(path: Path) -> str:
    """The text of a file that has to be in memory."""
    content = bytearray()
    for line in _lines(path, PART_BYTES):
        content += line
        if len(content) > WHOLE:
            raise ValueError(f"{path} has more than {WHOLE:,} bytes, too long for the memory; give its rows as .jsonl, "
                             "a row a line")
    return _Reader(path, 0).take(bytes(content), last=True)


def _jsonl(path: Path) -> Iterator[Piece]:
    for number, row in json_lines(path, numbered=True):
        if not isinstance(row, dict) or not isinstance(row.get("text"), str):
            keys = f"the keys {_named(row)}" if isinstance(row, dict) else type(row).__name__
            wrong = "a `text` that is no string" if isinstance(row, dict) and "text" in row else keys
            raise ValueError(
                f'line {number} of {path} has {wrong}; a row is {{"text": "..."}}, so rename the column with the text'
            )
        yield Piece(row["text"])


def json_lines(path: Path, *, numbered: bool = False) -> Iterator:
    """The JSON value of each line that is not blank; `numbered`: with the number of the line."""
    position = 0
    for number, line in enumerate(_lines(path, LINE_BYTES + 1), 1):
        if len(line) > LINE_BYTES:
            raise ValueError(
                f"line {number} of {path} is longer than {LINE_BYTES:,} bytes; a row is one document and is read "
                "whole, so give a longer one as a .txt file"
            )
        text = _Reader(path, position).take(line, last=True)
        position += len(line)
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            why = "its brackets are nested too deeply" if isinstance(error, RecursionError) else error
            raise ValueError(f'line {number} of {path} is not JSON ({why}); a row is {{"text": "..."}}') from None
        yield (number, row) if numbered else row


def _named(row: dict) -> str:
    names = [repr(key if len(key) <= 40 else f"{key[:40]}...") for key in itertools.islice(row, 9)]
    return ", ".join(names[:8]) + (f" and {len(row) - 8} more" if len(row) > 8 else "")


class _Reader:
    """UTF-8 that arrives in parts: decoded and checked; an error says where in the file."""

    def __init__(self, path: Path, position: int):
        self.path, self.position = path, position  # of the next byte
        self.decoder, self.held = codecs.getincrementaldecoder("utf-8")(), ""

    def take(self, content: bytes, last: bool = False) -> str:
        """The text that is sure so far; the last two characters, which may be a line break, wait for what follows."""
        if (nul := content.find(b"\0")) >= 0:
            raise ValueError(
                f"{self.path} is a binary file (a NUL byte at offset {self.position + nul}); a corpus is UTF-8 text, "
                f"or token shards named {SHARD_SUFFIX}"
            )
        waiting = len(self.decoder.getstate()[0])
        try:
            text = self.held + self.decoder.decode(content, last)
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{self.path} is not UTF-8 (byte 0x{error.object[error.start]:02x} at offset "
                f"{self.position - waiting + error.start}); convert it, for example with `iconv -f latin1 -t utf-8`"
            ) from None
        self.position += len(content)
        if last:
            return text
        self.held = text[-2:]
        return text[:-2]


def _without_last_break(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r")


def shards(paths: list[Path], tokenizer: Tokenizer) -> Iterator[Piece]:
    """The documents of token shards, cut at the end marks; a document may run on from one shard into the next."""
    is_open = False
    for path in paths:
        for tokens in _shard(path):
            if (largest := int(tokens.max())) >= tokenizer.vocab_size:
                raise ValueError(
                    f"{path} has the token {largest}, but {tokenizer.name} has only {tokenizer.vocab_size}; "
                    "take the tokenizer that the shards were written with"
                )
            start = 0
            for mark in np.flatnonzero(tokens == tokenizer.eot):
                yield Piece(tokens[start:mark])
                start, is_open = mark + 1, False
            if start < len(tokens):
                yield Piece(tokens[start:], more=True)
                is_open = True
    if is_open:
        yield Piece(np.zeros(0, dtype=np.uint16), ends=False)  # no end mark came


def _shard(path: Path) -> Iterator[np.ndarray]:
    """uint16 ids of a modded-nanogpt shard, which has a header, or a nanoGPT one, which has none; a part at a time."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        magic, version, count = map(int, np.frombuffer(file.read(12).ljust(12, b"\0"), dtype="<i4"))
        has_header = magic == MAGIC and size >= HEADER_BYTES
        if has_header and (version != 1 or size != HEADER_BYTES + 2 * count):
            raise ValueError(
                f"{path} has a header of version {version} with {count} tokens, and {size - HEADER_BYTES} bytes of "
                "them; a shard of version 1 has two bytes per token, so fetch or write it again"
            )
        if size % 2:
            raise ValueError(
                f"{path} has {size} bytes, an odd number; a token shard is uint16 ids, with or without header"
            )
        file.seek(HEADER_BYTES if has_header else 0)
        while content := file.read(PART_BYTES):
            yield np.frombuffer(content, dtype="<u2")
