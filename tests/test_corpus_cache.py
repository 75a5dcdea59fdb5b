"""The cache of tokenized corpora: written once, found again, mended, and never half there."""

import errno
import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from losslab.config import DataConfig
from losslab.corpus import Corpus, build, cache, disk
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
    monkeypatch.setattr(disk, "fcntl", None)
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


def test_what_was_left_of_another_corpus_is_swept_away_unless_someone_builds_it(path, root):
    fcntl = pytest.importorskip("fcntl")
    (root / "corpora").mkdir(parents=True)
    left, built = (root / "corpora" / f".other-{name}.abc123" for name in ("one", "two"))
    left.mkdir()
    built.mkdir()
    (root / "corpora" / "other-one.lock").touch()
    with open(root / "corpora" / "other-two.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = Corpus.open(DataConfig(corpus=path)).folder
    assert sorted(folders(root)) == sorted([built, folder])


def test_a_lock_that_is_a_link_empties_no_other_file(path, root, tmp_path):
    folder = Corpus.open(DataConfig(corpus=path)).folder
    (folder / "meta.json").unlink()
    precious = tmp_path / "precious"
    precious.write_text("kept")
    lock = folder.with_name(f"{folder.name}.lock")
    lock.unlink()
    lock.symlink_to(precious)
    with pytest.raises(OSError, match="cannot be written"):
        Corpus.open(DataConfig(corpus=path))
    assert precious.read_text() == "kept"


@pytest.mark.skipif(sys.platform == "win32", reason="an open file keeps its name there")
def test_the_spool_has_no_name_that_could_stay(path, root, monkeypatch):
    seen, save = [], np.save

    def look(file, rows):
        seen.append(sorted(entry.name for entry in Path(file).parent.iterdir()))
        save(file, rows)

    monkeypatch.setattr(np, "save", look)
    Corpus.open(DataConfig(corpus=path))
    assert len(seen) == 3
    assert {name.partition(".")[0] for names in seen for name in names} == {"train", "val", "tune"}


END = """
import os, signal, sys
import numpy
from losslab.config import DataConfig
from losslab.corpus import Corpus
original = numpy.save

def write_and_be_ended(*given):
    original(*given)
    os.kill(os.getpid(), signal.SIGTERM)

numpy.save = write_and_be_ended
Corpus.open(DataConfig(corpus=sys.argv[1]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there a process is ended without being asked")
def test_a_process_that_is_asked_to_end_leaves_nothing(path, root):
    ended = subprocess.run([sys.executable, "-c", END, path], capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (-15, "") and folders(root) == []


@pytest.mark.parametrize("free", [10, 10**12])
def test_a_disk_is_not_filled_to_the_brim(path, root, monkeypatch, free):
    monkeypatch.setattr(disk, "ROOM_BYTES", 1000)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(total=2 * 10**12, free=free))
    if free > 10:
        Corpus.open(DataConfig(corpus=path))
        return
    with pytest.raises(OSError, match="has only 0 MB left while many.txt is written to it; make room") as caught:
        Corpus.open(DataConfig(corpus=path))
    assert "\n" not in str(caught.value) and folders(root) == []


def test_a_full_disk_says_what_would_do_and_leaves_nothing(path, root, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "save", full)
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

    monkeypatch.setattr(disk.Path, "mkdir", refuse)
    assert Corpus.open(DataConfig(corpus=path)).digest == digest


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
