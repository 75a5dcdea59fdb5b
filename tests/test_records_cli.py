"""runs list, show, rm, tag: what people read of a store, what programs read, and an index that may be anything."""

import dataclasses
import hashlib
import json
import os
import sqlite3
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from record_runs import RESULT, write_run

from losslab import cli, records
from losslab.cli import listing, showing
from losslab.records import choosing, index


def losslab(*arguments):
    with pytest.raises(SystemExit) as exit:
        cli.main(list(map(str, arguments)))
    return exit.value.code


def scored(value):
    return RESULT | {"scores": {"nll": {"value": value, "stderr": 0.01, "n": 8, "unit": "nats/token"}}}


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Two losses, two learning rates; a diverged, a stopped and a waiting run, and a file that is none."""
    monkeypatch.chdir(tmp_path)
    write_run("store/a", "cross_entropy", 0, scored(1.5))
    write_run("store/b", "cross_entropy", 1, scored(1.25), learning_rate=0.002)
    write_run("store/c", "squentropy", 10, scored(float("inf")))
    write_run("store/d", "focal", 0, {"status": "diverged", "step": 3})
    write_run("store/e", "focal", 1, None)
    write_run("store/f", "focal", 2, None, lines=0)
    records.tag("store/b", ["best", "kept"])
    (tmp_path / "store" / "report.html").write_text("")
    return tmp_path / "store"


def test_the_list_has_a_heading_and_aligned_columns(store, capsys):
    assert losslab("runs", "list", "store") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["status", "nll", "seed", "loss", "learning_rate", "corpus", "condition", "tags", "run"]
    rows = [line.split() for line in lines[1:]]
    assert [row[:5] for row in rows] == [
        ["finished", "1.5000", "0", "cross_entropy", "0.004"], ["finished", "1.2500", "1", "cross_entropy", "0.002"],
        ["finished", "inf", "10", "squentropy", "0.004"], ["diverged", "-", "0", "focal", "0.004"],
        ["stopped", "-", "1", "focal", "0.004"], ["waiting", "-", "2", "focal", "0.004"]]
    assert rows[1][-2:] == ["best,kept", "store/b"]
    ends = {line[: lines[0].index("seed") + 4][-1] for line in lines[1:]}
    assert ends <= set("0123456789")  # numbers end below each other


def test_a_folder_of_stores_is_told_from_a_store(store, capsys):
    assert losslab("report", ".") == 2
    assert capsys.readouterr().err == "error: . holds no run, but store holds 6; give that store\n"


@pytest.mark.parametrize(("flags", "runs"), [
    (["--sort", "nll"], "bacdef"), (["--sort", "learning-rate"], "bacdef"), (["--sort", "loss"], "abdefc"),
    (["--filter", "status=finished", "--filter", "loss=cross_entropy"], "ab"), (["--filter", "tag=kept"], "b"),
    (["--filter", "train.learning_rate=2e-3"], "b"), (["--filter", "learning_rate=0.004", "--sort", "seed"], "adefc"),
    (["--filter", "nll=-"], "def"),
])
def test_sorting_and_filtering(store, capsys, flags, runs):
    assert losslab("runs", "list", "store", "--json", *flags) == 0
    found = json.loads(capsys.readouterr().out)["runs"]
    assert "".join(row["run"][-1] for row in found) == runs
    assert {row["nll"] for row in found} <= {1.5, 1.25, None}  # an infinite one is no JSON
    assert all(row["settings"]["train.betas"] == [0.9, 0.99] for row in found)


def test_what_is_no_column_or_filter_is_said(store, capsys):
    for flags, says in ((["--sort", "learning_rat"], "did you mean"), (["--filter", "nll"], "takes KEY=VALUE"),
                        (["--filter", "batch_size=1"], "it may be train.batch_size or evaluate.batch_size")):
        assert losslab("runs", "list", "store", *flags) == 2
        assert says in capsys.readouterr().err
    assert losslab("runs", "list", "store", "--filter", "loss=mse") == 0
    assert capsys.readouterr().out == "no runs in store with loss=mse\n"


def test_a_narrow_terminal_cuts_the_loss_and_no_number():
    row = index.Row("runs/one-seed0", "finished", "cross_entropy + 0.0001*z_loss + 0.5*squentropy", 123456, "c" * 12,
                    "tales", "d", 1.23456, (), {"train.learning_rate": 0.002})
    runs = [choosing.values(row), choosing.values(dataclasses.replace(row, settings={"train.learning_rate": 0.25}))]
    wide, narrow, narrowest = (listing.table(runs, columns=n, colour=False).splitlines() for n in (None, 100, 40))
    assert "0.5*squentropy" in wide[1] and max(map(len, narrow)) == 100
    assert "cross_entr…squentropy" in narrow[1] and "runs/one-seed0" in narrow[1]
    assert all("1.2346  123456  cross_e…ntropy" in line for line in narrowest[1:]) and "0.25" in narrowest[2]
    assert "\033[32mfinished\033[0m" in listing.table(runs, columns=None, colour=True)


def test_colours_are_for_terminals_that_want_them(monkeypatch):
    monkeypatch.setattr(listing.sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert listing.terminal() == (70, True)
    monkeypatch.setenv("NO_COLOR", "1")
    assert listing.terminal() == (70, False)


def test_untrusted_names_do_not_reach_the_terminal_raw(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_run("store/\x1b[2Jrun", "evil\x1b]0;owned\x07\n\u202eloss")
    write_run("store/bad", "mse")
    (tmp_path / "store/bad/spec.json").write_text('{"format": "\\u001b[31m"}')
    for command in (["list", "store"], ["show", "store/\x1b[2Jrun"], ["tag", "store/\x1b[2Jrun", "x"],
                    ["show", "store/bad"], ["rm", "store/\x1b[2Jrun", "--yes"]):
        losslab("runs", *command)
        out, err = capsys.readouterr()
        assert all(line.isprintable() for line in (out + err).splitlines()), command
        if command[0] == "list":
            assert r"evil\x1b]0;owned\x07\n\u202eloss" in out and len(out.splitlines()) == 3
            assert "unreadable  " in out and err.startswith("unreadable: store/bad/spec.json is damaged")


def test_a_run_is_shown_in_sections(store, capsys):
    assert losslab("runs", "show", "store/b") == 0
    out = capsys.readouterr().out
    sections = [line for line in out.splitlines() if line and not line.startswith(" ")]
    assert sections == ["run", "settings that differ from the preset tiny", "scores", "cost", "machine", "files",
                        "problems found"]
    assert "train.learning_rate  0.002" in out and "nll          1.250 ± 0.010 (n=8) nats/token" in out
    assert "best, kept" in out and "spec.json" in out and "3 lines" in out and "training" in out
    with open("store/b/log.jsonl", "a") as file:
        file.write("{}\n")
    problems = showing.problems(records.read("store/b"))
    assert "store/b/log.jsonl was changed after the run ended" in problems[0]
    assert "model.safetensors is missing" in problems[1]
    assert losslab("runs", "show", "store/b", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["problems"] == problems and document["tags"] == ["best", "kept"]


def test_removing_asks_or_is_told(store, capsys, monkeypatch):
    assert losslab("runs", "rm", "store/a") == 2
    assert "--yes removes without asking" in capsys.readouterr().err and (store / "a").exists()
    assert losslab("runs", "rm", "store/a", "store", "--yes") == 2
    assert "store is not a run folder" in capsys.readouterr().err and (store / "a").exists()  # all, or none
    assert losslab("runs", "rm", "store/a", "store/b", "--yes") == 0
    assert sorted(os.listdir(store)) == ["c", "d", "e", "f", "report.html"]


def test_a_corpus_is_described_for_people():
    text = showing.corpus({"name": "x\x1b", "digest": "c0ffee", "floor_bits_per_byte": None, "dropped_documents": 1234,
                           "splits": {"train": {"documents": 10, "bytes": 123456}, "val": {"documents": 2, "bytes": 7}},
                           "sample": "One.\nTwo.\x1b[2J"})
    assert text == ("corpus\n  name               x\\x1b\n  digest             c0ffee\n  dropped documents  1234\n\n"
                    "splits\n  split  documents    bytes\n  train         10  123,456\n  val            2        7\n\n"
                    "begins\n  One.\n  Two.\\x1b[2J")


# --- the index ---------------------------------------------------------------------------------

def test_the_index_says_what_the_folders_say_and_follows_them(store, monkeypatch):
    fresh = index.rows("store")
    assert not (store / index.NAME).exists()  # a small store is left as it is
    monkeypatch.setattr(index, "WORTH_KEEPING", 1)
    assert index.rows("store") == fresh and (store / index.NAME).exists()
    with monkeypatch.context() as patch:
        patch.setattr(index, "read_spec", None)  # all of it is known now
        assert index.rows("store") == fresh
    records.tag("store/a", ["new"])
    records.remove("store/b")
    records.write_result("store/e", scored(0.5))
    write_run("store/g", "mse", 7, scored(2.0))
    rows = {row.path: row for row in index.rows("store")}
    assert rows["store/a"].tags == ("new",) and "store/b" not in rows and rows["store/e"].nll == 0.5
    assert rows["store/g"].loss == "mse" and rows["store/f"].status == "waiting"
    with records.lock("store/f"):
        assert {row.path: row.status for row in index.rows("store")}["store/f"] == "running"


def forged(path, statement):
    """An index with another content, as somebody else may leave one."""
    path.write_bytes(path.read_bytes()[: -index.DIGEST_BYTES])
    with sqlite3.connect(path) as database:
        database.execute(statement)
    database.close()
    data = path.read_bytes()
    path.write_bytes(data + hashlib.sha256(data).digest())


@pytest.mark.parametrize("damage", [
    lambda path: path.write_bytes(b"no index"), lambda path: path.write_bytes(path.read_bytes()[:5000]),
    lambda path: path.write_bytes(path.read_bytes().replace(b"cross_entropy", b"\xff" * 13)),
    lambda path: forged(path, "UPDATE runs SET seed = 'x'"),
    lambda path: forged(path, "UPDATE settings SET named = '[]'"),
    lambda path: forged(path, "UPDATE settings SET named = NULL"),
    lambda path: forged(path, "UPDATE runs SET tags = NULL"), lambda path: forged(path, "DELETE FROM settings"),
    lambda path: forged(path, "CREATE VIEW v AS SELECT 1"), lambda path: forged(path, "DROP TABLE runs"),
    lambda path: (path.unlink(), os.mkfifo(path)), lambda path: (path.unlink(), path.mkdir()),
    lambda path: (path.unlink(), path.symlink_to(path.parent / "report.html")),
])
def test_any_index_that_cannot_be_believed_is_made_again(store, monkeypatch, damage):
    monkeypatch.setattr(index, "WORTH_KEEPING", 1)
    fresh = index.rows("store")
    damage(store / index.NAME)
    assert index.rows("store") == fresh == index.rows("store")
    assert (store / "report.html").read_text() == ""


def test_no_turned_bit_of_an_index_is_another_score(store, monkeypatch):
    monkeypatch.setattr(index, "WORTH_KEEPING", 1)
    fresh = index.rows("store")
    whole = (store / index.NAME).read_bytes()
    at = whole.index(struct.pack(">d", next(row.nll for row in fresh if row.nll)))  # as SQLite keeps a number
    for place in (at + 1, at + 7, len(whole) - 1, 20):
        (store / index.NAME).write_bytes(whole[:place] + bytes([whole[place] ^ 2]) + whole[place + 1 :])
        assert index.rows("store") == fresh


def test_a_store_whose_index_cannot_be_kept_is_listed_all_the_same(store, monkeypatch):
    monkeypatch.setattr(index, "WORTH_KEEPING", 1)
    fresh = index.rows("store")
    os.unlink(store / index.NAME)

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(index.files, "write_whole", full)
    assert index.rows("store") == fresh
    monkeypatch.setattr(index, "sqlite3", None)
    assert index.rows("store") == fresh


def test_only_the_index_speaks_to_a_database():
    files = Path(cli.__file__).parent.parent.rglob("*.py")
    assert [file.name for file in files if "sqlite3" in file.read_text(encoding="utf-8")] == ["index.py"]


def test_a_reader_that_has_enough_ends_a_command_in_silence(tmp_path, monkeypatch):
    for number in range(3):
        write_run(tmp_path / "store" / ("x" * 100 + str(number)), seed=number)
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "losslab.cli", "runs", "list", str(tmp_path / "store")], stdout=write,
                          stderr=subprocess.PIPE)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")
