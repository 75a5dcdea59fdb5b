"""Minimal pairs on models whose preference is known."""

import gzip
import json
import math

import numpy as np
import pytest
import torch
from known_models import Bytes, Table

from losslab.evaluate import pairs, tasks
from losslab.evaluate.tasks import Settings


def letters(seq_len=32, **logits):
    row = torch.zeros(257)
    for letter, value in logits.items():
        row[ord(letter)] = value
    return Table(row.repeat(257, 1), seq_len)


def row(good, bad, paradigm="p", phenomenon="P"):
    return {"sentence_good": good, "sentence_bad": bad, "linguistics_term": phenomenon, "UID": paradigm}


def test_the_good_sentence_must_be_strictly_likelier_and_ties_are_counted():
    rows = [row("aa", "ab"), row("ab", "aa"), row("a", "a"), row("ab", "ba")]
    result = pairs.score(letters(a=1.0), Bytes(), rows, Settings())
    assert [item["right"] for item in result.items] == [True, False, False, False]
    assert result.counts == {"pairs": 4, "tied": 2, "paradigms": 1, "skipped": 0}
    assert result.scores["accuracy"].value == 0.25


def test_whole_sentences_are_summed_from_the_end_mark_on():
    table = torch.randn(257, 257, generator=torch.Generator().manual_seed(0))
    (item,) = pairs.score(Table(table, 16), Bytes(), [row("dog", "dogs bark")], Settings()).items
    log_p = table.double().log_softmax(1)
    for side, text in (("good_nats", b"dog"), ("bad_nats", b"dogs bark")):
        assert item[side] == pytest.approx(-sum(log_p[a, b].item() for a, b in zip([256, *text], text, strict=False)),
                                           rel=1e-5)
    assert item["right"]  # not divided by the length: the longer costs more


def test_the_error_of_the_whole_is_over_paradigms_and_of_a_phenomenon_over_pairs():
    rows = [row("a", "b", "p1", "P")] * 4 + [row("b", "a", "p2", "P")] * 3 + [row("a", "b", "p2", "P")]
    rows += [row("a", "b", "q1", "Q")] * 4
    result = pairs.score(letters(a=1.0), Bytes(), rows, Settings())
    total = result.scores["accuracy"]
    assert total.value == 9 / 12 and total.n == 3
    assert total.stderr == pytest.approx(np.std([1, 0.25, 1], ddof=1) / math.sqrt(3))
    by_name = {part.name: part for part in result.parts}
    assert list(by_name) == ["P", "Q"] and by_name["P"].scores["accuracy"].value == 5 / 8
    right = [1] * 4 + [0] * 3 + [1]
    assert by_name["P"].scores["accuracy"].stderr == pytest.approx(np.std(right, ddof=1) / math.sqrt(8))
    assert [(part.name, part.scores["accuracy"].value) for part in by_name["P"].parts] == [("p1", 1.0), ("p2", 0.25)]


def test_a_limit_is_of_each_paradigm_and_is_no_evidence():
    rows = [row("a", "b", name) for name in "xyz" for _ in range(5)]
    result = pairs.score(letters(a=1.0), Bytes(), rows, Settings(limit=2))
    assert result.counts["pairs"] == 6 and result.counts["paradigms"] == 3 and not result.is_evidence
    assert not any(part.is_evidence for part in result.parts)


def test_a_pair_that_does_not_fit_is_left_out_and_said():
    result = pairs.score(letters(a=1.0, seq_len=4), Bytes(), [row("a", "b"), row("aaaaa", "b"), row("aaaa", "bbbb")],
                         Settings())
    assert result.counts["skipped"] == 1 and result.counts["pairs"] == 2 and "1 pairs do not fit" in result.notes[-1]
    with pytest.raises(ValueError, match="no pair of sentences fits"):
        pairs.score(letters(seq_len=2), Bytes(), [row("aaa", "b")], Settings())


def test_the_file_is_found_and_a_damaged_one_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="has none of blimp/blimp.jsonl"):
        tasks.run("blimp", letters(), Bytes(), Settings(benchmarks=tmp_path))
    with gzip.open(tmp_path / "blimp.jsonl.gz", "wt") as file:
        file.write(json.dumps(row("a", "b")) + "\n\n")
    assert tasks.run("blimp", letters(a=1.0), Bytes(), Settings(benchmarks=tmp_path)).scores["accuracy"].value == 1
    whole = (tmp_path / "blimp.jsonl.gz").read_bytes()
    for content, name, message in [
        (b"{]", "blimp.jsonl", "line 1 of .* is not readable JSON"),
        (b'{"UID": 3}', "blimp.jsonl", "line 1 of .* is not a row"),
        (b'{"UID": "\\ud800"}', "blimp.jsonl", "line 1 of .* a string in it is not UTF-8 text"),
        (b'{"UID": "u", "label": 1e999}', "blimp.jsonl", "line 1 of .* the number '1e999' is too large"),
        (b"[" * 10_000, "blimp.jsonl", "line 1 of .* is not readable JSON"), (b"\xff", "blimp.jsonl", "not UTF-8"),
        (whole[:-9], "blimp.jsonl.gz", "not a whole gzip file"),
    ]:  # fmt: skip
        for old in tmp_path.iterdir():
            old.unlink()
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=message):
            tasks.run("blimp", letters(), Bytes(), Settings(benchmarks=tmp_path))


def test_a_folder_of_all_benchmarks_has_paradigms_in_their_phenomena(benchmark_data):
    result = tasks.run("blimp", letters(seq_len=256, s=9.0), Bytes(), Settings(benchmarks=benchmark_data, limit=5))
    assert result.counts["paradigms"] == 3 and result.counts["pairs"] == 15 and not result.is_evidence
    found = {part.name: [inner.name for inner in part.parts] for part in result.parts}
    assert found == {"agreement": ["verbs", "nouns"], "order": ["words"]}


def test_blimp_itself_has_67_paradigms_in_its_phenomena(real_data):
    result = tasks.run("blimp", letters(seq_len=256, e=0.5), Bytes(), Settings(benchmarks=real_data, limit=3))
    assert result.counts["paradigms"] == 67 and result.counts["pairs"] == 201
    assert len(result.parts) == 13 and sum(len(part.parts) for part in result.parts) == 67
    assert result.scores["accuracy"].n == 67
