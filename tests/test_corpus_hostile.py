"""What is no text at all is answered with one sentence, and never waited for."""

import gzip
import os

import numpy as np
import pytest
from corpus_texts import GPT2_STORIES, refused, write
from corpus_texts import cache as cache
from hypothesis import given, settings
from hypothesis import strategies as st

from losslab.config import DataConfig
from losslab.corpus import Corpus, files
from losslab.tokenizer import END_OF_TEXT, make


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
    path, original = write(tmp_path / "many.txt", GPT2_STORIES), files.parts

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
    many = write(tmp_path / "many.txt", GPT2_STORIES)
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
