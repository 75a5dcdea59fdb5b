"""Documents -> splits -> token ids on disk."""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from losslab.config import DataConfig, digest
from losslab.corpus import cache, disk
from losslab.corpus.encoding import Part, encoded
from losslab.corpus.sources import Source
from losslab.corpus.splits import RULE, SPLITS, assign, cut_by_position, rule_of
from losslab.corpus.spool import TOLD_BYTES, Spool
from losslab.tokenizer import Tokenizer, make

FORMAT = 2  # raised when the files below change their meaning
COLUMNS = ("start", "stop", "num_bytes", "num_words", "ends")  # of a row of the index, one a document
TRAIN_TOKENIZER_BYTES = 100_000_000  # of training text on which `bpe:N` is trained; more changes the merges little


def write(folder: Path, source: Source, config: DataConfig, tokenizer: Tokenizer | None, progress) -> None:
    """Read `source` once, split it, and write a stream of ids and an index of documents for each split.

    A stream is an end mark and then the documents, each with an end mark behind it: `<eot> a <eot> b <eot>`.
    Memory holds about a megabyte of text, and a few numbers of each document.
    """
    with Spool(folder / "documents.tmp", source.name, tokenizer) as spool:
        for piece in source.pieces():
            spool.add(piece, progress)
        if not len(spool):
            raise ValueError(f"the corpus {source.name} is empty; give it text")
        cut = cut_by_position(spool, config.val_bytes) if source.by_position else ""
        given = assign(spool.roles, spool.groups, spool.sizes, val_bytes=config.val_bytes, tune_bytes=config.tune_bytes)
        numbers = {split: [i for i, s in enumerate(given) if s == split] for split in SPLITS}
        _check(numbers, spool, config)
        sample = Sample(spool, numbers["train"])
        tokenizer = tokenizer or _make(config.tokenizer, spool, sample, progress)
        dtype = "<u2" if tokenizer.vocab_size <= 65_536 else "<u4"
        counts = {}
        for split in SPLITS:
            before = sum(count["bytes"] for count in counts.values())

            def told(done: int, before=before) -> None:
                progress(f"tokenizing {source.name}", before + done, sum(spool.sizes))

            ends = [bool(spool.ends[i]) for i in numbers[split]]
            parts = encoded(spool, numbers[split], tokenizer)
            counts[split] = _write_split(folder, split, parts, ends, tokenizer.eot, dtype, told,
                                         answers=spool.has_answers)
        floor = source.floor_bits_per_byte
        meta = {
            "format": FORMAT,
            "digest": digest({
                "splits": {split: spool.digest(numbers[split]) for split in SPLITS},
                "rule": RULE,
                "tokenizer": tokenizer.digest,
            }),
            "tokenizer": tokenizer.digest,
            "tokenizer_bytes": sample.taken,
            "dtype": dtype,
            "floor_bits_per_byte": floor(Texts(spool, numbers["val"])) if floor else None,
            "extent": source.extent,
            "split_rule": rule_of(spool.roles, cut),
            "splits": counts,
            "dropped": dict(Counter(reason for reason in given if reason not in SPLITS)),
            **({"instructions": about} if (about := source.about()) else {}),
        }
    tokenizer.save(folder / "tokenizer")
    cache.seal(folder, meta)


class Texts(Sequence):
    """Documents of a spool, read when they are asked for."""

    def __init__(self, spool: Spool, numbers: list[int]):
        self.spool, self.numbers = spool, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, i: int) -> str:
        return self.spool.text(self.numbers[i])


class Sample:
    """The training text from its beginning, up to `TRAIN_TOKENIZER_BYTES`, that a vocabulary is made from."""

    def __init__(self, spool: Spool, numbers: list[int]):
        self.spool, self.numbers = spool, numbers
        self.taken = 0  # bytes

    def texts(self, name: str) -> Iterator[str]:
        """Documents whole, long ones in pieces that end where a word ends; `name` is of the vocabulary to be made."""
        for i in self.numbers:
            for text in self.spool.pieces(i, "words", name):
                self.taken += len(text.encode())
                yield text
                if self.taken >= TRAIN_TOKENIZER_BYTES:
                    return


def _make(name: str, spool: Spool, sample: Sample, progress) -> Tokenizer:
    if name == "char":  # a character that only `val` has must have an id too
        return make(name, (text for i in range(len(spool)) for text in spool.texts(i)))
    progress(f"training the tokenizer {name}", 0, 0)
    return make(name, sample.texts(name))


def _write_split(
    folder: Path, split: str, parts: Iterable[Part], ends: list[bool], eot: int, dtype: str, told, *,
    answers: bool = False,
) -> dict:
    """The stream and the index of a split; of examples also `answers`: a byte for each id of the stream, 1 where it
    belongs to an answer (as its end mark does), and the bytes and words of each document's answers."""
    index, of_answers, flags = array("q"), array("q"), bytearray(1)
    own_bytes = own_words = 0
    start = position = 1  # of the document and of the stream, in ids: behind the first end mark
    mark = np.array([eot], dtype=dtype).tobytes()
    counts = {"documents": 0, "tokens": 0, "end_marks": 0, "bytes": 0, "words": 0}
    num_bytes = num_words = checked = 0
    size = np.dtype(dtype).itemsize
    with open(folder / f"{split}.bin", "wb") as stream:
        stream.write(mark)
        for part in parts:
            stream.write(part.tokens.astype(dtype).tobytes())
            position += len(part.tokens)
            num_bytes, num_words = num_bytes + part.num_bytes, num_words + part.num_words
            if answers:
                flags += bytes([part.is_answer]) * len(part.tokens)
                own_bytes += part.num_bytes * part.is_answer
                own_words += part.num_words * part.is_answer
            before, counts["bytes"] = counts["bytes"], counts["bytes"] + part.num_bytes
            if before // TOLD_BYTES != counts["bytes"] // TOLD_BYTES:
                told(counts["bytes"])
            if (position - checked) * size >= disk.CHECK_BYTES:
                checked = position
                disk.check_room(folder, split)
            if not part.last:
                continue
            end = ends[counts["documents"]]
            index.extend((start, position, num_bytes, num_words, end))
            if answers:
                flags += bytes([part.is_answer]) * end
                of_answers.extend((own_bytes, own_words))
                own_bytes = own_words = 0
            if end:
                stream.write(mark)
                position += 1
            counts["documents"] += 1
            counts["end_marks"] += end
            counts["words"] += num_words
            start, num_bytes, num_words = position, 0, 0
    counts["tokens"] = position - 1  # every id but the first is once a target
    np.save(folder / f"{split}.index.npy", np.frombuffer(index, dtype=np.int64).reshape(-1, len(COLUMNS)))
    if answers:
        assert len(flags) == position
        np.save(folder / f"{split}.answers.npy", np.frombuffer(flags, dtype=np.uint8))
        np.save(folder / f"{split}.answers-index.npy", np.frombuffer(of_answers, dtype=np.int64).reshape(-1, 2))
        counts |= {"answer_tokens": sum(flags), "answer_bytes": sum(of_answers[::2])}  # tokens: with end marks
    return counts


def _check(numbers: dict[str, list[int]], spool: Spool, config: DataConfig) -> None:
    if missing := [split for split in ("val", "tune", "train") if not numbers[split]]:
        many = len(spool.sizes)
        distinct = len(set(spool.keys))
        raise ValueError(
            f"{spool.name} leaves no document for {' and '.join(missing)}: it has {many} document{'s' * (many != 1)} "
            f"({distinct} distinct, {spool.total:,} bytes), data.val_bytes={config.val_bytes} and data.tune_bytes="
            f"{config.tune_bytes}, and a split takes whole documents up to a tenth of the text; give a longer "
            "text in more documents, or a folder with train and valid files"
        )
