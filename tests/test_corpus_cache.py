"""The cache of tokenized corpora: written once, found again, mended, and never half there."""

import numpy as np
import pytest
from corpus_folders import builds as builds
from corpus_folders import folders
from corpus_folders import path as path
from corpus_folders import root as root
from hypothesis import given, settings
from hypothesis import strategies as st

from losslab.config import DataConfig
from losslab.corpus import Corpus, build, disk
from losslab.tokenizer import END_OF_TEXT


def test_a_corpus_is_built_once_and_found_again(path, root, builds):
    first = Corpus.open(DataConfig(corpus=path, tokenizer="bpe:300"))
    again = Corpus.open(DataConfig(corpus=path, tokenizer="bpe:300"))
    assert builds == [first.digest] and first.folder == again.folder and first.digest == again.digest
    assert np.array_equal(first.stream("train"), again.stream("train"))
    names = {entry.name for entry in first.folder.iterdir()}
    shards = {f"{split}.{kind}" for split in ("train", "val", "tune") for kind in ("bin", "index.npy")}
    assert names == {"meta.json", "tokenizer"} | shards
    assert folders(root) == [first.folder]


def test_settings_have_their_own_corpora(path, builds):
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
        lambda folder: (folder / "meta.json").write_text("[" * 100_000),
        lambda folder: (folder / "meta.json").write_text("[]"),
        lambda folder: (folder / "tokenizer" / "losslab_tokenizer.json").write_text("{}"),
    ],
)
def test_a_damaged_corpus_is_built_again(path, root, builds, damage):
    before = Corpus.open(DataConfig(corpus=path))
    content = np.array(before.stream("train"))
    damage(before.folder)
    said = []
    after = Corpus.open(DataConfig(corpus=path), progress=lambda *news: said.append(news))
    assert len(builds) == 2 and after.digest == before.digest
    assert np.array_equal(after.stream("train"), content) and folders(root) == [after.folder]
    assert said[0][0].startswith("the cached corpus many.txt is damaged (") and said[0][1:] == (0, 0)


def content_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def flip(file, at, bit=0):
    content = bytearray(file.read_bytes())
    content[at % len(content)] ^= 1 << bit
    file.write_bytes(content)


@settings(max_examples=40)
@given(data=st.data(), at=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_no_flipped_bit_in_the_cache_stays(tmp_path_factory, data, at, bit):
    home = tmp_path_factory.getbasetemp() / "flips"
    home.mkdir(exist_ok=True)
    text = home / "many.txt"
    text.write_text("".join(f"Document {i} of foxes\n{END_OF_TEXT}\n" for i in range(60)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOSSLAB_CACHE", str(home))
        config = DataConfig(corpus=str(text), tokenizer="bpe:260")
        folder = Corpus.open(config).folder
        before, said = content_of(folder), []
        name = data.draw(st.sampled_from(sorted(before)))
        flip(folder / name, at, bit)
        Corpus.open(config, progress=lambda what, *_: said.append(what))
        assert f"the cached corpus many.txt is damaged ({name} is not what was written); it is made again" in said
        assert content_of(folder) == before


def test_damage_that_cannot_be_mended_is_one_sentence(path, monkeypatch):
    corpus = Corpus.open(DataConfig(corpus=path))
    flip(corpus.folder / "tune.bin", 7)

    def gone(*_):
        raise ConnectionError("the hub cannot be reached")

    monkeypatch.setattr(build, "write", gone)
    with pytest.raises(ConnectionError) as caught:
        Corpus.open(DataConfig(corpus=path))
    assert str(caught.value) == (
        "the cached corpus many.txt is damaged (tune.bin is not what was written) and cannot be made again: the hub "
        "cannot be reached"
    )


def test_a_big_shard_is_read_once_by_a_process_and_again_before_a_verdict(path, monkeypatch):
    import os

    monkeypatch.setattr(disk, "REMEMBER_BYTES", 1)
    corpus = Corpus.open(DataConfig(corpus=path))
    Corpus.open(DataConfig(corpus=path)).verify()
    shard = corpus.folder / "val.bin"
    stat = shard.stat()
    flip(shard, 9)
    os.utime(shard, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # what a disk does to a file leaves its times
    Corpus.open(DataConfig(corpus=path))
    with pytest.raises(ValueError, match=r"damaged \(val.bin is not what was written\), so what was") as caught:
        corpus.verify()
    assert "\n" not in str(caught.value)
    flip(shard, 10)  # and now its time moves
    Corpus.open(DataConfig(corpus=path)).verify()


def test_files_of_a_run_need_not_be_compared_again(path, builds):
    folder = Corpus.open(DataConfig(corpus=path)).folder
    flip(folder / "train.bin", 5)
    Corpus.open(DataConfig(corpus=path), verify=False)
    assert len(builds) == 1


def test_bad_input_leaves_no_folder_behind(tmp_path, root):
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(ValueError, match="empty"):
        Corpus.open(DataConfig(corpus=str(tmp_path / "empty.txt")))
    assert folders(root) == []


def test_the_digest_of_a_big_file_is_remembered_until_it_changes(tmp_path, root, monkeypatch):
    import os
    import time

    monkeypatch.setattr(disk, "REMEMBER_BYTES", 1)
    big = tmp_path / "big.txt"
    big.write_text("one")
    first = disk.file_digest(big)
    assert not (root / "files").exists()  # changed a moment ago: not to be trusted yet
    old = time.time_ns() - 10**10
    os.utime(big, ns=(old, old))
    assert disk.file_digest(big) == first and len(list((root / "files").iterdir())) == 1
    monkeypatch.setattr(disk.hashlib, "file_digest", None)
    assert disk.file_digest(big) == first  # remembered
    monkeypatch.undo()
    monkeypatch.setenv("LOSSLAB_CACHE", str(root))
    big.write_text("two")
    assert disk.file_digest(big) != first


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
    assert str(disk.root()) == "/a/b"
    monkeypatch.delenv("LOSSLAB_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert str(disk.root()) == "/x/losslab"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert str(disk.root()) == "/home/someone/.cache/losslab"
