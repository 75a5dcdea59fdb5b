"""Documents against hand-made run folders."""

import json
import math
import re

import pytest
from report_runs import NOISE, arm, described, write_run
from report_runs import runs as runs

from losslab import report
from losslab.report import page, words
from losslab.report.marks import beyond


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
    said = "all arms at learning rate 0.004 of the recipe classic; tuned separately the order may change"
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


