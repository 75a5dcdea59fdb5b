"""How losses and tasks go together over sizes and over seeds."""

import json
import math

import numpy as np
import pytest
from commands import losslab, refuses
from ladders import QUICK
from ladders import trained as trained
from ladders import unfitted as unfitted

from losslab.ladder.together import correlation, forms, together
from losslab.report import ladder as report
from losslab.report import ladder_charts


def test_spearman_with_its_interval():
    found = correlation(range(20), [*range(18), 19, 18])
    rho = 1 - 6 * 2 / (20 * 399)
    half = 1.959964 * math.sqrt((1 + rho**2 / 2) / 17)
    assert found["rho"] == pytest.approx(rho)
    assert (found["low"], found["high"]) == pytest.approx((math.tanh(math.atanh(rho) - half),
                                                           math.tanh(math.atanh(rho) + half)))
    assert correlation([1, 2], [1, 2])["rho"] is None and correlation([1, 1, 1, 1], [1, 2, 3, 4])["rho"] is None


def many(rng, seeds=6, noise=0.01):
    """Scores that follow the bits as models grow, and are noise over seeds."""
    for step, n in enumerate((1e4, 3e4, 1e5, 3e5, 1e6, 3e6)):
        for arm in ("one", "two"):
            for seed in range(seeds):
                bits = 3 - 0.3 * step + 0.001 * rng.normal()
                yield {"arm": arm, "rung": f"r{step}", "seed": seed, "num_params": n, "nll": bits * math.log(2),
                       "bits_per_byte": bits, "blimp_accuracy": 0.5 + 0.4 / (1 + math.exp((bits - 2.2) / 0.3))
                       + noise * rng.normal()}


def test_bits_and_accuracy_over_sizes_and_over_seeds():
    found = together(list(many(np.random.default_rng(0))), "blimp_accuracy")
    assert found["sizes"]["one"]["rho"] > 0.9 and found["sizes"]["one"]["n"] == 6
    assert found["seeds"]["n"] == 72 - 11 and found["seeds"]["low"] < 0 < found["seeds"]["high"]
    assert found["pairs"] == 66 and found["num_disagreeing"] < 10
    line, sigmoid, power = found["forms"]
    assert sigmoid["rms"] == pytest.approx(0.01, abs=0.002) and sigmoid["constants"]["middle"] == pytest.approx(
        2.2 * math.log(2), abs=0.15)
    assert line["rms"] > sigmoid["rms"] and power["ahead"] is not None


def test_a_pair_that_disagrees_is_named():
    rows = list(many(np.random.default_rng(1), noise=1e-4))
    for row in rows:
        if row["rung"] == "r5":
            row["blimp_accuracy"] -= 0.5
    found = together(rows, "blimp_accuracy")
    assert found["disagreeing"][0]["better_loss"][1] == "r5" and found["disagreeing"][0]["sure"]
    assert forms(rows[:2], "blimp_accuracy")[1]["constants"] is None


def test_tasks_become_columns_and_a_missing_one_is_said(trained, unfitted, capsys, monkeypatch):
    def measured(name, run, wanted, **options):
        if run.seed == 2:
            raise ValueError("no such file")
        value = 0.9 - 0.2 * run.scores["nll"]["value"]
        return {"result": {"scores": {"accuracy": {"value": value}, "perplexity": {"value": 3.0}}}}

    monkeypatch.setattr("losslab.evaluate.stored.run", measured)
    assert losslab("ladder", "steps.toml", "--tasks", "blimp", *QUICK) == 0
    found = json.loads(capsys.readouterr().out)
    [one] = found["together"]
    assert one["measure"] == "blimp_accuracy" and one["sizes"]["squentropy"]["rho"] == 1
    assert sum("no such file" in sentence for sentence in found["warnings"]) == 3
    assert ladder_charts.charts(found).keys() == ladder_charts.titles(found).keys() == {"line-0", "sigmoid-0"}
    assert "bits per byte and blimp_accuracy" in report.text(found) and "sigmoid" not in report.lede(found)
    assert "unknown task" in refuses(capsys, "ladder", "steps.toml", "--tasks", "blimb")
