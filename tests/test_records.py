"""Run folders that strangers, kills and flipped bits have been at: read as written, or refused in a sentence."""

import copy
import json
import math
import os
import re
import shutil
import socket
import threading
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from losslab import config, records
from losslab.records import files
from losslab.words import printable, shorten, width

SPLITS = {name: {"documents": 8, "tokens": 2000, "bytes": 1992} for name in ("train", "tune", "val")}
CORPUS = {"name": "tales", "digest": "c0ffee", "tokenizer": "bytes", "vocab_size": 257, "splits": SPLITS}
ENVIRONMENT = {"torch": "2.13.0", "device": "cpu", "dtype": "float32", "threads": 1}
RESULT = {
    "status": "finished", "step": 50, "num_steps": 50, "tokens": 5120,
    "scores": {"nll": {"value": 1.5, "stderr": 0.01, "n": 8, "unit": "nats/token"},
               "perplexity": {"value": 4.48, "stderr": 0.04, "n": 8, "unit": "per token"}},
    "temperature": 1.02, "counts": {"documents": 8}, "document_perplexity": {"0.5": 4.4}, "floor_bits_per_byte": None,
    "cost": {"train_seconds": 5.5, "loss_cost_ratio": 1.0}, "model": {"num_params": 1000},
    "samples": [{"prompt": "", "text": "Once"}], "checkpoint": "step-00000050", "weights": "ab" * 32,
}


scored_elsewhere = RESULT | {"scores": {"nll": RESULT["scores"]["nll"] | {"value": 0.1}}}


def spec(loss="cross_entropy", seed=0, condition=None, **train):
    settings = config.to_dict(config.preset("tiny")) | {"loss": loss, "seed": seed}
    settings["train"] = settings["train"] | train
    return {"version": "0.1.0", "condition": condition or config.digest([loss, train]), "config": settings,
            "corpus": CORPUS, "objective": loss, "losses": []}


def write_run(folder, loss="cross_entropy", seed=0, result=RESULT, lines=3, **options):
    records.create(folder, spec(loss, seed, **options), ENVIRONMENT)
    log = records.Log(folder)
    for step in range(1, lines + 1):
        log.write(step=step, tokens=100 * step, seconds=0.5 * step, **{"tune/nll": 3.0 / step})
    if result:
        records.write_result(folder, result)
    return records.read(folder)


def refused(call, *arguments):
    with pytest.raises(ValueError) as refusal:
        call(*arguments)
    text = str(refusal.value)
    assert text.isprintable() and len(text) < 600, text
    return text


def everything(record):
    return [record.spec, record.environment, record.result, record.status, record.log, record.log_damage]


# --- checksums ---------------------------------------------------------------------------------

def test_a_run_is_read_back_as_it_was_written(tmp_path):
    record = write_run(tmp_path / "run")
    assert record.environment == ENVIRONMENT and record.spec == {"format": 2, **json.loads(json.dumps(spec()))}
    assert record.result == {"format": 2, **RESULT, "log": record.result["log"]}
    assert record.result["log"]["lines"] == 3 and record.log_damage is None
    assert record.curve("tune/nll") == [(100, 3.0), (200, 1.5), (300, 1.0)]


@pytest.mark.parametrize("name", ["spec.json", "result.json", "environment.json", "log.jsonl"])
def test_every_flipped_byte_is_found_or_changes_nothing(tmp_path, name):
    whole = everything(write_run(tmp_path / "run"))
    path = tmp_path / "run" / name
    data = path.read_bytes()
    found = 0
    for place in range(0, len(data), 3):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])
        try:
            record = records.read(tmp_path / "run")
        except ValueError as error:
            assert name in str(error) or "newer losslab" in str(error)
            assert "\n" not in str(error) and ("remove" in str(error) or "update" in str(error))
            found += 1
            continue
        if name == "log.jsonl":
            assert "was c" in record.log_damage and everything(record)[:4] == whole[:4]
            found += 1
        else:
            assert everything(record) == whole, f"byte {place}"
    assert found > 0.7 * len(data) / 3  # most bytes are not white space


def test_a_cut_log_is_named_and_never_just_shorter(tmp_path):
    write_run(tmp_path / "run")
    log = tmp_path / "run" / "log.jsonl"
    data = log.read_bytes()
    log.write_bytes(data[:-30])
    record = records.read(tmp_path / "run")
    assert len(record.log) == 2
    assert record.log_damage == (f"{log} was cut after the run ended: 2 of its 3 lines are whole; the scores do not "
                                 "rest on it, the learning curve does")
    log.unlink()
    assert records.read(tmp_path / "run").log_damage == f"{log} is missing; the run wrote 3 lines"
    (tmp_path / "run" / "result.json").unlink()  # of a run that goes on, a kill may cut the last line
    log.write_bytes(data[:-30])
    record = records.read(tmp_path / "run")
    assert record.status == "stopped" and len(record.log) == 2 and record.log_damage is None


def test_a_line_that_is_none_of_a_log_is_left_out_and_counted(tmp_path):
    write_run(tmp_path / "run", result=None)
    odd = ['{"step": 1}', "[]", "7", '{"step": 1, "tokens": "9", "a": 1}', '{"step": 2, "tokens": 9, "a": [1]}',
           '{"step": true, "tokens": 9}', '{"step": 2, "tokens": 9, "tune/nll": "0.1"}', "[" * 100_000, "\udcff",
           '{"step": 2, "tokens": 9, "tune/nll": 1e999}', '{"step": -1, "tokens": 9}']
    with open(tmp_path / "run" / "log.jsonl", "ab") as file:
        file.write(("\n".join(odd) + "\n").encode("utf-8", "surrogateescape"))
    record = records.read(tmp_path / "run")
    assert len(record.log) == 3 and record.curve("tune/nll")[-1] == (300, 1.0)
    assert f"{len(odd)} of its lines are no lines of a log (the first is line 4)" in record.log_damage
    records.Log(tmp_path / "run", step=2)  # going on keeps what it does not understand
    assert [line["step"] for line in records.read(tmp_path / "run").log] == [1, 2]
    (kept,) = (tmp_path / "run").glob("log.jsonl.aside-*")
    assert kept.read_bytes().count(b"\n") == 3 + len(odd)


def test_stores_from_before_there_were_checksums_are_read(tmp_path):
    whole = write_run(tmp_path / "run")
    for name in ("spec.json", "environment.json", "result.json"):
        path = tmp_path / "run" / name
        old = json.loads(path.read_text()) | {"format": 1}
        del old["checksum"]
        old.pop("log", None)
        path.write_text(json.dumps(old))
    record = records.read(tmp_path / "run")
    assert record.spec["format"] == 1 and record.scores == whole.scores and record.log_damage is None
    path.write_text(json.dumps(old | {"format": 2}))
    assert refused(records.read, tmp_path / "run") == (
        f"{path} is damaged (its checksum is missing); remove this file, and `losslab train --resume {path.parent}` "
        "measures the run again")


# --- values ------------------------------------------------------------------------------------

BAD_RESULTS = {
    "scores.nll.value": [-5, True, "NaN", None, "1.5", [], math.nan, -math.inf],
    "scores.nll.stderr": [-1, "0", math.nan],
    "scores.nll.n": [0, -1, 1.5, True], "scores.perplexity.value": [0.5], "scores.nll.unit": [7], "scores": [[], None],
    "scores.nll": [7, {}], "status": ["done", None, 7, "running"], "step": [-1, 2.5, "9"], "cost.train_seconds": [-1],
    "model.num_params": ["many", math.inf], "samples": [{}, ["text"]], "checkpoint": ["../../x", "..", 7],
    "weights": ["AB" * 32, 7], "temperature": ["warm", -1], "log": [7], "counts": [[1]], "error": [[]],
    "document_perplexity": [{"0.5": "4"}],
}
BAD_SPECS = {
    "config": [[], None], "config.seed": ["0", -1, 2**32, 1.5, True, None], "config.loss": [7, None, []],
    "config.train": [[], 7], "config.train.learning_rate": ["fast", math.nan, [1]], "config.model.n_layer": [2.5, True],
    "condition": [7], "corpus": [None, []], "corpus.digest": [7], "losses": [{}, [7], [{}]],
    "config.new": [{"a": {"b": 1}}],
}


def test_a_value_that_no_run_has_is_refused_with_its_name(tmp_path):
    write_run(tmp_path / "run")
    whole = {}
    for name, bad in (("result.json", BAD_RESULTS), ("spec.json", BAD_SPECS)):
        path = tmp_path / "run" / name
        whole = json.loads(path.read_text())
        for field, values in bad.items():
            for value in values:
                document = copy.deepcopy(whole)
                *outer, last = field.split(".")
                inner = document
                for part in outer:
                    inner = inner[part]
                inner[last] = value
                files.write_sealed(path, {k: v for k, v in document.items() if k != "checksum"})
                said = refused(records.read, tmp_path / "run")
                assert said.startswith(f"{path} is damaged ({field.split('.')[0]}") and " should be " in said, said
        files.write_sealed(path, {k: v for k, v in whole.items() if k != "checksum"})
    records.read(tmp_path / "run")


def test_what_an_honest_run_may_say_is_read(tmp_path):
    impossible = {"value": math.inf, "stderr": None, "n": 8, "unit": "nats/token"}
    scores = {"nll": impossible, "perplexity": impossible | {"stderr": math.nan}, "accuracy": impossible | {"value": 1}}
    record = write_run(tmp_path / "run", result=RESULT | {
        "scores": scores, "document_perplexity": {"0.5": math.inf, "0.75": math.nan}, "measured_by": ["new", {"a": 1}]})
    assert record.scores["nll"]["value"] == math.inf
    diverged = {"step": 2, "value": "nan", "grad_norm": "inf", "previous": 3.2}
    assert write_run(tmp_path / "two", result={"status": "diverged", "step": 2, "diverged": diverged}).scores == {}


def test_a_result_that_no_reader_would_take_is_not_written(tmp_path):
    write_run(tmp_path / "run", result=None)
    said = refused(records.write_result, tmp_path / "run", RESULT | {"temperature": math.nan})
    assert said == f"{tmp_path}/run/result.json is not written: temperature should be a number from 0, and is nan"
    assert not (tmp_path / "run" / "result.json").exists()


@pytest.mark.parametrize("text", ["[]", "null", "7", '"x"', "", "{", "[" * 100_000, '{"a":' * 5000 + "1" + "}" * 5000,
                                  '{"status": 1e999}', '{"a": ' + "9" * 5000 + "}", '{"status": "\\ud800"}', "\udcff{}",
                                  '{"a": ' + "[" * 50 + "]" * 50 + "}", '{"format": "2"}', '{"format": true}'])
def test_a_document_that_is_no_document(tmp_path, text):
    write_run(tmp_path / "run")
    for name in ("result.json", "environment.json", "spec.json"):
        path = tmp_path / "run" / name
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        assert refused(records.read, tmp_path / "run").startswith(f"{path} is damaged (")
        path.unlink()


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
                    max_leaves=6)


@settings(max_examples=60)
@example(document="log.jsonl", place=0, value=b"\xff" * 9, key=3)
@given(document=st.sampled_from(["spec.json", "result.json", "environment.json", "log.jsonl"]),
       place=st.integers(0, 10**6), value=JSON | st.binary(max_size=9), key=st.integers(0, 60))
def test_no_change_of_a_document_is_more_than_a_sentence(tmp_path_factory, document, place, value, key):
    base = tmp_path_factory.getbasetemp() / "whole"
    record = records.read(base) if base.exists() else write_run(base)
    folder = base.with_name("changed")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(base, folder)
    path = folder / document
    if isinstance(value, bytes):
        data = bytearray(path.read_bytes())
        place %= len(data)
        data[place : place + key] = value
        path.write_bytes(data)
    elif document == "log.jsonl":
        path.write_text(json.dumps(dict(list(record.log[0].items())[: key % 5]) | {"tokens": value}) + "\n")
    else:  # another value somewhere, with a checksum that fits
        known = json.loads(path.read_text())
        inner, steps = known, key
        while isinstance(inner, dict) and inner:
            name = sorted(inner)[steps % len(inner)]
            if not isinstance(inner[name], dict) or steps % 3 == 0:
                inner[name] = value
                break
            inner, steps = inner[name], steps // 2
        known.pop("checksum", None)
        try:
            files.write_sealed(path, known)
        except ValueError:
            return  # half a character is not written either
    try:
        read = records.read(folder)
        read.log, read.log_damage, read.curve("tune/nll")
        read.config  # noqa: B018
    except (ValueError, OSError) as error:
        assert str(error).isprintable()


# --- files -------------------------------------------------------------------------------------

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


# --- where a run may lie, and what became of it -------------------------------------------------

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


# --- words -------------------------------------------------------------------------------------

@given(st.text())
def test_printable_text_moves_no_cursor_and_is_cut_to_measure(text):
    shown = printable(text)
    assert shown.isprintable() and not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)
    assert shown == text or not text.isprintable()
    assert width(shorten(shown, 7)) <= 7 and (width(shown) > 7 or shorten(shown, 7) == shown)


def test_what_is_printable_stays():
    assert printable("café ∇θ 損失 λ=1e-4") == "café ∇θ 損失 λ=1e-4" and width("損失λ") == 5
    assert printable("a\x1b]0;x\x07\nb\u202e\u2028\ud800") == r"a\x1b]0;x\x07\nb\u202e\u2028\ud800"


def test_a_folder_with_a_name_that_is_no_text(tmp_path):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\x1b"))
    write_run(folder)
    assert records.find([tmp_path])[0].status == "finished"
    (folder / "spec.json").write_text("[]")
    assert refused(records.find, [tmp_path]).startswith(printable(str(folder)))


def test_a_look_at_two_of_these_arms_is_remembered_once_and_nothing_else_is(tmp_path):
    def arms(conditions):
        return [records.Record(tmp_path, {"condition": condition}, {}, {}, "finished") for condition in conditions]

    assert records.looks(tmp_path, arms("ab")) == []
    records.note_look(tmp_path, arms("ba"), [2, 0, 1])
    records.note_look(tmp_path, arms("ab"), [0, 1, 2])
    records.note_look(tmp_path, arms("abc"), [0, 1, 2, 3])
    assert records.looks(tmp_path, arms("ab")) == [[0, 1, 2], [0, 1, 2, 3]]
    assert records.looks(tmp_path, arms("acd")) == [[0, 1, 2, 3]]  # two arms in common
    assert records.looks(tmp_path, arms("ad")) == []
    rows = [{"conditions": "ab", "seeds": [1], "at": ""}, {"conditions": ["a", "b"], "seeds": [True], "at": ""}, 7,
            {"conditions": ["a", "b"], "seeds": [5], "at": "now"}]
    (tmp_path / "looks.json").write_text(json.dumps({"looks": rows}))
    assert records.looks(tmp_path, arms("ab")) == [[5]]
    (tmp_path / "looks.json").write_text("[" * 100_000)
    assert records.looks(tmp_path, arms("ab")) == []
