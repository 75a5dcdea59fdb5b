"""Documents against hand-made run folders, and the page, the Markdown and the table that show them."""

import copy
import cProfile
import dataclasses
import json
import math
import pstats
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from losslab import comparison, records, report
from losslab import config as configuration
from losslab.report import page, words
from losslab.report.marks import BAND, beyond

CHROMIUM = "/usr/bin/chromium"
HOSTILE = "</script><img src=x onerror=alert(1)>"
QUANTILES = ("0.05", "0.25", "0.5", "0.75", "0.95")


def score(value, unit, stderr=0.01, n=800):
    return {"value": value, "stderr": stderr, "n": n, "unit": unit}


def write_run(store, loss, seed, nll=1.5, *, status="finished", corpus=None, floor=None, source=None, dtype="float32",
              calibrated=None, cost=1.0, samples=(), prefix="", **train):
    """One run folder as an experiment leaves it; `nll` decides every score, `train` changes settings."""
    config = configuration.to_dict(configuration.preset("tiny")) | {"loss": loss, "seed": seed}
    config["train"] = config["train"] | train
    corpus = {"name": "tales", "digest": "c0ffee", "tokenizer": "bytes", "vocab_size": 257,
              "floor_bits_per_byte": floor,
              "splits": {s: {"documents": 800, "tokens": 200_000, "bytes": 199_200} for s in ("train", "tune", "val")},
              **(corpus or {})}
    condition = configuration.digest([loss, train, dtype, corpus["digest"], corpus["tokenizer"]])
    folder = store / f"{prefix}{condition}-seed{seed}"
    losses = [{"path": loss, "sha256": "ab" * 32, "source": source}] if source else []
    records.create(folder, {"version": "0.1.0", "condition": condition, "config": config, "corpus": corpus,
                            "losses": losses, "objective": loss},
                   {"torch": "2.13.0", "device": "cpu", "dtype": dtype, "threads": 1})
    log = records.Log(folder)
    for step in range(25, 501, 25):
        value = nll + 2 * math.exp(-step / 90) + 0.01 * math.sin(step + seed)
        log.write(step=step, tokens=1024 * step, seconds=step / 9, **{"tune/nll": value})
        if status != "finished" and step > 200:
            break
    result = {"format": 1, "status": status, "step": 500, "num_steps": 500, "tokens": 512_000}
    bits = nll / math.log(2)
    if status == "diverged":
        result |= {"step": 212, "diverged": {"step": 212, "value": "nan", "previous": 3.25}}
    if status == "failed":
        result |= {"error": "the loss gave shape [2], not [1024]"}
    if status == "finished":
        result |= {
            "scores": {"nll": score(nll, "nats/token"), "bits_per_byte": score(bits, "bits/byte"),
                       "bits_per_byte_with_eot": score(bits + 0.01, "bits/byte"),
                       "perplexity": score(math.exp(nll), "per token"), "word_perplexity": score(152.3, "per word"),
                       "nll_calibrated": score(calibrated or nll - 0.001, "nats/token")},
            "temperature": 1.02, "counts": {"documents": 800, "tokens": 200_000, "bytes": 199_200, "words": 40_000},
            "document_perplexity": {q: 3 + 4 * float(q) for q in QUANTILES},
            "cost": {"train_seconds": 55.0, "tokens_per_second": 9000.0 / cost + seed, "peak_memory_bytes": 712_345_678,
                     "loss_seconds": 0.006 * cost, "cross_entropy_seconds": 0.006, "loss_cost_ratio": cost},
            "model": {"num_params": 842_496, "num_params_non_embedding": 793_088},
            "samples": [{"prompt": p, "text": p + t} for p, t in samples],
        }
    if status != "running":
        records.write_json(folder / "result.json", result)
    return records.read(folder)


NOISE = (0.0, 0.004, -0.003, 0.001, -0.002)


@pytest.fixture
def runs(tmp_path):
    """Three arms, four seeds: the baseline, one 0.02 worse, and one that is 0.05 better."""
    return [
        write_run(tmp_path, loss, seed, 1.5 + shift + NOISE[seed] + wiggle * (-1) ** seed, cost=cost)
        for loss, shift, wiggle, cost in (("squentropy", 0.02, 0.001, 1.3), ("cross_entropy", 0, 0, 1.0),
                                          ("cross_entropy + 0.0001*z_loss", -0.05, 0.0005, 1.1))
        for seed in range(4)
    ]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Two finished runs of one arm."""
    return [write_run(tmp_path_factory.mktemp("store"), "mse", seed, 1.5 + seed / 100) for seed in (0, 1)]


def described(runs, command=None, **terms):
    """The document of runs."""
    return report.document(comparison.compare(runs, **terms), command=command)


def arm(document, name):
    return next(arm for arm in document["arms"] if arm["name"] == name)


# --- the document ------------------------------------------------------------------------------

def test_means_differences_and_order_are_those_of_the_numbers(runs):
    document = described(runs)
    assert document["baseline"] == "cross_entropy"
    assert [a["name"] for a in document["arms"]] == ["cross_entropy + 0.0001*z_loss", "cross_entropy", "squentropy"]
    worse = arm(document, "squentropy")
    assert worse["seeds"] == [0, 1, 2, 3] and worse["status"] == "finished"
    assert worse["scores"]["nll"]["value"] == pytest.approx(1.5205)
    values = [1.5 + 0.02 + NOISE[s] + 0.001 * (-1) ** s for s in range(4)]
    mean = sum(values) / 4
    stderr = math.sqrt(sum((v - mean) ** 2 for v in values) / 3 / 4)
    assert worse["scores"]["nll"]["stderr"] == pytest.approx(stderr)
    assert worse["scores"]["nll"]["n"] == 4 and worse["scores"]["nll"]["unit"] == "nats/token"
    assert worse["difference"]["value"] == pytest.approx(0.02)
    assert worse["difference"]["low"] < 0.02 < worse["difference"]["high"]
    assert worse["difference_bits_per_byte"]["value"] == pytest.approx(0.02 / math.log(2))
    assert arm(document, "cross_entropy")["difference"] is None


def test_cost_is_the_median_and_quantiles_are_kept(runs):
    found = arm(described(runs), "squentropy")
    assert found["cost"]["tokens_per_second"] == pytest.approx(9000 / 1.3 + 1.5)
    assert found["cost"]["loss_cost_ratio"] == 1.3
    assert found["document_perplexity"]["0.95"] == pytest.approx(6.8)


def test_curves_have_mean_range_and_every_seed(runs):
    document = described(runs)
    curve = arm(document, "squentropy")["curve"]
    firsts = [run.curve("tune/nll")[0][1] for run in runs if run.loss == "squentropy"]
    assert curve["tokens"][0] == 25 * 1024 and len(curve["seeds"]) == 4
    assert (curve["low"][0], curve["high"][0]) == (min(firsts), max(firsts))
    assert curve["mean"][0] == pytest.approx(sum(firsts) / 4)
    assert arm(document, "squentropy")["gap"]["mean"][-1] == pytest.approx(0.02)


def test_settings_shared_and_differing_are_told_apart(tmp_path):
    runs = [write_run(tmp_path, loss, 0, learning_rate=rate) for loss, rate in (("cross_entropy", 2e-3), ("mse", 1e-3))]
    document = described(runs)
    assert document["settings"]["model.n_layer"] == 2 and "train.learning_rate" not in document["settings"]
    assert arm(document, "mse")["differs"] == {"train.learning_rate": 1e-3}
    assert any("more than the loss: train.learning_rate (0.002 and 0.001)" in w for w in document["warnings"])


def test_one_learning_rate_for_all_is_said(runs):
    said = "all arms at learning rate 0.004; tuned separately the order may change"
    assert said in described(runs)["warnings"]


def test_distance_to_a_known_floor(tmp_path):
    found = described([write_run(tmp_path, "cross_entropy", s, 1.5, floor=2.0) for s in (0, 1)])
    assert found["corpus"]["floor_bits_per_byte"] == 2.0
    distance = found["arms"][0]["distance_to_floor"]
    assert distance["value"] == pytest.approx(1.5 / math.log(2) + 0.01 - 2.0) and distance["n"] == 2
    assert described([write_run(tmp_path, "mse", 0)])["arms"][0]["distance_to_floor"] is None


def test_without_cross_entropy_the_first_arm_is_the_baseline(tmp_path):
    runs = [write_run(tmp_path, loss, seed, 1.5 + seed / 100) for loss in ("mse", "squentropy") for seed in (0, 1)]
    assert described(runs)["baseline"] == "mse"
    assert described(runs, baseline="squentropy")["baseline"] == "squentropy"
    with pytest.raises(ValueError, match="did you mean squentropy"):
        described(runs, baseline="squentropi")


def test_a_diverged_seed_leaves_the_arm_without_a_mean_and_last(runs, tmp_path):
    runs += [write_run(tmp_path, "bold", s, 1.2, status="diverged" if s == 2 else "finished") for s in range(4)]
    document = described(runs)
    last = document["arms"][-1]
    assert last["name"] == "bold" and last["scores"] == {} and last["difference"] is None
    assert "diverged" in last["status"] and "1 of 4" in f"{last['verdict']} {last['status']}"
    assert last["runs"][2]["diverged"]["step"] == 212
    assert "diverged" in report.table(document)


def test_one_seed_shows_no_interval(tmp_path):
    document = described([write_run(tmp_path, loss, 0, v) for loss, v in (("cross_entropy", 1.5), ("mse", 1.6))])
    found = arm(document, "mse")
    assert found["scores"]["nll"]["stderr"] is None
    assert not found["difference"] or found["difference"]["low"] is None
    assert any(w.startswith("one seed") for w in document["warnings"])
    assert "one seed" in document["verdict"]
    report.table(document), page.html(document)


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


def test_seeds_added_after_a_look_are_said(runs):
    document = described(runs, looks=[[0, 1], [0, 1, 2, 3]])
    assert document["looks"] == [2] and "CAUTION, seeds were added after a look at 2:" in document["verdict"]
    assert document["warnings"][0].startswith("seeds were added after a look at 2: a verdict here errs more often than")
    assert described(runs)["looks"] == [] and "look" not in described(runs)["verdict"]


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


def test_a_fitted_temperature_that_changes_the_leader_is_said(tmp_path):
    runs = [write_run(tmp_path, "cross_entropy", s, 1.5 + s / 100) for s in (0, 1)]
    runs += [write_run(tmp_path, "mse", s, 1.9 + s / 100, calibrated=1.4) for s in (0, 1)]
    assert any("temperature, mse leads instead of cross_entropy" in w for w in described(runs)["warnings"])


def test_infinite_scores_become_null(tmp_path):
    runs = [write_run(tmp_path, "cross_entropy", s) for s in (0, 1)]
    runs[0].result["scores"]["perplexity"]["value"] = math.inf
    document = described(runs)
    assert document["arms"][0]["scores"]["perplexity"]["value"] is None
    json.dumps(document, allow_nan=False)


def test_one_arm_alone_is_described_without_a_verdict(tmp_path):
    document = described([write_run(tmp_path, "cross_entropy", s, 1.5 + s / 100) for s in (0, 1)])
    assert document["verdict"] == "no verdict: cross_entropy is the only arm"
    assert document["arms"][0]["scores"]["nll"]["value"] == pytest.approx(1.505)
    assert "difference" not in json.loads(json.dumps(list(page.charts(document))))
    assert "only arm" in report.table(document) and "only arm" in page.html(document)


def test_a_stride_is_part_of_the_name_of_the_score(tmp_path):
    runs = [write_run(tmp_path, loss, s, v + NOISE[s] * (1 + v))
            for loss, v in (("cross_entropy", 1.5), ("mse", 1.6)) for s in (0, 1)]
    for run in runs:
        run.result["scores"] = {f"{name}_stride_64": found for name, found in run.result["scores"].items()}
    document = described(runs)
    assert document["measure"] == "nll_stride_64"
    assert arm(document, "mse")["difference"]["value"] == pytest.approx(0.1 + 0.1 * 0.002)
    assert "2.3" in report.table(document).splitlines()[3]  # bits per byte of mse


def test_an_arm_far_out_does_not_flatten_the_others(runs, tmp_path):
    runs += [write_run(tmp_path, "mse", s, 4.0 + s / 100) for s in range(4)]
    document = described(runs)
    assert beyond(document) == ["mse"]
    text = json.dumps(page.charts(document)["differences"])
    reach = max(map(abs, map(float, re.findall(r'"domain": \[(-?[\d.]+), [\d.]+\]', text))))
    assert 0.05 < reach < 0.2


@pytest.mark.parametrize(("value", "stderr", "shown"), [
    (3.27851, 0.00041, "3.2785 ± 0.0004 (n=3)"), (1.21, None, "1.2100 (n=3)"),
    (7307796087.0, 3.8e9, "7.31e+09 ± 3.8e+09 (n=3)"),
    (None, None, "–"),
])
def test_scores_as_readers_see_them(value, stderr, shown):
    assert words.score({"value": value, "stderr": stderr, "n": 3, "unit": ""}) == shown


@pytest.mark.parametrize(("verdict", "shown"), [
    ("a is 0.1 better than b [0.05, 0.15] (of 6 candidates: 1 better, 5 worse)",
     ("a is 0.1 better than b [0.05, 0.15]", "Of 6 candidates: 1 better, 5 worse.")),
    ("no candidate is shown to be better than b (of 2: 2 worse)",
     ("No candidate is shown to be better than b", "Of 2 candidates: 2 worse.")),
    ("no verdict from one seed", ("No verdict from one seed", "")),
])
def test_a_long_verdict_becomes_a_headline_and_a_tally(verdict, shown):
    assert page._headline(verdict) == shown


def test_no_runs_is_an_error():
    with pytest.raises(ValueError, match="no run to report"):
        described([])


# --- the page ----------------------------------------------------------------------------------

class Page(HTMLParser):
    """Elements as a browser's parser sees them: `(tag, attributes)` and the text inside."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.texts, self.open = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.texts.append("")
        self.open = True

    def handle_endtag(self, tag):
        self.open = False

    def handle_data(self, data):
        if self.open:
            self.texts[-1] += data

    def all(self, tag):
        return [(a, x) for (t, a), x in zip(self.elements, self.texts, strict=True) if t == tag]


def test_three_files_of_one_stem(runs, tmp_path):
    document = described(runs, command="losslab compare squentropy")
    path = report.write(document, tmp_path / "out" / "first.comparison")
    assert path == tmp_path / "out" / "first.comparison.html"
    assert json.loads(path.with_suffix(".json").read_text()) == document
    assert "losslab compare squentropy" in path.with_suffix(".md").read_text()


def test_the_page_carries_the_document_and_one_bundle(runs):
    document = described(runs)
    text = page.html(document)
    scripts = Page(text).all("script")
    assert json.loads(next(x for a, x in scripts if a.get("id") == "document")) == document
    assert text.count("window.vegaEmbed=") == 1
    assert len(text) < 2_000_000
    charts = json.loads(next(x for a, x in scripts if a.get("id") == "charts"))
    assert set(charts) == {"differences", "curves", "gaps", "finals", "speed"}
    assert all(chart["description"] for chart in charts.values())
    assert all(f'data-chart="{name}"' in text for name in charts)


def test_names_stand_level_with_their_marks_and_nothing_is_drawn_through_them(runs):
    drawn = page.charts(described(runs))
    for name in ("differences", "finals", "speed"):
        layers = drawn[name]["layer"]
        scales = [layer["encoding"]["x"]["scale"] for layer in layers if "scale" in layer["encoding"].get("x", {})]
        assert scales and all(scale["rangeMin"] == {"expr": f"{BAND} + 14"} for scale in scales)
        marks = {json.dumps(layer["encoding"]["y"]) for layer in layers if layer["encoding"].get("y", {}).get("field")}
        words_ = [layer["mark"] for layer in layers if layer["mark"].get("limit")]
        assert len(marks) == 1 and [mark["limit"] for mark in words_] == [{"expr": BAND}] * 2
        assert [mark["baseline"] for mark in words_] == ["bottom", "top"]  # on both sides of the mark's height


def test_every_seed_is_named_and_captions_stand_outside_wide_tables(runs):
    text = page.html(described(runs))
    assert [x for _, x in Page(text).all("th") if x.startswith("seed ")] == ["seed 0", "seed 1", "seed 2", "seed 3"]
    assert "<caption" not in text and text.count('class="caption"') >= 4
    shown = report.markdown(described(runs))
    assert "## Every seed: nll, nats/token\n\n| loss | seed 0 | seed 1 | seed 2 | seed 3 |" in shown
    assert "| `squentropy` | 1.5210 | 1.5230 | 1.5180 | 1.5200 |" in shown


def test_the_page_asks_the_network_for_nothing(runs):
    parsed = Page(page.html(described(runs)))
    loads = [(tag, a) for tag, a in parsed.elements
             if any(a.get(k) for k in ("src", "srcset", "data", "action", "poster", "xlink:href"))
             or (a.get("href") or "#")[0] != "#"]
    assert not loads
    policy = next(a["content"] for a, _ in parsed.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; ")
    assert "http" not in policy and "unsafe" not in policy and "*" not in policy
    assert not any(name.startswith("on") or name == "style" for _, a in parsed.elements for name in a)


def test_every_script_and_style_is_named_in_the_policy_by_its_hash(runs):
    parsed = Page(page.html(described(runs)))
    policy = next(a["content"] for a, _ in parsed.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    run = [x for a, x in parsed.all("script") if "type" not in a] + [x for _, x in parsed.all("style")]
    assert len(run) == 3 and all(page._hash(text) in policy for text in run)


def test_hostile_words_are_only_words(tmp_path):
    runs = [write_run(tmp_path, loss, s, 1.5 + s / 100, source=f"# {HOSTILE}", samples=[(HOSTILE, f" {HOSTILE}")],
                      corpus={"name": HOSTILE})
            for loss in ("cross_entropy", f"x_{HOSTILE}") for s in (0, 1)]
    document = described(runs, command=HOSTILE)
    text = page.html(document)
    parsed = Page(text)
    assert not parsed.all("img") and "<img" not in text.replace(page._bundle(), "")
    assert len(parsed.all("script")) == 4
    assert json.loads(next(x for a, x in parsed.all("script") if a.get("id") == "document")) == document


WORDS = ["a` | <script>alert(1)</script>", "\\| <script>x</script> `", "[x](javascript:alert(1))", "<!--", "](y)",
         "x\n\n<img src=x onerror=alert(1)>", "``` \n<i>", "\x1b[2J\x9b1m\r\u202e", "\udcff", "- # 1. ~~~", "$x$ &lt;",
         "</pre>"]


@given(st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=12)), min_size=1, max_size=4).map("".join))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example("".join(WORDS))
def test_whatever_comes_from_a_run_is_only_words_in_every_form(store, word):
    runs, whole = [], word == "".join(WORDS)
    for loss, seed in ((loss, seed) for loss in ("cross_entropy", f"x{word}") for seed in (0, 1)):
        run = copy.deepcopy(store[seed])
        run.spec["config"]["loss"], run.spec["condition"] = loss, loss
        run.spec["config"]["data"]["corpus"], run.spec["corpus"]["name"] = word, word
        run.spec["losses"] = [{"path": word, "sha256": word, "source": word}]
        run.environment["torch"] = word
        run.result["scores"][word] = score(1.0 + seed, word)
        run.result["samples"] = [{"prompt": word, "text": word}]
        runs.append(run)
    runs.append(dataclasses.replace(runs[-1], path=Path(f"/{word}"), status="failed", result={"error": word}, spec={
        **runs[-1].spec, "condition": "other", "config": {**runs[-1].spec["config"], "loss": f"y{word}"}}))
    document = described(runs, command=word)
    text = report.markdown(document)
    text.encode(), json.dumps(document, allow_nan=False).encode()
    table = report.table(document)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", table)
    assert all(len(line) <= 100 for line in table.splitlines())
    if whole:  # a page takes its time
        parsed = Page(page.html(document))
        assert len(parsed.all("script")) == 4 and not {tag for tag, _ in parsed.elements} & {"img", "i"}
    # Markdown: the only tags are the <pre> of blocks, and every row of a table has the cells of its heading
    assert set(re.findall(r"<[^\n]{0,4}", text)) <= {"<pre>", "</pre"}, text
    outside = re.sub(r"(?ms)^(`{3,})\n.*?^\1$|^<pre>\n.*?^</pre>$", "", text)
    assert "](" not in re.sub(r"\\.", "", re.sub(r"`[^`\n]*`", "", outside))
    for block in re.findall(r"(?m)(?:^\|.*\n)+", outside):
        assert len({row.count("|") for row in block.splitlines()}) == 1, block


def test_a_name_may_not_move_the_cursor(tmp_path):
    runs = [write_run(tmp_path, f"a\x1b[2Jb\n{'long' * 40}", s, 1.5 + s / 100) for s in (0, 1)]
    table = report.table(described(runs))
    assert "\x1b" not in table and "\nb" not in table


def test_the_table_fits_a_terminal_and_ends_with_the_verdict(runs):
    document = described(runs)
    lines = report.table(document).splitlines()
    assert max(map(len, lines)) <= 100
    assert "".join(document["verdict"].split()).endswith("".join(lines[-1].split()))
    assert "+0.0200 [" in report.table(document) and "1.5205 ± 0.0" in report.table(document)


def _luminance(color):
    channels = [int(color[i:i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_marks_stand_out_from_the_paper(scheme):
    # WCAG 2.2: 4.5 for text, 3 for marks
    light, dark = (page.HERE / "page.css").read_text().split("@media screen and (prefers-color-scheme: dark)")
    colors = dict(re.findall(r"--([\w-]+): (#\w{6})", light if scheme == "light" else dark))
    assert len(colors) == 14
    for name, color in colors.items():
        least = {"ink": 7, "muted": 4.5, "accent": 4.5}.get(name, 3 if name.startswith("arm") else 1)
        for ground in (colors["paper"], colors["panel"]):
            high, low = sorted((_luminance(color), _luminance(ground)), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= least, (name, color, ground)


def chromium(path, profile, *flags):
    return subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
         f"--user-data-dir={profile}", "--virtual-time-budget=10000", *flags, path.as_uri()],
        capture_output=True, text=True, timeout=60, check=False,
    )


@pytest.mark.skipif(not shutil.which(CHROMIUM), reason="no chromium to open the page with")
def test_a_browser_draws_every_chart_under_the_policy(runs, tmp_path):
    path = report.write(described(runs), tmp_path / "page.html")
    done = chromium(path, tmp_path / "profile", "--dump-dom")
    drawn = re.sub(r"(?s)<noscript>.*?</noscript>|<script.*?</script>", "", done.stdout)
    assert len(re.findall(r'<svg[^>]*class="marks"', drawn)) == 5
    assert drawn.count('aria-roledescription="point"') > 12
    assert "could not be drawn" not in drawn
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert not said, "\n".join(said)  # nothing was refused by the policy, and nothing went wrong


def test_importing_the_report_is_light():
    heavy = "{'torch', 'altair', 'vl_convert', 'jinja2', 'pandas'} & set(sys.modules)"
    code = f"import sys, losslab.report; sys.exit(bool({heavy}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
