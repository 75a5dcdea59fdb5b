"""Run folders that hold what is no plain file, and where a run may lie."""

import json
import os
import socket
import threading
from pathlib import Path

import pytest
from record_runs import ENVIRONMENT, RESULT, refused, spec, write_run

from losslab import records
from losslab.stats.looks import Judged, Look
from losslab.words import printable

scored_elsewhere = RESULT | {"scores": {"nll": RESULT["scores"]["nll"] | {"value": 0.1}}}


def planted(path, kind):
    """Put something that is no plain file at `path`; what must not be written to is returned."""
    victim = path.parent.parent / "victim"
    victim.write_text("precious")
    path.unlink(missing_ok=True)
    if kind == "link":
        path.symlink_to(victim)
    elif kind == "same file":
        os.link(victim, path)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "socket":
        here = os.getcwd()
        os.chdir(path.parent)  # names of sockets are short
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
        os.chdir(here)
    return victim


KINDS = ["link", "same file", "pipe", "folder", "device", "socket"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes in folders are Unix's")
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_read_or_written_through_what_is_no_plain_file(tmp_path, kind):
    run = tmp_path / "run"

    def attack():
        for name in ("spec.json", "environment.json", "result.json"):
            write_run(run)
            victim = planted(run / name, kind)
            assert str(run / name) in refused(records.read, run)
            if name == "result.json":
                records.write_result(run, RESULT)  # a training process may have left anything there
                assert records.read(run).status == "finished"
            victim.unlink()
            os.rename(run, tmp_path / f"done-{name}")
        write_run(run)
        victim = planted(run / "log.jsonl", kind)
        record = records.read(run)
        assert record.log == [] and str(run / "log.jsonl") in record.log_damage
        (run / "result.json").unlink()
        records.Log(run).write(step=1, tokens=2)
        assert [line["step"] for line in records.read(run).log] == [1]
        victim = planted(run / ".lock", kind)
        assert records.read(run).status == "stopped"
        with pytest.raises(ValueError, match=r"\.lock"), records.lock(run):
            pass
        assert victim.read_text() == "precious"

    attacker = threading.Thread(target=attack, daemon=True)  # a reader that waits for a pipe would wait for ever
    failures = []
    hook, threading.excepthook = threading.excepthook, lambda args: failures.append(args.exc_value)
    try:
        attacker.start()
        attacker.join(30)
    finally:
        threading.excepthook = hook
    assert not attacker.is_alive()
    if failures:
        raise failures[0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes in folders are Unix's")
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_a_training_process_left_keeps_no_run_from_its_end(tmp_path, kind):
    run = tmp_path / "run"
    write_run(run, result=scored_elsewhere)
    for name in ("spec.json", "environment.json", "result.json"):
        planted(run / name, kind)
    records.restore(run, spec())
    record = records.read(run)
    assert record.spec["config"] == json.loads(json.dumps(spec()["config"])) and len(record.log) == 3
    assert record.status == "stopped" and record.environment == {}
    records.write_result(run, RESULT)
    assert records.read(run).scores["nll"]["value"] == 1.5
    assert (tmp_path / "victim").read_text() == "precious"
    records.write_result(run, scored_elsewhere)  # a forged one is taken away like any other
    records.restore(run, spec())
    assert records.read(run).status == "stopped"


def test_a_lock_keeps_what_is_not_its_own_and_a_reader_makes_none(tmp_path):
    write_run(tmp_path / "run", result=None)
    (tmp_path / "run" / ".lock").write_text("a note of mine")
    with pytest.raises(ValueError, match="did not write there; move it away"), records.lock(tmp_path / "run"):
        pass
    assert (tmp_path / "run" / ".lock").read_text() == "a note of mine"
    (tmp_path / "run" / ".lock").unlink()
    assert records.read(tmp_path / "run").status == "stopped" and not (tmp_path / "run" / ".lock").exists()
    with records.lock(tmp_path / "run"):
        assert records.read(tmp_path / "run").status == "running"
        with pytest.raises(records.StoreBusy, match=f"process {os.getpid()}"), records.lock(tmp_path / "run"):
            pass


def test_a_run_is_not_written_over_a_store_or_somebodys_files(tmp_path):
    write_run(tmp_path / "store" / "one")
    said = refused(records.create, tmp_path / "store", spec(), ENVIRONMENT)
    assert said == (f"{tmp_path}/store is a store that holds runs (one), not a place for one run; give a folder in it, "
                    f"such as --out {tmp_path}/store/NAME (`losslab compare` takes --store)")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.tex").write_text("")
    assert refused(records.create, tmp_path / "notes", spec(), ENVIRONMENT) == (
        f"{tmp_path}/notes holds something that is no run (thesis.tex); give a new folder with --out")
    (tmp_path / "killed").mkdir()  # between its first two files
    (tmp_path / "killed" / "environment.json").write_text("{}")
    (tmp_path / "killed" / ".lock").write_text("123")
    records.create(tmp_path / "killed", spec(), ENVIRONMENT)
    records.create(tmp_path / "killed", spec(), ENVIRONMENT)
    assert "already holds another run" in refused(records.create, tmp_path / "killed", spec(seed=1), ENVIRONMENT)


def test_a_folder_that_is_a_run_and_a_store_shows_all(tmp_path):
    write_run(tmp_path / "one")
    os.rename(tmp_path / "one", tmp_path / "store")  # as versions before this one could leave it
    write_run(tmp_path / "store" / "two", seed=1)
    assert [r.seed for r in records.find([tmp_path / "store"])] == [0, 1]
    assert "does not exist" in refused(records.find, [tmp_path / "nowhere"])


def test_a_run_has_one_of_the_statuses(tmp_path):
    ends = {0: RESULT, 1: {"status": "failed", "error": "x"}, 2: {"status": "diverged", "step": 3}, 3: None}
    found = [write_run(tmp_path / f"{seed}", seed=seed, result=end) for seed, end in ends.items()]
    records.create(tmp_path / "new", spec(), ENVIRONMENT)
    assert [r.status for r in found] == ["finished", "failed", "diverged", "stopped"]
    assert records.read(tmp_path / "new").status == "waiting"
    (tmp_path / ".removed-1").mkdir()  # a removal that was killed
    os.rename(tmp_path / "new" / "spec.json", tmp_path / ".removed-1" / "spec.json")
    assert len(records.find([tmp_path])) == 4


def test_tags_are_no_part_of_what_is_checked(tmp_path):
    record = write_run(tmp_path / "run")
    assert records.tag(tmp_path / "run", ["good", "first"]) == ("first", "good") == record.tags
    assert records.tag(tmp_path / "run", remove=["first"]) == ("good",)
    assert records.read(tmp_path / "run").result == record.result
    for bad in ("two words", "a,b", "", "\x1b[2J", "x" * 41, "a=b"):
        assert "a tag is a word" in refused(records.tag, tmp_path / "run", [bad])
    (tmp_path / "run" / "tags.json").write_text('{"tags": ["\\u001b[2J"]}')
    assert record.tags == () and "tags.json is damaged" in refused(records.tag, tmp_path / "run", ["more"])


def test_a_run_is_removed_alone_and_only_if_it_is_one(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("")
    write_run(tmp_path / "store" / "one")
    write_run(tmp_path / "store" / "two")
    (tmp_path / "store" / "one" / "checkpoint").symlink_to(outside)
    (tmp_path / "link").symlink_to(tmp_path / "store" / "one")
    for folder, says in (("link", "is a link"), ("outside", "not a run folder"), ("store", "not a run folder")):
        assert says in refused(records.remove, tmp_path / folder)
    with records.lock(tmp_path / "store"), pytest.raises(records.StoreBusy):
        records.remove(tmp_path / "store" / "one")
    (tmp_path / "store" / "two" / "spec.json").write_text("damaged")
    records.remove(tmp_path / "store" / "one")
    records.remove(tmp_path / "store" / "two")
    assert os.listdir(tmp_path / "store") == [".lock"] and (outside / "kept").exists()
    write_run(tmp_path / "mixed")
    (tmp_path / "mixed" / "thesis.tex").write_text("")
    assert "holds more than a run (thesis.tex)" in refused(records.remove, tmp_path / "mixed")


def test_a_folder_with_a_name_that_is_no_text(tmp_path):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\x1b"))
    write_run(folder)
    assert records.find([tmp_path])[0].status == "finished"
    (folder / "spec.json").write_text("[]")
    assert refused(records.find, [tmp_path]).startswith(printable(str(folder)))


def look(level, *names, shown=False):
    return Look(level, {name: Judged((0, 1, 2), "5eed", 0.5, -1.0, 1.0, shown, None) for name in names})


def test_a_ledger_is_apart_for_each_baseline_and_score_and_is_read_as_it_was_written(tmp_path):
    first, second = look(0.04, "b", "c", shown=True), Look(0.008, {"b": Judged((0,), "x", 1.0, 0.1, 0.2, False, 0.002)})
    records.note_look(tmp_path, [], "a", "nll", first)
    records.note_look(tmp_path, [], "b", "nll", second)
    records.note_look(tmp_path, [], "a", "nll", second)
    assert records.looks(tmp_path, [], "a", "nll") == [first, second]
    assert records.looks(tmp_path, [], "b", "nll") == [second]
    assert records.looks(tmp_path, [], "a", "nll_stride_64") == records.looks(tmp_path / "other", [], "a", "nll") == []


def test_a_ledger_that_was_changed_is_refused_and_never_written_over(tmp_path):
    records.note_look(tmp_path, [], "a", "nll", look(0.04, "b"))
    path = tmp_path / "looks.json"
    whole = path.read_bytes()
    cheap = json.loads(whole)
    cheap["ledgers"][0]["looks"][0]["level"] = 0.001
    rows = [{"conditions": "ab", "seeds": [1], "at": ""}], [{"conditions": ["a", "b"], "seeds": [True]}], 7
    for raw in (b"", b"[" * 100_000, whole[:-9], json.dumps(cheap).encode(), json.dumps({"looks": rows}).encode()):
        path.write_bytes(raw)
        assert "looks.json is damaged (" in refused(records.looks, tmp_path, [], "a", "nll")
        said = refused(records.note_look, tmp_path, [], "a", "nll", look(0.008, "b"))
        assert said.endswith("put back a copy of it, or begin anew in another store: without it no error rate can be "
                             "kept")
        assert path.read_bytes() == raw


def test_looks_that_an_earlier_losslab_noted_have_spent_too(tmp_path):
    rows = [{"conditions": ["a", "b"], "seeds": [0, 1], "at": "now"}, {"conditions": ["b", "c"], "seeds": [0, 1]},
            {"conditions": ["a", "b", "c"], "seeds": [0, 1, 2], "at": ""}, {"conditions": ["a", "b"], "seeds": [7]}]
    (tmp_path / "looks.json").write_text(json.dumps({"looks": rows}))
    found = records.looks(tmp_path, [], "a", "nll")
    assert [(round(each.level, 6), sorted(each.arms)) for each in found] == [(0.04, ["b"]), (0.008, ["b", "c"])]
    records.note_look(tmp_path, [], "a", "nll", look(0.0016, "b"))
    again = records.looks(tmp_path, [], "a", "nll")
    assert again == [*found, look(0.0016, "b")] and len(records.looks(tmp_path, [], "c", "nll")) == 2
