"""Byte-level BPE files of the `tokenizers` library: how they are checked, and the exact bytes of every token.

The library reads the file; whether each token stands for the bytes that it says is checked here, because bits per
byte divides by them.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from losslab import untrusted

END_OF_TEXT = "<|endoftext|>"
INSIDE = "\u2581"  # stands before a token of WordPiece that is not at the beginning of a word; no byte has this letter
LONGEST_WORD = 64  # letters that WordPiece and Unigram read at once: WordPiece takes the square of it in time
MOST_TOKENS = 2**22  # of a vocabulary, and of the rows of a table that it is padded to


def read(file: Path, *, links_into: Path | None = None):
    """The `tokenizers.Tokenizer` in a `tokenizer.json`.

    Raises:
        ValueError: for what is no such file; it names it.
    """
    import tokenizers

    raw = untrusted.read_bytes(file, untrusted.MOST_JSON_BYTES, links_into=links_into)
    found = untrusted.parse_json(raw, str(file))
    problem = f"{file} is not a readable tokenizer"
    model = found.get("model") if isinstance(found, dict) else None
    if not isinstance(model, dict):
        raise ValueError(untrusted.one_line(f"{problem}: it holds no model"))
    if isinstance(vocabulary := model.get("vocab"), dict):
        check_ids(vocabulary, problem)
    return built(lambda: tokenizers.Tokenizer.from_str(raw.decode("utf-8")), problem)


def from_parts(ids: Mapping[str, int], merges: Iterable[tuple[str, str]], problem: str):
    """The `tokenizers.Tokenizer` of a vocabulary and its merges, the end mark added where it lacks."""
    from tokenizers import models

    check_ids(ids, problem)
    model = built(lambda: byte_level(models.BPE(dict(ids), list(merges))), problem)
    model.add_special_tokens([END_OF_TEXT])
    return model


def built(make: Callable, problem: str):
    """What `make` makes with the library, which has no error class, and at times panics."""
    try:
        return make()
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise ValueError(untrusted.one_line(f"{problem}: {error}")) from None


def check_ids(ids: Mapping[str, object], problem: str) -> None:
    """Every token has its own id: with two on one id, what is encoded is not what is decoded."""
    if len(ids) > MOST_TOKENS:
        raise ValueError(untrusted.one_line(f"{problem}: it has {len(ids):,} tokens, more than {MOST_TOKENS:,}"))
    if not all(type(i) is int and 0 <= i < MOST_TOKENS for i in ids.values()) or len(set(ids.values())) < len(ids):
        raise ValueError(untrusted.one_line(f"{problem}: its ids are not numbers from 0, each used once"))


def byte_level(model):
    """A tokenizer as GPT-2's around a model of the library."""
    import tokenizers
    from tokenizers import decoders, pre_tokenizers, processors

    whole = tokenizers.Tokenizer(model)
    whole.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    whole.decoder = decoders.ByteLevel()
    whole.post_processor = processors.ByteLevel(trim_offsets=False)
    return whole


def in_words(model):
    """A tokenizer that reads words as GPT-2's, long ones in parts, around a WordPiece or a Unigram of the library."""
    from tokenizers import Regex, decoders, pre_tokenizers

    whole = byte_level(model)
    parts = pre_tokenizers.Split(Regex(f"[\\s\\S]{{1,{LONGEST_WORD}}}"), "isolated")
    whole.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.ByteLevel(add_prefix_space=False), parts])
    whole.decoder = decoders.Sequence([decoders.Replace(INSIDE, ""), decoders.ByteLevel()])
    return whole


def rules(model: dict) -> list[str]:
    """What decides an encoding besides the bytes of the tokens, of the `model` of a `tokenizer.json`."""
    if model["type"] == "BPE":
        return [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    if model["type"] == "WordPiece":
        return sorted(token for token in model["vocab"] if token.startswith(INSIDE))
    return [f"{piece} {score!r}" for piece, score in model["vocab"]]


def raw_tokens(parts: dict) -> dict[int, bytes]:
    """The bytes of every id of a `tokenizer.json`, nothing for marks; an error where they are not known exactly."""
    if parts["model"]["type"] in ("WordPiece", "Unigram"):
        return _raw_pieces(parts)
    pre, model = parts["pre_tokenizer"] or {}, parts["model"]
    if model["type"] != "BPE" or parts["normalizer"] or pre.get("type") != "ByteLevel":
        raise ValueError(
            "the tokenizer.json is not a byte-level BPE without a normalizer, so the bytes of its tokens are not "
            "known exactly; GPT-2's kind of vocabulary would do"
        )
    byte_of = {letter: byte for byte, letter in enumerate(letters())}
    ids, added = model["vocab"], {token["content"]: token for token in parts["added_tokens"]}
    text = [token for token in added if not added[token]["special"]]
    wrong = [token for token in ids if token not in added and not byte_of.keys() >= set(token)]
    made = byte_of.keys() | {"".join(pair if isinstance(pair, list) else pair.split(" ")) for pair in model["merges"]}
    if model.get("ignore_merges"):  # then a whole word can give any token
        made |= ids.keys()
    marks = [token for token in added if token in made]
    problem = (
        f"{untrusted.shown(text[0])} is added to it and found in text" if text
        else f"{untrusted.shown(marks[0])} is a mark in it, and text as well" if marks
        else f"{untrusted.shown(wrong[0])} is not written in the letters of bytes" if wrong
        else "it lacks some of the 256 bytes" if not ids.keys() >= byte_of.keys()
        else "it puts a space before a text" if pre.get("add_prefix_space")
        else "it drops merges at random" if model.get("dropout")
        else "it marks the inside or the end of a word"
        if model.get("continuing_subword_prefix") or model.get("end_of_word_suffix")
        else ""
    )
    if problem:
        raise ValueError(f"the tokenizer.json is not exact: {problem}; take a vocabulary like GPT-2's")
    raw = {i: bytes(map(byte_of.__getitem__, token)) for token, i in ids.items() if token not in added}
    raw |= {token["id"]: b"" for token in added.values()}
    if raw.keys() != set(range(len(raw))):
        raise ValueError(f"the tokenizer.json has {len(raw)} ids with gaps between them; number them from 0")
    return raw


def _raw_pieces(parts: dict) -> dict[int, bytes]:
    """`raw_tokens` of a WordPiece or a Unigram, which has to be put together as `in_words` does."""
    import tokenizers

    model, kind = parts["model"], parts["model"]["type"]
    expected = json.loads(in_words(getattr(tokenizers.models, kind)()).to_str())
    byte_of = {letter: byte for byte, letter in enumerate(letters())}
    pieces = [piece for piece, _ in model["vocab"]] if kind == "Unigram" else list(model["vocab"])
    ids = {piece: i for i, piece in enumerate(pieces)} if kind == "Unigram" else model["vocab"]
    marks = {token["content"]: token for token in parts["added_tokens"]}
    inside = INSIDE if kind == "WordPiece" else ""
    needed = byte_of.keys() | {inside + letter for letter in byte_of}
    wrong = [piece for piece in pieces if piece not in marks and not (
        (bare := piece.removeprefix(inside)) and byte_of.keys() >= set(bare))]
    problem = (
        "it reads words in another way than GPT-2's, or in longer parts"
        if any(parts[name] != expected[name] for name in ("normalizer", "pre_tokenizer", "decoder"))
        else f"{untrusted.shown(wrong[0])} is not written in the letters of bytes" if wrong
        else "it lacks some of the 256 bytes" if not set(pieces) >= needed
        else "it has a piece twice" if len(ids) < len(pieces)
        else "it gives up on a long word" if kind == "WordPiece" and model["max_input_chars_per_word"] < LONGEST_WORD
        else f"it marks the inside of a word by another sign than {INSIDE}"
        if kind == "WordPiece" and model["continuing_subword_prefix"] != INSIDE
        else "it writes unknown text as bytes" if model.get("byte_fallback")
        else next((f"{untrusted.shown(mark)} is a piece and a mark" for mark in marks if mark in ids
                   or not marks[mark]["special"]), "")
    )
    if problem:
        raise ValueError(f"the tokenizer.json is not exact: {problem}; take one that losslab has written")
    raw = {i: bytes(map(byte_of.__getitem__, piece.removeprefix(inside))) for piece, i in ids.items()}
    raw |= {token["id"]: b"" for token in marks.values()}
    if raw.keys() != set(range(len(raw))):
        raise ValueError(f"the tokenizer.json has {len(raw)} ids with gaps between them; number them from 0")
    return raw


def letters() -> list[str]:
    """The printable letter that stands for each byte in a byte-level vocabulary (GPT-2's own alphabet)."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    rest = iter(range(256, 512))
    return [chr(byte if byte in printable else next(rest)) for byte in range(256)]


def standard_json(model: dict, pre_tokenizer: dict, decoder: dict, eot: int) -> str:
    """A file of the `tokenizers` library, written without it: a machine with the numeric core alone can save too."""
    end = {"id": eot, "content": END_OF_TEXT, "single_word": False, "lstrip": False, "rstrip": False,
           "normalized": False, "special": True}  # fmt: skip
    return json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [end], "normalizer": None,
        "pre_tokenizer": pre_tokenizer, "post_processor": None, "decoder": decoder, "model": model,
    })  # fmt: skip
