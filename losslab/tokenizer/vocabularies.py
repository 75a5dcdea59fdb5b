"""What every tokenizer can do, and the two whose tokens are simple: bytes and characters."""

import abc
import functools
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from losslab.tokenizer import bytelevel


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


def _code_points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), dtype="<u4")
