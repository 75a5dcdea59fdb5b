"""Documents -> splits -> token ids on disk."""

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from losslab.config import DataConfig, digest
from losslab.corpus import cache
from losslab.corpus.sources import Source
from losslab.corpus.splits import RULE, SPLITS, Piece, assign
from losslab.tokenizer import Tokenizer, make

FORMAT = 1  # raised when the files below change their meaning
COLUMNS = ("start", "stop", "num_bytes", "num_words", "ends")  # of a row of the index, one a document
BATCH_BYTES = 4_000_000  # of text given to the tokenizer at once
TRAIN_TOKENIZER_BYTES = 100_000_000  # of training text that `bpe:N` looks at; more changes the merges little


def write(folder: Path, source: Source, config: DataConfig, tokenizer: Tokenizer | None, progress) -> None:
    """Read `source` once, split it, and write a stream of ids and an index of documents for each split.

    A stream is an end mark and then the documents, each with an end mark behind it: `<eot> a <eot> b <eot>`.
    """
    with Spool(folder / "documents.tmp", source.name, tokenizer) as spool:
        for piece in source.pieces():
            spool.add(piece, progress)
        if not spool.sizes:
            raise ValueError(f"the corpus {source.name} is empty; give it text")
        given = assign(spool.roles, spool.keys, spool.sizes, val_bytes=config.val_bytes, tune_bytes=config.tune_bytes)
        numbers = {split: [i for i, s in enumerate(given) if s == split] for split in SPLITS}
        _check(numbers, spool, config)
        tokenizer = tokenizer or _make(config.tokenizer, spool, numbers, progress)
        dtype = "<u2" if tokenizer.vocab_size <= 65_536 else "<u4"
        counts = {}
        for split in SPLITS:
            before = sum(count["bytes"] for count in counts.values())

            def told(done: int, before=before) -> None:
                progress(f"tokenizing {source.name}", before + done, sum(spool.sizes))

            documents = spool.encoded(numbers[split], tokenizer)
            counts[split] = _write_split(folder, split, documents, tokenizer.eot, dtype, told)
        floor = source.floor_bits_per_byte
        meta = {
            "format": FORMAT,
            "digest": digest({
                "splits": {split: spool.digest(numbers[split]) for split in SPLITS},
                "rule": RULE,
                "tokenizer": tokenizer.digest,
            }),
            "tokenizer": tokenizer.digest,
            "dtype": dtype,
            "floor_bits_per_byte": floor([spool.text(i) for i in numbers["val"]]) if floor else None,
            "splits": counts,
            "dropped": len(given) - sum(map(len, numbers.values())),
        }
    tokenizer.save(folder / "tokenizer")
    cache.seal(folder, meta)


class Spool:
    """Documents on disk in the order they came, so that a corpus larger than memory can be split."""

    def __init__(self, path: Path, name: str, tokenizer: Tokenizer | None):
        self.name, self.path, self.tokenizer = name, path, tokenizer
        self.file = open(path, "w+b")
        self.offsets, self.sizes = array("q", [0]), array("q")
        self.roles: list[str] = []
        self.keys: list[bytes] = []
        self.ends = bytearray()
        self.are_texts = True
        self.total = 0

    def add(self, piece: Piece, progress) -> None:
        if not len(piece.content):
            return
        self.are_texts = isinstance(piece.content, str)
        if self.are_texts:
            try:
                stored = piece.content.encode()
            except UnicodeEncodeError:
                raise ValueError(
                    f"document {len(self.sizes) + 1} of {self.name} has half of a surrogate pair, which is no "
                    "character and has no bytes; write the text with whole characters"
                ) from None
            self.sizes.append(len(stored))
        else:
            stored = piece.content.astype("<u2").tobytes()
            self.sizes.append(int(self.tokenizer.token_bytes[piece.content].sum()))
        self.file.write(stored)
        self.offsets.append(self.offsets[-1] + len(stored))
        self.roles.append(piece.role)
        self.keys.append(hashlib.sha256(stored).digest())
        self.ends.append(piece.ends)
        before, self.total = self.total, self.total + self.sizes[-1]
        if before // BATCH_BYTES != self.total // BATCH_BYTES:
            progress(f"reading {self.name}", self.total, 0)

    def stored(self, number: int) -> bytes:
        self.file.seek(self.offsets[number])
        return self.file.read(self.offsets[number + 1] - self.offsets[number])

    def text(self, number: int) -> str:
        return self.stored(number).decode()

    def digest(self, numbers: Iterable[int]) -> str:
        sha = hashlib.sha256()
        for i in numbers:
            sha.update(self.keys[i] + bytes([self.ends[i]]))
        return sha.hexdigest()

    def encoded(self, numbers: list[int], tokenizer: Tokenizer) -> Iterator[tuple[np.ndarray, int, int, bool]]:
        """Tokens, bytes, words and whether it ends, of each document."""
        if not self.are_texts:
            for i in numbers:
                tokens = np.frombuffer(self.stored(i), dtype="<u2")
                words = len(tokenizer.decode(tokens).split())
                yield tokens, self.sizes[i], words, bool(self.ends[i])
            return
        for batch in _batches(numbers, self.sizes):
            texts = [self.text(i) for i in batch]
            for i, text, tokens in zip(batch, texts, tokenizer.encode_batch(texts), strict=True):
                if (kept := int(tokenizer.token_bytes[tokens].sum())) != self.sizes[i]:
                    raise ValueError(
                        f"the tokenizer {tokenizer.name} does not keep the text: document {i + 1} of {self.name} has "
                        f"{self.sizes[i]} bytes and its tokens have {kept}, so no bits per byte could be right; take "
                        "`bytes`, `gpt2` or `bpe:N`"
                    )
                yield tokens, self.sizes[i], len(text.split()), bool(self.ends[i])

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_) -> None:
        self.file.close()
        self.path.unlink()


def _batches(numbers: list[int], sizes) -> Iterator[list[int]]:
    batch, used = [], 0
    for i in numbers:
        batch.append(i)
        used += sizes[i]
        if used >= BATCH_BYTES:
            yield batch
            batch, used = [], 0
    if batch:
        yield batch


def _make(name: str, spool: Spool, numbers: dict[str, list[int]], progress) -> Tokenizer:
    if name == "char":  # a character that only `val` has must have an id too
        return make(name, map(spool.text, range(len(spool.sizes))))
    progress(f"training the tokenizer {name}", 0, 0)

    def texts() -> Iterator[str]:
        used = 0
        for i in numbers["train"]:
            yield spool.text(i)
            if (used := used + spool.sizes[i]) >= TRAIN_TOKENIZER_BYTES:
                return

    return make(name, texts())


def _write_split(folder: Path, split: str, documents, eot: int, dtype: str, told) -> dict:
    index = array("q")
    position = 1  # of the stream, in ids: behind the first end mark
    mark = np.array([eot], dtype=dtype).tobytes()
    counts = {"documents": 0, "tokens": 0, "end_marks": 0, "bytes": 0, "words": 0}
    with open(folder / f"{split}.bin", "wb") as stream:
        stream.write(mark)
        for tokens, num_bytes, num_words, ends in documents:
            stream.write(tokens.astype(dtype).tobytes())
            index.extend((position, position + len(tokens), num_bytes, num_words, ends))
            position += len(tokens)
            if ends:
                stream.write(mark)
                position += 1
            counts["documents"] += 1
            counts["end_marks"] += ends
            counts["words"] += num_words
            before, counts["bytes"] = counts["bytes"], counts["bytes"] + num_bytes
            if before // BATCH_BYTES != counts["bytes"] // BATCH_BYTES:
                told(counts["bytes"])
    counts["tokens"] = position - 1  # every id but the first is once a target
    np.save(folder / f"{split}.index.npy", np.frombuffer(index, dtype=np.int64).reshape(-1, len(COLUMNS)))
    return counts


def _check(numbers: dict[str, list[int]], spool: Spool, config: DataConfig) -> None:
    if missing := [split for split in ("val", "tune", "train") if not numbers[split]]:
        many = len(spool.sizes)
        distinct = len(set(spool.keys))
        raise ValueError(
            f"{spool.name} leaves no document for {' and '.join(missing)}: it has {many} document{'s' * (many != 1)} "
            f"({distinct} distinct, {spool.total:,} bytes), data.val_bytes={config.val_bytes} and data.tune_bytes="
            f"{config.tune_bytes}, and a split takes whole documents up to a tenth of the text; give more or shorter "
            "documents, a folder with train and valid files, or larger sizes"
        )
