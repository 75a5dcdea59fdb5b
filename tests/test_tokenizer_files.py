"""Files of vocabularies: which are read, and which are refused."""

import json
import os

import pytest
from token_texts import TEXTS

from losslab.tokenizer import END_OF_TEXT, load, make


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
