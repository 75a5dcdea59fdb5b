"""The error rates of the verdict, over studies whose truth is known; benchmarks/verdicts.py has the large ones."""

import json

import numpy as np
import pytest
import scipy.stats
from arms_by_hand import within_binomial_error
from record_runs import RESULT, write_run

from losslab import cli
from losslab.stats.calibration import Design, calibrate, rate, resampled, simulated
from losslab.stats.race import declared


def test_one_look_errs_as_often_as_it_spends():
    found = calibrate(simulated(2, 0.004), Design(2, 4), studies=800)
    assert within_binomial_error(found["false_verdicts"]["value"] * 800, 800, 0.04)
    assert within_binomial_error((1 - found["coverage"]["value"]) * 800, 800, 0.04)


@pytest.mark.parametrize(("design", "correlation", "shape"), [
    (Design(2, 3, "advice", 0.004), 0.5, "normal"), (Design(4, 4, "race", 0.004), 0.9, "normal"),
    (Design(3, 3, "race", 0.004), 0.0, "heavy"), (Design(3, 3, "race", 0.004), 0.0, "skewed"),
])  # fmt: skip
def test_no_rule_errs_in_more_than_five_percent(design, correlation, shape):
    studies = 150
    found = calibrate(simulated(design.arms, 0.004, correlation, shape), design, studies=studies, seed=1)
    assert found["false_verdicts"]["low"] < 0.05 and found["false_equivalent"]["low"] < 0.05
    assert found["coverage"]["high"] > 0.95


def test_a_clear_difference_ends_a_race_early():
    sd = 0.004  # five standard deviations of a paired difference of independent arms
    found = calibrate(simulated(2, sd), Design(2, 4, "race"), studies=200, effect=5 * sd * 2**0.5)
    assert found["power"]["value"] > 0.99 and found["seeds_run"] < 6


def test_no_run_is_taken_twice_in_a_study():
    runs = np.arange(60.0)
    drawn = resampled(runs, 6)(np.random.default_rng(0), 20)
    assert drawn.shape == (6, 10) and len(set(drawn.ravel())) == 60


def test_simulated_arms_have_the_spread_and_the_correlation_that_were_asked():
    for shape in ("normal", "skewed"):
        drawn = simulated(2, 0.5, 0.6, shape)(np.random.default_rng(0), 40_000)
        assert drawn.std(axis=1) == pytest.approx([0.5, 0.5], rel=0.02)
        assert np.corrcoef(drawn)[0, 1] == pytest.approx(0.6, abs=0.02)


def test_the_interval_of_a_rate_is_clopper_and_pearsons():
    reference = scipy.stats.binomtest(7, 50).proportion_ci(0.95, "exact")
    assert (rate(7, 50)["low"], rate(7, 50)["high"]) == pytest.approx((reference.low, reference.high))
    assert (rate(0, 9)["low"], rate(9, 9)["high"]) == (0.0, 1.0)


def test_the_command_reads_the_largest_condition_of_a_store(tmp_path, capsys):
    for seed in range(12):
        value = 1.5 + 0.01 * ((seed * 7) % 5)
        scores = {"nll": {"value": value, "stderr": 0.01, "n": 8, "unit": "nats/token"}}
        write_run(tmp_path / f"r{seed}", "cross_entropy", seed, RESULT | {"scores": scores})

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main(["calibrate", "--from", str(tmp_path), *arguments])
        return ended.value.code, capsys.readouterr()

    code, said = run("--studies", "20", "--arms", "2", "--seeds", "3", "--json")
    found = json.loads(said.out)
    assert code == 0 and found["source"].startswith("12 runs of condition ") and found["coverage"]["n"] == 20
    assert {"value", "low", "high", "n"} == found["false_verdicts"].keys() == found["power"].keys()
    code, said = run("--arms", "5", "--seeds", "3")
    assert code == 2 and "has 12 finished runs" in said.err and "takes 15" in said.err
    told = "error: --race and --advice are two ways to add seeds; give one of them\n"
    assert run("--race", "--advice")[1].err == told


@pytest.mark.parametrize("looks", [[], [1, 2], [4, 4], [8, 4], [4, 8.0], ["4"]])
def test_a_race_needs_growing_numbers_of_seeds(looks):
    with pytest.raises(ValueError, match="a race looks at growing numbers of seeds, from 2 on"):
        declared(looks)
