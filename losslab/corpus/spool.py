"""Documents on disk in the order they came, so that neither a corpus nor a document has to fit into memory."""

import hashlib
from array import array
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from losslab.corpus import disk
from losslab.corpus.cuts import LONGEST, PIECE_BYTES, pieces
from losslab.corpus.splits import Piece
from losslab.tokenizer import Tokenizer

BLOCK_BYTES = 1 << 20  # read from disk at once
TOLD_BYTES = 4_000_000  # of text between two words of progress
MOST_DOCUMENTS = 2**24  # each takes a few hundred bytes of memory; the largest data sets known here have 15 million


class Spool:
    """Documents on disk, each with its size, its sha256 and what its source said of it.

    Where the system allows it the file loses its name at once, so that its space is freed however the process ends.
    """

    def __init__(self, path: Path, name: str, tokenizer: Tokenizer | None):
        self.name, self.path, self.tokenizer = name, path, tokenizer
        self.file = open(path, "w+b")
        with suppress(OSError):  # Windows keeps the name of an open file
            path.unlink()
        self.starts, self.stops, self.sizes = array("q"), array("q"), array("q")  # in the file; bytes of text
        self.units = array("q")  # characters of a text, tokens of a shard
        self.roles: list[str] = []
        self.keys: list[bytes] = []
        self.groups: list[bytes] = []  # what decides the split: the key, where a source has no other rule
        self.turns: list[tuple] = []  # of an example: where each part of it ends in the file, and if it is an answer
        self.ends = bytearray()
        self.are_texts = True
        self.end = self.told = self.checked = self.total = 0
        self._begin()

    def __len__(self) -> int:
        return len(self.sizes)

    def _begin(self) -> None:
        self._start, self._size, self._units, self._blank, self._turns = self.end, 0, 0, True, []
        self._sha = hashlib.sha256()

    def add(self, piece: Piece, progress) -> None:
        """Take the next piece of the document that is being read; one without text leaves nothing."""
        self.are_texts = isinstance(piece.content, str)
        stored = self._stored(piece.content)
        self.file.write(stored)
        self.end += len(stored)
        self._sha.update(stored)
        if piece.is_answer is not None:
            self._turns.append((self.end, piece.is_answer))
        self._units += len(piece.content)
        self._size += len(stored) if self.are_texts else int(self.tokenizer.token_bytes[piece.content].sum())
        self._blank = self._blank and (not len(piece.content) or self.are_texts and piece.content.isspace())
        if not piece.more:
            self._close(piece)
        if self.end - self.told >= TOLD_BYTES:
            self.told = self.end
            progress(f"reading {self.name}", self.total + self._size, 0)
        if self.end - self.checked >= disk.CHECK_BYTES:
            self.checked = self.end
            disk.check_room(self.path.parent, self.name)

    def _stored(self, content: str | np.ndarray) -> bytes:
        if not self.are_texts:
            return content.astype("<u2").tobytes()
        try:
            return content.encode()
        except UnicodeEncodeError:
            raise ValueError(
                f"document {len(self) + 1} of {self.name} has half of a surrogate pair, which is no character and has "
                "no bytes; write the text with whole characters"
            ) from None

    def _close(self, piece: Piece) -> None:
        if self._blank:
            if self.end > self._start:
                self.end = self.file.seek(self._start)
        else:
            if len(self) >= MOST_DOCUMENTS:
                raise ValueError(
                    f"{self.name} has more than {MOST_DOCUMENTS:,} documents, the most that are split here; give a "
                    "part of it, or join short documents"
                )
            key = self._sha.digest()
            row = (self._start, self.end, self._size, self._units, piece.role, key, piece.ends, piece.group or key,
                   tuple(self._turns))
            self._put(len(self), len(self), [row])
            self.total += self._size
        self._begin()

    def _put(self, first: int, last: int, rows: list[tuple]) -> None:
        """Set `rows` in place of the documents from `first` up to `last`."""
        columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(9)]
        for own, new in zip((self.starts, self.stops, self.sizes, self.units), columns[:4], strict=True):
            own[first:last] = array("q", new)
        self.roles[first:last], self.keys[first:last], self.ends[first:last] = columns[4], columns[5], bytes(columns[6])
        self.groups[first:last], self.turns[first:last] = columns[7], columns[8]

    # --- cutting by position ----------------------------------------------------------------------

    def cut(self, number: int, edges: list[int], roles: list[str], ends: list[bool]) -> None:
        """Put the parts between `edges`, in characters or tokens, in place of a document; empty ones are left out."""
        places = [self._place(number, edge) for edge in edges]
        rows = []
        for i, (role, end) in enumerate(zip(roles, ends, strict=True)):
            start, stop = places[i], places[i + 1]
            if start == stop:
                continue
            sha, size = hashlib.sha256(), 0
            for block in self.blocks(start, stop):
                sha.update(block)
                size += len(block) if self.are_texts else int(self.tokenizer.token_bytes[ids_of(block)].sum())
            key = sha.digest()
            rows.append((start, stop, size, edges[i + 1] - edges[i], role, key, end, key, ()))
        self._put(number, number + 1, rows)

    def _place(self, number: int, unit: int) -> int:
        """Where in the file the character or token `unit` of a document begins."""
        start, stop, left = self.starts[number], self.stops[number], unit
        if not self.are_texts:
            return start + 2 * unit
        for block in self.blocks(start, stop):
            begins = np.flatnonzero(_is_first_byte(block))
            if left < len(begins):
                return start + int(begins[left])
            left, start = left - len(begins), start + len(block)
        return stop

    def units_within(self, number: int, num_bytes: int) -> int:
        """How many characters or tokens from the beginning of a document have at most `num_bytes` bytes of text."""
        units, used = 0, 0
        for block in self.blocks(self.starts[number], self.stops[number]):
            if self.are_texts:  # those that begin within, but the last one if it does not end there too
                sizes = np.diff(np.append(np.flatnonzero(_is_first_byte(block)), len(block)))
            else:
                sizes = self.tokenizer.token_bytes[ids_of(block)]
            up_to = used + np.cumsum(sizes)
            fitting = int(np.searchsorted(up_to, min(num_bytes, self.sizes[number]), side="right"))
            units += fitting
            if fitting < len(sizes):
                break
            used = int(up_to[-1])
        return units

    # --- reading ----------------------------------------------------------------------------------

    def blocks(self, start: int, stop: int, size: int = BLOCK_BYTES) -> Iterator[bytes]:
        """The bytes of a part of the file; no character is cut in two."""
        while start < stop:
            self.file.seek(start)
            block = self.file.read(min(size, stop - start))
            if self.are_texts and start + len(block) < stop:
                block = block[: int(np.flatnonzero(_is_first_byte(block[-4:]))[-1]) - len(block[-4:]) + len(block)]
            yield block
            start += len(block)

    def texts(self, number: int) -> Iterator[str]:
        """A document in parts of about a quarter of a megabyte."""
        for block in self.blocks(self.starts[number], self.stops[number], PIECE_BYTES):
            yield block.decode()

    def text(self, number: int) -> str:
        return "".join(self.texts(number))

    @property
    def has_answers(self) -> bool:
        """Whether these are examples, of which some tokens are answers and others not."""
        return any(self.turns)

    def parts(self, number: int, cuts: str, name: str) -> Iterator[tuple[str, bool]]:
        """A document in pieces as `pieces` has them, or by its turns; each with whether it is an answer.

        Prompt and answer are tokenized apart: when a model answers, it has read the prompt alone.
        """
        if not self.turns[number]:
            yield from ((text, True) for text in self.pieces(number, cuts, name))
        start = self.starts[number]
        for stop, is_answer in self.turns[number]:
            yield b"".join(self.blocks(start, stop)).decode(), is_answer
            start = stop

    def pieces(self, number: int, cuts: str, name: str) -> Iterator[str]:
        """A document whole, or in pieces if it is long, such that the ids of the pieces are those of the whole.

        Args:
            cuts: where it may be cut, as `Tokenizer.cuts` says.
            name: of the tokenizer, for an error.
        """
        if self.sizes[number] <= LONGEST:
            yield self.text(number)
        else:
            yield from pieces(self.texts(number), cuts, self.name, name)

    def digest(self, numbers: Iterable[int]) -> str:
        sha = hashlib.sha256()
        for i in numbers:
            sha.update(self.keys[i] + bytes([self.ends[i]]))
            for stop, is_answer in self.turns[i]:
                sha.update(f"{stop - self.starts[i]} {is_answer}\n".encode())
        return sha.hexdigest()

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_) -> None:
        self.file.close()
        self.path.unlink(missing_ok=True)


def _is_first_byte(block: bytes) -> np.ndarray:
    """Whether each byte begins a character of UTF-8."""
    return np.frombuffer(block, dtype=np.uint8) & 0xC0 != 0x80


def ids_of(block: bytes) -> np.ndarray:
    return np.frombuffer(block, dtype="<u2")
