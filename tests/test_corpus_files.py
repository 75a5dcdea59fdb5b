"""Files as they come: token shards of other programs, and every way a text can be unusable."""

import gzip
import json
import os
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from losslab.config import DataConfig
from losslab.corpus import Corpus, files
from losslab.tokenizer import END_OF_TEXT, make

GPT2_STORIES = [f"Once upon a time, fox number {i} ran home 🙂." + " It slept." * (i % 7) for i in range(200)]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LOSSLAB_CACHE", str(tmp_path / "cache"))


def refused(path, message, error=ValueError, **config):
    """Opening `path` fails with one sentence that matches `message`, and leaves nothing behind."""
    with pytest.raises(error, match=message) as caught:
        Corpus.open(DataConfig(corpus=str(path), **config))
    assert "\n" not in str(caught.value) and type(caught.value) is error


# --- token shards ------------------------------------------------------------------------------

def ids_of(texts, *, mark_first=False):
    gpt2 = make("gpt2")
    parts = [np.append(ids, gpt2.eot) for ids in gpt2.encode_batch(texts)]
    ids = np.concatenate(parts)
    return np.concatenate([[gpt2.eot], ids[:-1]]) if mark_first else ids


def write_nanogpt(path, ids):
    np.asarray(ids, dtype="<u2").tofile(path)


def write_modded(path, ids, *, version=1, count=None):
    header = np.zeros(256, dtype="<i4")
    header[:3] = 20240520, version, len(ids) if count is None else count
    path.write_bytes(header.tobytes() + np.asarray(ids, dtype="<u2").tobytes())


def texts(corpus, split):
    return [corpus.tokenizer.decode(document.tokens) for document in corpus.documents(split)]


def test_nanogpt_shards_are_the_documents_that_were_written(tmp_path):
    write_nanogpt(tmp_path / "train.bin", ids_of(GPT2_STORIES[:150]))
    write_nanogpt(tmp_path / "val.bin", ids_of(GPT2_STORIES[150:]))
    corpus = Corpus.open(DataConfig(corpus=str(tmp_path), tokenizer="gpt2"))
    assert texts(corpus, "val") == GPT2_STORIES[150:]
    assert texts(corpus, "tune") == GPT2_STORIES[:150:50]
    assert texts(corpus, "train") == [text for i, text in enumerate(GPT2_STORIES[:150]) if i % 50]
    for document, text in zip(corpus.documents("val"), GPT2_STORIES[150:], strict=True):
        assert (document.num_bytes, document.num_words) == (len(text.encode()), len(text.split()))
        assert document.ends


def test_modded_nanogpt_shards_have_a_header_and_documents_across_them(tmp_path):
    train = ids_of(GPT2_STORIES[:150], mark_first=True)
    write_modded(tmp_path / "fineweb_train_000001.bin", train[:777])  # in the middle of a document
    write_modded(tmp_path / "fineweb_train_000002.bin", train[777:])
    write_modded(tmp_path / "fineweb_val_000000.bin", ids_of(GPT2_STORIES[150:], mark_first=True))
    corpus = Corpus.open(DataConfig(corpus=str(tmp_path), tokenizer="gpt2"))
    assert texts(corpus, "val") == GPT2_STORIES[150:]
    assert texts(corpus, "train") == [text for i, text in enumerate(GPT2_STORIES[:150]) if i % 50]
    assert [d.ends for d in corpus.documents("val")] == [True] * 49 + [False]  # no end mark came after the last


def test_a_single_shard_is_split_by_digest(tmp_path):
    write_nanogpt(tmp_path / "all.bin", ids_of(GPT2_STORIES))
    corpus = Corpus.open(DataConfig(corpus=str(tmp_path / "all.bin"), tokenizer="gpt2"))
    assert sorted(sum((texts(corpus, split) for split in ("train", "val", "tune")), [])) == sorted(GPT2_STORIES)


def test_a_shard_without_end_marks_is_split_by_position(tmp_path):
    ids = make("gpt2").encode(" ".join(GPT2_STORIES))
    write_nanogpt(tmp_path / "all.bin", ids)
    corpus = Corpus.open(DataConfig(corpus=str(tmp_path / "all.bin"), tokenizer="gpt2"))
    [val], [train] = corpus.documents("val"), corpus.documents("train")
    assert np.array_equal(val.tokens, ids[int(len(ids) * 0.9) :]) and not val.ends
    assert np.array_equal(train.tokens, ids[int(len(ids) * 0.02) : int(len(ids) * 0.9)])


def test_shards_give_the_corpus_of_their_text(tmp_path):
    """Same documents, same windows: only the digest knows that they came as tokens."""
    (tmp_path / "shards").mkdir()
    (tmp_path / "text").mkdir()
    for name, part in (("train", GPT2_STORIES[:150]), ("val", GPT2_STORIES[150:])):
        write_nanogpt(tmp_path / "shards" / f"{name}.bin", ids_of(part))
        (tmp_path / "text" / f"{name}.txt").write_text(
            "".join(f"{text}\n{END_OF_TEXT}\n" for text in part), encoding="utf-8"
        )
    one, other = (Corpus.open(DataConfig(corpus=str(tmp_path / k), tokenizer="gpt2")) for k in ("shards", "text"))
    for split in ("train", "val", "tune"):
        assert np.array_equal(one.stream(split), other.stream(split))
        assert np.array_equal(one.documents(split).index, other.documents(split).index)


class Poison:
    def __reduce__(self):
        return (print, ("a pickle was read",))


def test_a_pickle_beside_shards_is_never_read(tmp_path, capsys):
    write_nanogpt(tmp_path / "train.bin", ids_of(GPT2_STORIES[:150]))
    write_nanogpt(tmp_path / "val.bin", ids_of(GPT2_STORIES[150:]))
    (tmp_path / "meta.pkl").write_bytes(pickle.dumps(Poison()))
    Corpus.open(DataConfig(corpus=str(tmp_path), tokenizer="gpt2"))
    assert "pickle" not in capsys.readouterr().out


@pytest.mark.parametrize("tokenizer", ["bytes", "char", "bpe:300"])
def test_shards_need_the_tokenizer_they_were_written_with(tmp_path, tokenizer):
    write_nanogpt(tmp_path / "all.bin", ids_of(GPT2_STORIES))
    refused(tmp_path / "all.bin", "--tokenizer gpt2", tokenizer=tokenizer)


def test_shards_open_with_a_checkpoints_tokenizer(tmp_path):
    tokenizer = make("bpe:300", GPT2_STORIES)
    ids = np.concatenate([np.append(part, tokenizer.eot) for part in tokenizer.encode_batch(GPT2_STORIES)])
    write_nanogpt(tmp_path / "all.bin", ids)
    corpus = Corpus.open(DataConfig(corpus=str(tmp_path / "all.bin")), tokenizer=tokenizer)
    assert set(texts(corpus, "val")) < set(GPT2_STORIES)


def test_a_token_outside_the_vocabulary_is_an_error(tmp_path):
    write_nanogpt(tmp_path / "all.bin", [1, 2, 50_257, 50_256, 5])
    refused(tmp_path / "all.bin", "the token 50257, but gpt2 has only 50257", tokenizer="gpt2")


@pytest.mark.parametrize(
    ("change", "message"), [({"version": 7}, "version 7"), ({"count": 99}, "with 99 tokens, and 16 bytes")]
)
def test_a_header_that_does_not_fit_is_an_error(tmp_path, change, message):
    write_modded(tmp_path / "all.bin", range(8), **change)
    refused(tmp_path / "all.bin", message, tokenizer="gpt2")


def test_a_header_of_more_tokens_than_a_number_holds_is_an_error(tmp_path):
    write_modded(tmp_path / "all.bin", range(8), count=2**31 - 1)
    refused(tmp_path / "all.bin", "with 2147483647 tokens, and 16 bytes", tokenizer="gpt2")


def test_half_a_token_is_an_error(tmp_path):
    (tmp_path / "all.bin").write_bytes(b"\1\0\2")
    refused(tmp_path / "all.bin", "3 bytes, an odd number", tokenizer="gpt2")


# --- text --------------------------------------------------------------------------------------

def test_line_ends_of_windows_belong_to_the_text_but_not_to_the_mark(tmp_path):
    documents = [f"line {i}\r\nof a text\r" + "\r\n" * (i % 2) for i in range(50)]
    content = "".join(f"{text}\r\n{END_OF_TEXT}\r\n" for text in documents)
    (tmp_path / "dos.txt").write_bytes(content.encode())
    corpus = Corpus.open(DataConfig(corpus=str(tmp_path / "dos.txt")))
    assert sorted(sum((texts(corpus, split) for split in ("train", "val", "tune")), [])) == sorted(documents)


def test_a_mark_inside_a_line_is_text(tmp_path):
    documents = [f"document {i} speaks of {END_OF_TEXT} and goes on" for i in range(50)]
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


def document_file(path, documents):
    path.write_text("".join(f"{text}\n{END_OF_TEXT}\n" for text in documents))
    return path


def test_no_validation_document_says_what_would_do(tmp_path):
    same = document_file(tmp_path / "same.txt", ["the same text"] * 50)
    refused(same, "no document for val and tune: it has 50 documents .1 distinct")
    two = document_file(tmp_path / "two.txt", ["one text", "another text"])
    refused(two, "no document for val and tune: it has 2 documents", val_bytes=0)
    many = document_file(tmp_path / "many.txt", GPT2_STORIES)
    refused(many, "no document for val: .*data.val_bytes=0", val_bytes=0)
    refused(many, "no document for tune: .*data.tune_bytes=3", tune_bytes=3)


def test_training_text_that_is_all_in_the_validation_file_leaves_nothing(tmp_path):
    document_file(tmp_path / "train.txt", GPT2_STORIES[:10])
    document_file(tmp_path / "valid.txt", GPT2_STORIES[:20])
    refused(tmp_path, "no document for tune and train")


@pytest.mark.parametrize("content", ["x", "five.", "a text of thirty characters..."])
def test_a_text_too_short_to_cut_says_so(tmp_path, content):
    (tmp_path / "short.txt").write_text(content)
    refused(tmp_path / "short.txt", "leaves no document for .*tune")


def test_a_split_shorter_than_a_context_says_which(tmp_path):
    corpus = Corpus.open(DataConfig(corpus=str(document_file(tmp_path / "many.txt", GPT2_STORIES))))
    corpus.check(256)
    with pytest.raises(ValueError, match=r"the tune split of many.txt has \d+ tokens, fewer than one context of 1024"):
        Corpus.open(DataConfig(corpus=str(tmp_path / "many.txt"), tune_bytes=500)).check(1024)
    with pytest.raises(ValueError, match="fewer than one context of 100000"):
        corpus.batches("train", seed=0, batch_size=1, seq_len=100_000)


def test_a_character_that_a_checkpoint_does_not_know_is_named(tmp_path):
    path = document_file(tmp_path / "many.txt", GPT2_STORIES)
    with pytest.raises(ValueError, match="the character '🙂'"):
        Corpus.open(DataConfig(corpus=str(path)), tokenizer=make("char", ["".join(GPT2_STORIES).replace("🙂", "")]))


def test_a_tokenizer_that_loses_text_is_refused(tmp_path):
    path = document_file(tmp_path / "many.txt", GPT2_STORIES)
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


# --- what is no text at all ----------------------------------------------------------------------

@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_and_devices_are_not_waited_for(tmp_path):
    (tmp_path / "set").mkdir()
    for pipe in (tmp_path / "pipe.txt", tmp_path / "set" / "train.txt", tmp_path / "set" / "rows.parquet"):
        os.mkfifo(pipe)
    (tmp_path / "set" / "valid.txt").write_text("a text")
    (tmp_path / "zero.txt").symlink_to("/dev/zero")
    for name in ("pipe.txt", "zero.txt"):
        refused(tmp_path / name, f"{name} is no file and no folder, but a pipe or a device")
    refused(tmp_path / "set", "has no train file")


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b.txt", "~nobody-here/text.txt", "x/" * 3000 + "y.txt"])
def test_a_name_that_no_file_can_have_is_a_sentence(name):
    with pytest.raises((ValueError, OSError), match="unknown corpus|there is no file or folder"):
        Corpus.open(DataConfig(corpus=name))


def test_a_file_that_changes_while_it_is_read_is_no_corpus(tmp_path, monkeypatch):
    path, original = document_file(tmp_path / "many.txt", GPT2_STORIES), files.parts

    def write_meanwhile(paths):
        yield from original(paths)
        with open(path, "a") as file:
            file.write("more")

    monkeypatch.setattr(files, "parts", write_meanwhile)
    refused(path, "many.txt changed while it was read")


@pytest.mark.parametrize("sizes", [{"max_bytes": 10**15}, {"val_bytes": 10**15}, {"tune_bytes": 10**15}])
def test_endless_tales_are_refused(sizes):
    refused("tales", "tales are told up to 10,000,000,000 bytes, got data.max_bytes=", **sizes)


def test_absurd_sizes_and_vocabularies_are_sentences(tmp_path):
    many = document_file(tmp_path / "many.txt", GPT2_STORIES)
    corpus = Corpus.open(DataConfig(corpus=str(many), val_bytes=10**15, tune_bytes=10**15, max_bytes=10**15))
    assert 0 < corpus.num_bytes["val"] <= sum(corpus.num_bytes.values()) / 10
    refused(many, "only enough pairs for bpe:", tokenizer="bpe:20000")
    refused(many, "at most 1,048,576", tokenizer="bpe:99999999999")


SEEDS = {
    "a.txt": f"naïve text\n{END_OF_TEXT}\r\n🙂 another\n".encode() * 30,
    "a.jsonl": b'{"text": "na\\u00efve", "n": [1, {}]}\n' * 40,
    "a.txt.gz": gzip.compress(f"a text\n{END_OF_TEXT}\n".encode() * 40, mtime=0),
    "a.jsonl.gz": gzip.compress(b'{"text": "row"}\n' * 40, mtime=0),
    "a.bin": np.array([*range(500), 256] * 9, dtype="<u2").tobytes(),
    "b.bin": np.array([20240520, 1, 600], dtype="<i4").tobytes().ljust(1024, b"\0") + bytes(1200),
}
cuts = st.lists(st.tuples(st.integers(0, 10**4), st.integers(0, 40), st.binary(max_size=12)), min_size=1, max_size=4)


@settings(max_examples=120)
@given(name=st.sampled_from(sorted(SEEDS)), changes=cuts)
def test_no_file_gives_more_than_a_sentence(tmp_path_factory, name, changes):
    """Pieces of good files are cut out and others put in: a corpus, or one sentence."""
    folder = tmp_path_factory.getbasetemp() / "mutants"
    folder.mkdir(exist_ok=True)
    content = SEEDS[name]
    for at, length, new in changes:
        at %= len(content) + 1
        content = content[:at] + new + content[at + length :]
    (folder / name).write_bytes(content)
    given_tokenizer = make("bytes") if name.endswith(".bin") else None
    try:
        corpus = Corpus.open(DataConfig(corpus=str(folder / name)), tokenizer=given_tokenizer)
    except (ValueError, OSError) as error:
        assert "\n" not in str(error) and type(error) in (ValueError, OSError)
    else:
        assert sum(corpus.num_tokens.values()) > 0
