"""Run folders changed by other people, kills and flipped bits: read as written, or refused in a sentence."""

import copy
import json
import math
import shutil

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from record_runs import ENVIRONMENT, RESULT, refused, spec, write_run

from losslab import records
from losslab.records import files


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
    (tmp_path / "run" / "result.json").unlink()  # of a run that continues, a kill may cut the last line
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
    records.Log(tmp_path / "run", step=2)  # resuming keeps what it does not understand
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
