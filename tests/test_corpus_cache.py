"""The cache of tokenized corpora: written once, found again, mended, and never half there."""

import errno
import json
import subprocess
import sys
from contextlib import ExitStack

import numpy as np
import pytest

from losslab.config import DataConfig
from losslab.corpus import Corpus, build, cache
from losslab.tokenizer import END_OF_TEXT


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("LOSSLAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def path(tmp_path):
    documents = [f"Document {i}: " + "the fox went home. " * (i % 9 + 1) for i in range(200)]
    path = tmp_path / "many.txt"
    path.write_text("".join(f"{text}\n{END_OF_TEXT}\n" for text in documents))
    return str(path)


@pytest.fixture
def builds(monkeypatch):
    """The corpora that were built, not found."""
    found = []
    original = cache.seal
    monkeypatch.setattr(cache, "seal", lambda folder, meta: (found.append(meta["digest"]), original(folder, meta)))
    return found


def folders(root):
    return [entry for entry in (root / "corpora").iterdir() if entry.is_dir()]


def test_a_corpus_is_built_once_and_found_again(path, root, builds):
    first = Corpus.open(DataConfig(corpus=path, tokenizer="bpe:300"))
    again = Corpus.open(DataConfig(corpus=path, tokenizer="bpe:300"))
    assert builds == [first.digest] and first.folder == again.folder and first.digest == again.digest
    assert np.array_equal(first.stream("train"), again.stream("train"))
    names = {entry.name for entry in first.folder.iterdir()}
    shards = {f"{split}.{kind}" for split in ("train", "val", "tune") for kind in ("bin", "index.npy")}
    assert names == {"meta.json", "tokenizer"} | shards
    assert folders(root) == [first.folder]


def test_settings_have_corpora_of_their_own(path, builds):
    for config in ({}, {"val_bytes": 500}, {"tune_bytes": 500}, {"tokenizer": "bpe:300"}, {"tokenizer": "gpt2"}):
        Corpus.open(DataConfig(corpus=path, **config))
    assert len(builds) == 5


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "train.bin").write_bytes((folder / "train.bin").read_bytes()[:-1]),
        lambda folder: (folder / "val.index.npy").unlink(),
        lambda folder: (folder / "meta.json").write_text('{"format"'),
        lambda folder: (folder / "meta.json").unlink(),
        lambda folder: (folder / "tokenizer" / "losslab_tokenizer.json").write_text("{}"),
    ],
)
def test_a_damaged_corpus_is_built_again(path, root, builds, damage):
    before = Corpus.open(DataConfig(corpus=path))
    content = np.array(before.stream("train"))
    damage(before.folder)
    after = Corpus.open(DataConfig(corpus=path))
    assert len(builds) == 2 and after.digest == before.digest
    assert np.array_equal(after.stream("train"), content) and folders(root) == [after.folder]


OPEN = """
import json, sys
from losslab.config import DataConfig
from losslab.corpus import Corpus
said = []
print("ready", flush=True)
sys.stdin.readline()  # so that all start at once
config = DataConfig(corpus=sys.argv[1], tokenizer="bpe:400")
corpus = Corpus.open(config, progress=lambda what, done, total: said.append(what))
batch = corpus.batches("train", seed=1, batch_size=2, seq_len=8)(3)
print(json.dumps([corpus.digest, batch.tokens.tolist(), said]))
"""


def test_four_processes_that_want_the_same_corpus_build_it_once(path, root):
    command, pipe = [sys.executable, "-c", OPEN, path], subprocess.PIPE
    with ExitStack() as stack:
        started = [
            stack.enter_context(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)) for _ in range(4)
        ]
        assert [process.stdout.readline() for process in started] == ["ready\n"] * 4
        for process in started:
            process.stdin.write("go\n")
            process.stdin.flush()
        answers = [json.loads(process.communicate()[0]) for process in started]
    assert all(process.returncode == 0 for process in started)
    assert len({json.dumps(answer[:2]) for answer in answers}) == 1
    assert sum("training the tokenizer bpe:400" in said for _, _, said in answers) == 1
    assert len(folders(root)) == 1


def test_without_locks_the_loser_of_the_race_takes_the_winners_corpus(path, root, monkeypatch):
    monkeypatch.setattr(cache, "fcntl", None)
    original = cache.seal

    def another_process_is_faster(folder, meta):
        original(folder, meta)
        monkeypatch.setattr(cache, "seal", original)
        Corpus.open(DataConfig(corpus=path))

    monkeypatch.setattr(cache, "seal", another_process_is_faster)
    loser = Corpus.open(DataConfig(corpus=path))
    assert folders(root) == [loser.folder]


def test_what_a_killed_process_left_is_swept_away(path, root, builds):
    folder = Corpus.open(DataConfig(corpus=path)).folder
    abandoned = folder.with_name(f".{folder.name}.abc123")
    abandoned.mkdir()
    (folder / "meta.json").unlink()
    Corpus.open(DataConfig(corpus=path))
    assert folders(root) == [folder]


def test_a_full_disk_says_what_would_do_and_leaves_nothing(path, root, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(build, "_write_split", full)
    with pytest.raises(OSError, match=r"cache .*corpora cannot be written \(No space left.*LOSSLAB_CACHE") as caught:
        Corpus.open(DataConfig(corpus=path))
    assert "\n" not in str(caught.value) and folders(root) == []
    monkeypatch.undo()


def test_an_unwritable_cache_says_what_would_do(path, tmp_path, monkeypatch):
    monkeypatch.setenv("LOSSLAB_CACHE", path)  # a file, not a folder
    with pytest.raises(OSError, match="cannot be written .*set LOSSLAB_CACHE"):
        Corpus.open(DataConfig(corpus=path))


def test_a_corpus_in_an_unwritable_cache_can_still_be_read(path, monkeypatch):
    digest = Corpus.open(DataConfig(corpus=path)).digest

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(cache.Path, "mkdir", refuse)
    assert Corpus.open(DataConfig(corpus=path)).digest == digest


def test_bad_input_leaves_no_folder_behind(tmp_path, root):
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(ValueError, match="empty"):
        Corpus.open(DataConfig(corpus=str(tmp_path / "empty.txt")))
    assert folders(root) == []


def test_the_digest_of_a_big_file_is_remembered_until_it_changes(tmp_path, root, monkeypatch):
    import os
    import time

    monkeypatch.setattr(cache, "REMEMBER_BYTES", 1)
    big = tmp_path / "big.txt"
    big.write_text("one")
    first = cache.file_digest(big)
    assert not (root / "files").exists()  # changed a moment ago: not to be trusted yet
    old = time.time_ns() - 10**10
    os.utime(big, ns=(old, old))
    assert cache.file_digest(big) == first and len(list((root / "files").iterdir())) == 1
    monkeypatch.setattr(cache.hashlib, "file_digest", None)
    assert cache.file_digest(big) == first  # remembered
    monkeypatch.undo()
    monkeypatch.setenv("LOSSLAB_CACHE", str(root))
    big.write_text("two")
    assert cache.file_digest(big) != first


def test_progress_is_told_in_bytes(tmp_path):
    text = "".join(f"{'word ' * 1000}{i}\n{END_OF_TEXT}\n" for i in range(2000))
    (tmp_path / "large.txt").write_text(text)
    said = []
    Corpus.open(DataConfig(corpus=str(tmp_path / "large.txt")), progress=lambda *args: said.append(args))
    tokenizing = [(done, total) for what, done, total in said if what == "tokenizing large.txt"]
    assert tokenizing and tokenizing == sorted(tokenizing) and all(0 < done <= total for done, total in tokenizing)
    assert any(what == "reading large.txt" for what, _, _ in said)


def test_the_cache_follows_the_users_settings(monkeypatch):
    monkeypatch.setenv("LOSSLAB_CACHE", "/a/b")
    assert str(cache.root()) == "/a/b"
    monkeypatch.delenv("LOSSLAB_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert str(cache.root()) == "/x/losslab"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert str(cache.root()) == "/home/someone/.cache/losslab"
