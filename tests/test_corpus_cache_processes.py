"""The cache of tokenized corpora among several processes, killed ones, and full disks."""

import errno
import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from corpus_folders import builds as builds
from corpus_folders import folders
from corpus_folders import path as path
from corpus_folders import root as root

from losslab.config import DataConfig
from losslab.corpus import Corpus, cache, disk

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
    monkeypatch.setattr(disk, "CHECK_BYTES", 1000)
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: SimpleNamespace(total=2 * 10**12, free=free))
    if free > 10:
        Corpus.open(DataConfig(corpus=path))
        return
    with pytest.raises(OSError, match="has only 0 MB left while many.txt is written to it; free some space") as caught:
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
