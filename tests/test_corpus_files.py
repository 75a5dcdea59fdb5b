"""Text files as they come, and every way in which they are no corpus."""

import gzip
import json
import struct

import numpy as np
import pytest
from corpus_texts import GPT2_STORIES, refused, texts, write
from corpus_texts import cache as cache

from losslab.config import DataConfig
from losslab.corpus import Corpus
from losslab.tokenizer import END_OF_TEXT, make

# --- text --------------------------------------------------------------------------------------

def test_line_ends_of_windows_belong_to_the_text_but_not_to_the_mark(tmp_path):
    documents = [f"line {i}\r\nof a text\r" + "\r\n" * (i % 2) for i in range(50)]
    content = "".join(f"{text}\r\n{END_OF_TEXT}\r\n" for text in documents)
    (tmp_path / "dos.txt").write_bytes(content.encode())
    corpus = Corpus.open(DataConfig(corpus=str(tmp_path / "dos.txt")))
    assert sorted(sum((texts(corpus, split) for split in ("train", "val", "tune")), [])) == sorted(documents)


def test_a_mark_inside_a_line_is_text(tmp_path):
    documents = [f"document {i} speaks of {END_OF_TEXT} and continues" for i in range(50)]
    (tmp_path / "marks.txt").write_text("".join(f"{text}\n{END_OF_TEXT}\n" for text in documents))
    corpus = Corpus.open(DataConfig(corpus=str(tmp_path / "marks.txt"), tokenizer="gpt2"))
    assert corpus.tokenizer.eot not in np.concatenate([document.tokens for document in corpus.documents("train")])
    assert sum(len(corpus.documents(split)) for split in ("train", "val", "tune")) == 50


def test_the_last_document_needs_no_mark(tmp_path):
    documents = [f"number {i}" for i in range(50)]
    (tmp_path / "open.txt").write_text(f"\n{END_OF_TEXT}\n".join(documents) + "\n")
    corpus = Corpus.open(DataConfig(corpus=str(tmp_path / "open.txt")))
    assert sorted(sum((texts(corpus, split) for split in ("train", "val", "tune")), [])) == sorted(documents)


def test_a_packed_file_and_its_twin_count_once(tmp_path):
    content = "".join(f"{text}\n{END_OF_TEXT}\n" for text in GPT2_STORIES).encode()
    (tmp_path / "train.txt").write_bytes(content)
    (tmp_path / "train.txt.gz").write_bytes(gzip.compress(content))
    (tmp_path / "valid.txt").write_text("something else\n")
    corpus = Corpus.open(DataConfig(corpus=str(tmp_path)))
    assert len(corpus.documents("train")) + len(corpus.documents("tune")) == 200


# --- bad input ---------------------------------------------------------------------------------

@pytest.mark.parametrize("content", [b"", b"\n\n  \n", f"{END_OF_TEXT}\n{END_OF_TEXT}\n".encode()])
def test_an_empty_corpus_says_so(tmp_path, content):
    (tmp_path / "empty.txt").write_bytes(content)
    refused(tmp_path / "empty.txt", "empty.txt is empty; give it text")


def test_a_binary_file_says_where_it_is_binary(tmp_path):
    (tmp_path / "picture.txt").write_bytes(b"first line\nsecond\0line\n")
    refused(tmp_path / "picture.txt", "binary file .a NUL byte at offset 17.")


def test_other_encodings_say_which_byte(tmp_path):
    first = f"naïve\n{END_OF_TEXT}\n".encode()
    (tmp_path / "latin.txt").write_bytes(first + "caf\u00e9 au lait\n".encode("latin1"))
    refused(tmp_path / "latin.txt", f"not UTF-8 .byte 0xe9 at offset {len(first) + 3}.*iconv")


def test_a_broken_gzip_file_says_so(tmp_path):
    (tmp_path / "plain.txt.gz").write_text("not packed")
    refused(tmp_path / "plain.txt.gz", "not a whole gzip file")
    (tmp_path / "cut.txt.gz").write_bytes(gzip.compress(b"a long text " * 1000)[:-10])
    refused(tmp_path / "cut.txt.gz", "not a whole gzip file")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"content": "a", "id": 1}, "line 2 of .* has the keys 'content', 'id'"),
        ({"text": 5}, "`text` that is no string"),
        (["a"], "line 2 of .* has list"),
        ("{", "line 2 of .* has str"),
    ],
)
def test_rows_without_a_text_say_what_they_have(tmp_path, row, message):
    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": "fine"}) + "\n" + json.dumps(row) + "\n")
    refused(tmp_path / "rows.jsonl", message)


def test_rows_that_are_not_json_say_which_line(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"text": "fine"}\n\n{"text": \n')
    refused(tmp_path / "rows.jsonl", "line 3 of .* is not JSON")


def test_rows_nested_without_end_say_so(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"text": "fine"}\n{"text": ' + "[" * 500_000 + "\n")
    refused(tmp_path / "rows.jsonl", "line 2 of .* is not JSON .its brackets are nested too deeply")


def test_a_row_of_many_columns_names_a_few(tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps({f"column {i} {'x' * 500}": i for i in range(1000)}) + "\n")
    with pytest.raises(ValueError, match="and 992 more; a row is") as caught:
        Corpus.open(DataConfig(corpus=str(tmp_path / "rows.jsonl")))
    assert len(str(caught.value)) < 1000


def test_half_a_surrogate_pair_is_no_text(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"text": "fine"}\n{"text": "\\ud83d"}\n')
    refused(tmp_path / "rows.jsonl", "document 2 of rows.jsonl has half of a surrogate pair")


def test_no_validation_document_says_what_would_do(tmp_path):
    same = write(tmp_path / "same.txt", ["the same text"] * 50)
    refused(same, "no document for val and tune: it has 50 documents .1 distinct")
    two = write(tmp_path / "two.txt", ["one text", "another text"])
    refused(two, "no document for val and tune: it has 2 documents", val_bytes=0)
    many = write(tmp_path / "many.txt", GPT2_STORIES)
    refused(many, "no document for val: .*data.val_bytes=0", val_bytes=0)
    refused(many, "no document for tune: .*data.tune_bytes=3", tune_bytes=3)


def test_training_text_that_is_all_in_the_validation_file_leaves_nothing(tmp_path):
    write(tmp_path / "train.txt", GPT2_STORIES[:10])
    write(tmp_path / "valid.txt", GPT2_STORIES[:20])
    refused(tmp_path, "no document for tune and train")


@pytest.mark.parametrize("content", ["x", "five.", "a text of thirty characters..."])
def test_a_text_too_short_to_cut_says_so(tmp_path, content):
    (tmp_path / "short.txt").write_text(content)
    refused(tmp_path / "short.txt", "leaves no document for .*tune")


def test_a_split_shorter_than_a_context_says_which(tmp_path):
    corpus = Corpus.open(DataConfig(corpus=str(write(tmp_path / "many.txt", GPT2_STORIES))))
    corpus.check(256)
    with pytest.raises(ValueError, match=r"the tune split of many.txt has \d+ tokens, fewer than one context of 1024"):
        Corpus.open(DataConfig(corpus=str(tmp_path / "many.txt"), tune_bytes=500)).check(1024)
    with pytest.raises(ValueError, match="fewer than one context of 100000"):
        corpus.batches("train", seed=0, batch_size=1, seq_len=100_000)


def test_a_character_that_a_checkpoint_does_not_know_is_named(tmp_path):
    path = write(tmp_path / "many.txt", GPT2_STORIES)
    with pytest.raises(ValueError, match="the character '🙂'"):
        Corpus.open(DataConfig(corpus=str(path)), tokenizer=make("char", ["".join(GPT2_STORIES).replace("🙂", "")]))


def test_a_tokenizer_that_loses_text_is_refused(tmp_path):
    path = write(tmp_path / "many.txt", GPT2_STORIES)
    lossy = make("char", GPT2_STORIES)
    lossy.encode = lambda text: type(lossy).encode(lossy, text.replace("🙂", ""))
    with pytest.raises(ValueError, match="does not keep the text: document 1 of many.txt has 45 bytes and its tokens"):
        Corpus.open(DataConfig(corpus=str(path)), tokenizer=lossy)


@pytest.mark.parametrize(
    ("name", "message", "error"),
    [
        ("tale", "unknown corpus 'tale'; did you mean tales", ValueError),
        ("tinystorys", "did you mean tinystories", ValueError),
        ("somewhere/else/text.txt", "no file or folder somewhere/else/text.txt", FileNotFoundError),
        ("missing.jsonl", "no file or folder missing.jsonl", FileNotFoundError),
        ("/nowhere/at/all", "no file or folder /nowhere", FileNotFoundError),
    ],
)
def test_unknown_names_say_what_there_is(name, message, error):
    refused(name, message, error)


def test_an_unknown_tokenizer_is_found_before_any_text_is_read():
    refused("no such corpus", "unknown tokenizer 'gtp2'; did you mean gpt2", tokenizer="gtp2")


def test_an_unknown_suffix_says_which_are_known(tmp_path):
    (tmp_path / "text.md").write_text("a text")
    refused(tmp_path / "text.md", r"ends in .md, .*\.txt, \.txt\.gz")


@pytest.mark.parametrize(
    ("names", "message"),
    [([], "no train and no val"), (["train.txt"], "no val"), (["valid.txt"], "no train"), (["notes.md"], "no train")],
)
def test_a_folder_without_both_files_says_which_is_missing(tmp_path, names, message):
    folder = tmp_path / "set"
    folder.mkdir()
    for name in names:
        (folder / name).write_text("a text")
    refused(folder, message)


def test_a_folder_with_text_and_shards_is_ambiguous(tmp_path):
    for name in ("train.txt", "valid.txt", "train.bin"):
        (tmp_path / name).write_bytes(struct.pack("<HH", 1, 2))
    refused(tmp_path, "side by side")
