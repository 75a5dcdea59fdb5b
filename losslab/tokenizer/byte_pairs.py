"""Byte-level byte-pair encoding: made from its parts, or trained on a text."""

import json
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from losslab import untrusted
from losslab.tokenizer import bytelevel
from losslab.tokenizer.bytelevel import END_OF_TEXT
from losslab.tokenizer.vocabularies import Tokenizer

GPT2_DIGEST = "f51fe6cedf4d"  # of the vocabulary that GPT-2's two files make


class BytePairs(Tokenizer):
    """Byte-level byte-pair encoding, run by the `tokenizers` library.

    Where a model's table has more rows than there are tokens, `vocab_size` is that of the table: the ids behind the
    tokens are no text's.
    """

    kind = "bpe"  # how it is called before the number of its tokens

    def __init__(self, name: str | None, model, vocab_size: int = 0):
        if not 0 <= vocab_size <= bytelevel.MOST_TOKENS:
            raise ValueError(f"a table of tokens has at most {bytelevel.MOST_TOKENS:,} rows, got {vocab_size}")
        model.no_truncation()
        model.no_padding()
        self._json = model.to_str()
        parts = json.loads(self._json)
        eot = model.token_to_id(END_OF_TEXT)
        if eot is None:
            raise ValueError(f"the tokenizer.json has no token {END_OF_TEXT}, which ends a document; add it there")
        raw = bytelevel.raw_tokens(parts)
        self.num_tokens = len(raw)  # without the rows behind them
        self.tokens = [raw[i] for i in range(len(raw))] + [b""] * (vocab_size - len(raw))
        self.eot = eot
        self.cuts = "words" if parts["pre_tokenizer"].get("use_regex", True) else "nowhere"
        self.name = name or f"{self.kind}:{len(raw)}"
        self._written = bytelevel.rules(parts["model"])
        self._model = model
        model.encode_special_tokens = True  # a literal end mark in a text is text

    def encode(self, text: str) -> np.ndarray:
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        encodings = self._model.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array(encoding.ids, dtype=np.int64) for encoding in encodings]

    def _rules(self) -> Iterable[bytes]:
        return (rule.encode() for rule in self._written)

    def padded(self, vocab_size: int) -> "BytePairs":
        return type(self)(self.name, self._model, vocab_size)

    def _about(self) -> dict:
        return {"vocab_size": self.vocab_size}

    def _standard_json(self) -> str:
        return self._json


def train(size: int, texts: Iterable[str]) -> BytePairs:
    """The vocabulary `bpe:size` of a text: 256 bytes, the commonest pairs and the end mark."""
    from tokenizers import models, trainers

    model = bytelevel.byte_level(models.BPE())
    letters = sorted(bytelevel.letters())
    trainer = trainers.BpeTrainer(vocab_size=size - 1, show_progress=False, initial_alphabet=letters)
    model.train_from_iterator(texts, trainer)
    model.add_special_tokens([END_OF_TEXT])  # last, as in GPT-2
    if (found := model.get_vocab_size()) != size:
        raise ValueError(f"the text has only enough pairs for bpe:{found}, got bpe:{size}; take that, or more text")
    return BytePairs(f"bpe:{size}", model)


def from_merges(
    name: str | None, ids: Mapping[str, int], merges: Iterable[tuple[str, str]], source: str = "the two files of GPT-2"
) -> BytePairs:
    """A byte-level BPE from its parts: the id of each token in byte letters, and the pairs in order of their rank."""
    model = bytelevel.from_parts(ids, merges, f"{source} are no vocabulary")
    return tried(BytePairs(name, model), source)


def tried(made: BytePairs, source: str) -> BytePairs:
    """`made`, once it gave back a text, and its name is true: a training would take the name at its word."""
    text = "".join(map(chr, range(0x250))) + " the  end\r\n\t \u4f60\U0001f642 "
    ids = made.encode(text)
    if made.eot in ids or made.decode_bytes(ids) != text.encode():
        raise ValueError(f"{source} does not give back the text that it encodes; take a vocabulary like GPT-2's")
    num_tokens = made.num_tokens
    plain = made if made.vocab_size == num_tokens else made.padded(num_tokens)
    if made.name != f"{made.kind}:{num_tokens}" and (made.name != "gpt2" or plain.digest != GPT2_DIGEST):
        raise ValueError(f"{source} calls its {num_tokens} tokens {untrusted.shown(made.name)}, and they are not; "
                         "remove losslab_tokenizer.json, and it is read without a name")
    return made
