"""Text to token ids and back, with the exact number of bytes of every token.

Every vocabulary here is lossless and knows the raw bytes of each token, so that bits per byte divides by the bytes
that were really scored. Decoding one token and encoding it again is wrong for tokens that are not UTF-8 by themselves.
"""

import os
from collections.abc import Iterable
from pathlib import Path

from losslab import untrusted
from losslab.tokenizer import bytelevel, gpt2, pieces
from losslab.tokenizer.byte_pairs import BytePairs, from_merges, train, tried
from losslab.tokenizer.bytelevel import END_OF_TEXT
from losslab.tokenizer.vocabularies import Bytes, Characters, Tokenizer
from losslab.words import nearest

__all__ = [
    "END_OF_TEXT", "FIXED", "NAMES", "BytePairs", "Bytes", "Characters", "Tokenizer", "check_name", "from_merges",
    "load", "make",
]  # fmt: skip
NAMES = ("bytes", "char", "bpe:N", "wordpiece:N", "unigram:N", "gpt2")
MOST_TOKENS = 2**20  # of bpe:N; the trainer reserves their memory before it reads the text
TRAINED = {"bpe": train, "wordpiece": pieces.train_word_pieces, "unigram": pieces.train_unigrams}
LEAST = {"bpe": (257, "256 bytes and the end mark"),
         "wordpiece": (pieces.LEAST["wordpiece"], "256 bytes in both places of a word, and the end mark"),
         "unigram": (pieces.LEAST["unigram"], "256 bytes and the end mark")}  # fmt: skip
FIXED = ("bytes", "gpt2")  # the vocabularies that no text has to be read for


def make(name: str, texts: Iterable[str] | None = None) -> Tokenizer:
    """The tokenizer called `name`; `bytes` and `gpt2` are fixed, the others are made from `texts`."""
    check_name(name)
    if name == "bytes":
        return Bytes()
    if name == "gpt2":
        return gpt2.make()
    if texts is None:
        raise ValueError(f"the tokenizer {name} is made from a text and got none; `bytes` and `gpt2` need no text")
    kind, colon, size = name.partition(":")
    if colon:
        return TRAINED[kind](int(size), texts)
    characters: set[str] = set()
    for text in texts:
        characters.update(text)
    return Characters("".join(sorted(characters)))


def check_name(name: str) -> None:
    """An error unless `make` knows `name`."""
    kind, colon, size = name.partition(":")
    if kind in TRAINED:
        least, why = LEAST[kind]
        if not colon or not size.isdecimal() or not least <= int(size) <= MOST_TOKENS:
            raise ValueError(f"{kind}:N takes a whole number N of at least {least} ({why}) and at most "
                             f"{MOST_TOKENS:,}, got {name!r}")
    elif name not in NAMES:
        hint = nearest(name, NAMES, cutoff=0.4)
        raise ValueError(f"unknown tokenizer {name!r}{hint}; the tokenizers are {', '.join(NAMES)}")


def load(folder: str | Path, *, links_into: Path | None = None) -> Tokenizer:
    """The tokenizer that `save` wrote into `folder`, or any byte-level BPE in the standard `tokenizer.json`.

    Args:
        folder: whoever wrote it; every byte of its files is checked before it is used.
        links_into: see `untrusted.open_file`.

    Raises:
        ValueError: for files that are no tokenizer, or one whose tokens have not the bytes that they should have.
        FileNotFoundError: where there is no tokenizer.
    """
    folder = Path(folder)
    about_file, file = folder / "losslab_tokenizer.json", folder / "tokenizer.json"
    about = {}
    if os.path.lexists(about_file):
        try:
            about = untrusted.read_object(about_file, links_into=links_into)
            kinds = {"name": str, "characters": str, "vocab_size": int}
            for key, kind in kinds.items():
                if type(about.get(key, kind())) is not kind:
                    raise ValueError(f"{key} is {untrusted.shown(about[key])}")
        except ValueError as error:
            text = f"{about_file} does not describe a tokenizer; remove it, and {file} is read: {error}"
            raise ValueError(untrusted.one_line(text)) from None
    match about.get("name"):
        case "bytes":
            return Bytes()
        case "char":
            return Characters(about.get("characters", ""))
    if not os.path.lexists(file):
        raise FileNotFoundError(f"no tokenizer in {folder}: it has neither losslab_tokenizer.json nor tokenizer.json")
    model = bytelevel.read(file, links_into=links_into)
    return tried(pieces.of(model, about.get("name"), about.get("vocab_size", 0)), str(file))
