"""Documents of stores that hold several corpora, many runs, or runs that did not end."""

import cProfile
import math
import pstats
from pathlib import Path

import pytest
from report_runs import NOISE, Page, arm, described, score, write_run
from report_runs import runs as runs

from losslab import comparison, records, report
from losslab import config as configuration
from losslab.report import page


@pytest.mark.parametrize("other", [{"digest": "facade"}, {"digest": "facade", "tokenizer": "bpe:1024"}])
def test_other_corpora_give_no_verdict(tmp_path, other):
    runs = [write_run(tmp_path, "cross_entropy", s, 1.5 + s / 100) for s in (0, 1)]
    runs += [write_run(tmp_path, "mse", s, 1.4 + s / 100, corpus=other) for s in (0, 1)]
    document = described(runs)
    assert document["verdict"].startswith("no verdict") and arm(document, "mse")["difference"] is None
    assert arm(document, "mse")["scores"]["nll"]["value"] == pytest.approx(1.405)
    assert any("nll cannot be compared" in w for w in document["warnings"])
    # bits per byte compare tokenizers on one text, not one tokenizer on two texts
    assert bool(arm(document, "mse")["difference_bits_per_byte"]) == ("tokenizer" in other)
    assert "no verdict" in report.table(document).splitlines()[-1]
    page.html(document)


def test_other_numerics_are_said(tmp_path):
    runs = [write_run(tmp_path, "cross_entropy", s, dtype=d) for s, d in ((0, "float32"), (0, "bfloat16"))]
    assert any("differ in dtype (float32 and bfloat16)" in w for w in described(runs)["warnings"])


def test_what_did_not_end_is_not_counted_and_said(runs, tmp_path):
    runs += [write_run(tmp_path, "squentropy", 4, status="failed"), write_run(tmp_path, "mse", 0, status="running")]
    document = described(runs, requested={"squentropy": range(6)})
    failed = arm(document, "squentropy")  # the seed that failed takes the mean and the verdict with it
    assert (failed["outcome"], failed["status"], failed["scores"]) == ("failed", "1 of 5 failed", {})
    assert failed["verdict"] == "squentropy failed on 1 of 5 seeds: no mean and no difference"
    assert [a["name"] for a in document["arms"][-2:]] == ["squentropy", "mse"]
    assert any("squentropy: seed 4 failed, which counts as a lost seed" in w for w in document["warnings"])
    assert any("squentropy: no run of seed 5" in w for w in document["warnings"])
    assert any("mse: seed 0 stopped early" in w for w in document["warnings"])
    assert arm(document, "mse")["scores"] == {}
    page.html(document)


@pytest.mark.parametrize(("value", "status", "why"), [
    (math.inf, "1 of 4 diverged", "nll is infinite"), (None, "1 of 4 failed", "its result has no nll"),
])
def test_a_finished_run_without_a_finite_nll_has_lost_its_seed(runs, value, status, why):
    worse = next(run for run in runs if run.loss == "squentropy" and run.seed == 2)
    worse.result["scores"]["nll"]["value"] = value
    found = arm(described(runs), "squentropy")
    assert (found["status"], found["scores"], found["difference"]) == (status, {}, None)
    assert found["runs"][2]["error"] == why and found["outcome"] in status
    assert why in page.html(described(runs)) and status in report.table(described(runs))


def test_the_look_and_its_level_are_in_the_document(runs):
    alone = described(runs)
    assert (alone["looks"], alone["level"]) == (None, 0.05) and " look" not in alone["verdict"]
    first = comparison.compare(runs, ledger=lambda condition, score: [])
    again = described(runs, ledger=lambda condition, score: [first.new_look])
    assert (again["looks"], again["level"]) == (1, 0.04) and "look 1: p must be below 0.04" in again["note"]


def test_arms_are_named_by_the_settings_in_which_they_differ(tmp_path):
    grid = [(rate, width) for rate in (2e-3, 1e-3) for width in (0.0, 0.1)]
    runs = [write_run(tmp_path, "cross_entropy", s, 1.5 + NOISE[s] + rate + 0.1 * s * decay, learning_rate=rate,
                      weight_decay=decay, log_every=10 + round(1e4 * rate)) for s in (0, 1) for rate, decay in grid]
    runs += [write_run(tmp_path, "mse", s, 1.7 + s / 100) for s in (0, 1)]
    document = described(runs)
    assert {a["name"] for a in document["arms"]} == {"mse", *(
        f"cross_entropy (learning_rate {rate:g}, weight_decay {decay:g})" for rate, decay in grid)}
    assert document["baseline"] == "cross_entropy (learning_rate 0.002, weight_decay 0)"  # not mse
    assert "learning_rate 0.001" in report.table(document)


def test_arms_that_nothing_tells_apart_are_named_by_their_condition(tmp_path):
    runs = [write_run(tmp_path, "mse", s, prefix=f"{c}-") for s in (0, 1) for c in ("aa", "ab")]
    for run in runs:  # and one formula is the name that another arm would have
        run.spec["condition"] = "a" * 11 + run.path.name[1]
    runs += [write_run(tmp_path, "mse #aaaaaa", 0)]
    names = records.labels(runs)
    assert len(set(names.values())) == len(names) == 3
    assert names["a" * 12] == f"mse #{'a' * 12}" and names["a" * 11 + "b"] == f"mse #{'a' * 11}b"


def many(conditions, seeds=2):
    """Records of a large store, as `records.find` would read them."""
    config = configuration.to_dict(configuration.preset("tiny"))
    for c, s in ((c, s) for c in range(conditions) for s in range(seeds)):
        train = config["train"] | {"learning_rate": 1e-3 * (1 + c)}
        noise = 1e-4 * ((7919 * s + 104729 * c) % 97)
        scores = {name: score(base + 1e-4 * c + noise, "") for name, base in (("nll", 1.5), ("bits_per_byte", 2.1))}
        yield records.Record(
            Path(f"/nowhere/{c}-{s}"),
            {"condition": f"{c:012x}", "config": config | {"loss": "mse", "seed": s, "train": train},
             "corpus": {"name": "tales", "digest": "c0ffee", "tokenizer": "bytes", "splits": {}}},
            {"device": "cpu", "created": f"2026-01-01T00:00:{c:05d}"}, {"status": "finished", "scores": scores},
            "finished")


def test_a_large_store_is_drawn_in_part_and_listed_whole(monkeypatch):
    read = []
    monkeypatch.setattr(records.Record, "log", property(lambda run: read.append(run.path) or []))
    document = described(many(60), baseline="mse (learning_rate 0.06)")  # the worst of all
    names = [f"mse (learning_rate {1e-3 * (1 + c):g})" for c in range(60)]
    assert len(document["arms"]) == 20 and document["arms"][-1]["name"] == document["baseline"] == names[59]
    assert {a["name"] for a in document["arms"]} | {a["name"] for a in document["others"]} == set(names)
    assert len({path.name.split("-")[0] for path in read}) == 20  # no log of an arm that is only listed
    assert all(a["difference"]["n"] == 2 for a in document["others"])
    assert document["environment"]["created"] == "2026-01-01T00:00:00000 to 2026-01-01T00:00:00059"
    text, table = page.html(document), report.table(document)
    assert "and 40 more arms, listed in the report" in table and "40 other arms" in text
    assert Page(text).all("th")[-1] and report.markdown(document).count("`mse (learning_rate") >= 60
    assert len(document["warnings"]) < 20


@pytest.mark.slow
def test_the_work_grows_as_the_number_of_runs_does(monkeypatch):
    monkeypatch.setattr(records.Record, "log", property(lambda run: []))
    described(many(30))  # loads what is loaded once
    calls = []
    for conditions in (100, 200, 400):
        runs, profile = list(many(conditions)), cProfile.Profile()
        profile.runcall(described, runs)
        calls.append(pstats.Stats(profile).total_calls)
    assert (calls[2] - calls[1]) < 2.3 * (calls[1] - calls[0]), calls  # quadratic would be 4


def test_several_corpora_are_not_mixed(tmp_path):
    runs = [write_run(tmp_path, "mse", s, 1.4 + s / 100, corpus={"digest": "facade", "name": "novels"}) for s in (0, 1)]
    for run in runs:
        run.result["counts"] = {"documents": 7, "tokens": 77, "bytes": 777, "words": 7}
        run.result["model"] = {"num_params": 1_000_000}
    runs += [write_run(tmp_path, "cross_entropy", s, 1.5 + s / 100) for s in (0, 1)]
    document = described(runs)
    assert (document["corpus"]["name"], document["counts"]["documents"]) == ("tales", 800)
    assert [c["name"] for c in document["corpora"]] == ["novels", "tales"]
    assert "842,496 to 1,000,000 parameters" in report.table(document)
    assert "several corpora: novels facade (tokenizer bytes), tales c0ffee (tokenizer bytes)" in " ".join(
        report.table(document).split())
    lede = next(x for a, x in Page(page.html(document)).all("p") if a.get("class") == "lede")
    assert "its own corpus; that of cross_entropy is tales: 800 documents" in lede


def test_a_text_without_marks_and_documents_left_out_are_said(tmp_path):
    one = {"splits": {s: {"documents": 1, "tokens": 9, "bytes": 9} for s in ("train", "tune", "val")}}
    run = write_run(tmp_path, "mse", 0, corpus=one | {"dropped": {"same text in val": 2869, "too long": 1, "none": 0}})
    document = described([run])
    cut, dropped = document["corpus"]["notes"]
    assert cut.startswith("the text of tales has no marks between documents, so it was cut by position")
    assert dropped == "documents left out: 2,869 (same text in val), 1 (too long)"
    for shown in (page.html(document), " ".join(report.table(document).split()), report.markdown(document)):
        assert "cut by position" in shown and "2,869 (same text in val)" in shown
    old = described([write_run(tmp_path, "brier", 0, corpus={"dropped_documents": 2870})])["corpus"]["notes"]
    assert len(old) == 1 and old[0].startswith("documents left out: 2,870; this run does not say why")
    assert described([write_run(tmp_path, "focal", 0)])["corpus"]["notes"] == []


def test_a_run_given_twice_counts_once(runs, tmp_path):
    twice = write_run(tmp_path, "squentropy", 0, prefix="copy-", status="failed")
    document = described([*runs, runs[0], twice])
    assert len(arm(document, "squentropy")["runs"]) == 4
    assert arm(document, "squentropy")["scores"]["nll"]["n"] == 4  # the one that finished is kept
    assert sum("given twice" in w for w in document["warnings"]) == 1


def test_no_runs_is_an_error():
    with pytest.raises(ValueError, match="no run to report"):
        described([])
