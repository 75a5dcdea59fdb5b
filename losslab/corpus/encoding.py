"""The documents of a spool as token ids, a part at a time, each checked to be the text that it stands for."""

import codecs
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from losslab.corpus.cuts import PIECE_BYTES
from losslab.corpus.spool import Spool, ids_of
from losslab.tokenizer import Tokenizer

BATCH_BYTES = 1_000_000  # of text given to the tokenizer at once, which needs a hundred times as much memory


class Part(NamedTuple):
    """Some or all of a document, tokenized."""

    tokens: np.ndarray  # ids, without end marks
    num_bytes: int
    num_words: int  # a word that began in an earlier part of the document is not counted again
    last: bool  # whether it is the last of its document
    is_answer: bool = True  # whether it counts where prompts do not


def encoded(spool: Spool, numbers: list[int], tokenizer: Tokenizer) -> Iterator[Part]:
    """The documents, tokenized, a part at a time."""
    parts = _text_parts(spool, numbers, tokenizer) if spool.are_texts else _shard_parts(spool, numbers, tokenizer)
    kept, before = 0, " "
    for number, text, tokens, last, is_answer in parts:
        num_bytes = int(tokenizer.token_bytes[tokens].sum())
        kept += num_bytes
        if last and kept != spool.sizes[number]:
            raise ValueError(
                f"the tokenizer {tokenizer.name} does not keep the text: document {number + 1} of {spool.name} has "
                f"{spool.sizes[number]} bytes and its tokens have {kept}, so no bits per byte could be right; take "
                "`bytes`, `gpt2` or `bpe:N`"
            )
        goes_on = bool(text) and not (text[0].isspace() or before.isspace())  # the word that began before
        yield Part(tokens, num_bytes, len(text.split()) - goes_on, last, is_answer)
        kept, before = (0, " ") if last else (kept, text[-1:] or before)


def _text_parts(spool: Spool, numbers: list[int], tokenizer: Tokenizer):
    """(document, text, ids, last, whether it is an answer) of each piece."""
    documents = (_marked(i, spool.parts(i, tokenizer.cuts, tokenizer.name)) for i in numbers)
    for batch in _batches(documents):
        encoded_texts = tokenizer.encode_batch([text for _, (text, _), _ in batch])
        for (number, (text, is_answer), last), tokens in zip(batch, encoded_texts, strict=True):
            yield number, text, tokens, last, is_answer


def _shard_parts(spool: Spool, numbers: list[int], tokenizer: Tokenizer):
    for i in numbers:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        for _, block, last in _marked(i, spool.blocks(spool.starts[i], spool.stops[i], PIECE_BYTES)):
            tokens = ids_of(block)
            yield i, decoder.decode(tokenizer.decode_bytes(tokens), last), tokens, last, True


def _marked(number: int, parts: Iterable) -> Iterator[tuple]:
    """(number, part, whether it is the last) of each part."""
    parts = iter(parts)
    part = next(parts)
    for following in parts:
        yield number, part, False
        part = following
    yield number, part, True


def _batches(documents: Iterable[Iterable[tuple]]) -> Iterator[list[tuple]]:
    batch, used = [], 0
    for document in documents:
        for part in document:
            batch.append(part)
            used += len(part[1][0].encode())
            if used >= BATCH_BYTES:
                yield batch
                batch, used = [], 0
    if batch:
        yield batch
