"""The table with one row for each arm: its numbers by hand, its order, and that thirty arms fit a terminal."""

import math

import numpy as np
import pytest
from report_runs import described, write_run
from report_runs import runs as runs

from losslab import report
from losslab.comparison import equal_time
from losslab.report import summary
from losslab.stats.more_seeds import shown_by


def rows(document):
    table = summary.table(document)
    titles = [column.title for column in table.columns]
    return [dict(zip(titles, row, strict=True)) for row in table.rows]


def test_a_row_has_the_numbers_of_its_arm(runs):
    for run in runs:
        run.result["cost"]["train_seconds"] = 50.0 * run.result["cost"]["loss_cost_ratio"]
    document = described(runs)
    better, baseline, worse = rows(document)
    assert [row["loss"] for row in (better, baseline, worse)] == [
        "cross_entropy + 0.0001*z_loss", "cross_entropy", "squentropy"]
    assert baseline["difference [95 % interval]"] == "baseline" and worse["time"] == "1.30"
    spread = np.std([0.001, -0.001] * 2, ddof=1)  # of the differences of the one; of the other half of it
    for row, sd in ((worse, spread), (better, spread / 2)):  # of two arms at 5 %
        assert float(row["could show"]) == pytest.approx(shown_by(4, sd, 0.05 / 2), abs=5e-5)
    tokens = 1024 * np.arange(25, 501, 25)  # the learning curve that every run of the baseline logged, over seeds
    curve = np.mean([[2 * math.exp(-s / 90) + 0.01 * math.sin(s + seed) for s in range(25, 501, 25)]
                     for seed in range(4)], axis=0)
    part = (tokens >= 64_000) & (tokens <= 256_000)
    slope = -np.polyfit(np.log(tokens[part]), curve[part], 1)[0]
    own = np.mean([run.scores["nll"]["value"] for run in runs if run.loss == "squentropy"])
    assert float(worse["equal time"]) == pytest.approx(own + slope * math.log(1.3), abs=1e-4)
    assert worse["lost x2"] == "–"


def test_times_within_two_percent_are_one_and_what_is_unknown_is_not_guessed(tmp_path):
    assert equal_time.nll_at_equal_time(1.5, 1.019, None) == 1.5
    assert equal_time.nll_at_equal_time(1.5, 0.5, 0.2) == pytest.approx(1.5 - 0.2 * math.log(2))
    assert equal_time.nll_at_equal_time(1.5, 1.3, None) is None is equal_time.nll_at_equal_time(None, 1.3, 0.2)
    run = write_run(tmp_path, "mse", 0)
    (run.path / "log.jsonl").write_text("")
    assert equal_time.fall([run]) is None and equal_time.relative_time([run], []) is None


def test_thirty_arms_fit_a_terminal_and_lost_ones_stand_last(tmp_path):
    made = [write_run(tmp_path, "cross_entropy", seed, 1.6 + seed / 1000) for seed in range(3)]
    made += [write_run(tmp_path, f"label_smoothing(epsilon={i / 100})", seed, 1.5 + i / 100 + seed**2 / 1000)
             for i in range(28) for seed in range(3)]
    made += [write_run(tmp_path, "mse", seed, status="diverged") for seed in range(3)]
    trials = {"tuned": {}, "trials": [], "tuning": {
        "edge": False, "sensitivity": {"2": 0.0123, "4": "more than 0.250"}, "chosen_again": None}}
    document = described(made, tuned={made[0].condition: trials})
    every = rows(document)
    assert len(every) == 30 and every[-1]["nll"] == "3 of 3 diverged"
    values = [float(row["nll"]) for row in every[:-1]]
    assert values == sorted(values)
    (plain,) = [row for row in every if row["loss"] == "cross_entropy"]
    assert (plain["lost x2"], plain["lost x4"]) == ("0.012", "> 0.250")
    told = report.table(document)
    assert max(map(len, told.splitlines())) <= 100 and told.count("mse") >= 2
    assert "tokens/s" not in told and "## Every arm" in report.markdown(document)
