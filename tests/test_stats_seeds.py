"""Comparisons with seeds that diverged, failed or are missing, and with arguments that cannot be."""

import json
import math

import numpy as np
import pytest
from arms_by_hand import CE, seeded, shifted, within_binomial_error

from losslab.stats import compare, mean_score


@pytest.mark.parametrize("by", [0.25, 0.1])  # exact in binary, and three values that differ by rounding
def test_one_difference_on_every_seed_claims_no_certainty(by):
    result = compare({"A": seeded([3.0, 1.1, 0.7]), "B": seeded([3.0 + by, 1.1 + by, 0.7 + by])}, "A")
    assert result.arm("B").outcome == "no spread"
    assert result.verdict == f"no verdict: B - A = +{by} nats/token on each of 3 seeds, which leaves no spread to test"
    assert "nan" not in json.dumps(result.to_dict()).lower()


def test_a_diverged_seed_costs_the_arm_its_mean_and_its_rank():
    low, lost = seeded([1.0, None, 1.0, None, 1.0]), seeded([None] * 5)
    arms = {"A": CE, "lost": lost, "low": low, "B": shifted([0.01, 0.011, 0.012, 0.01, 0.01])}
    result = compare(arms, "A")
    assert [arm.name for arm in result.arms] == ["A", "B", "low", "lost"]
    assert [arm.rank for arm in result.arms] == [1, 2, 3, 4]
    low = result.arm("low")
    assert (low.mean, low.difference, low.status, low.diverged) == (None, None, "2 of 5 diverged", (2, 4))
    assert low.verdict == "low diverged on 2 of 5 seeds: no mean and no difference"
    assert result.arm("B").difference.p_holm == result.arm("B").difference.p_value
    assert result.verdict == "no candidate is shown to be better than A (of 3: 1 worse, 2 diverged)"


def test_a_failed_seed_counts_as_a_diverged_one_does():
    better = shifted([-0.02, -0.021, -0.022, -0.02, -0.02])
    arms = {"A": CE, "B": better | {3: None}, "C": better | {1: None, 3: None}, "D": better, "E": better}
    result = compare(arms, "A", failed={"B": [3], "C": {1}, "E": [9], "gone": [1]})  # E's run of seed 9 left no value
    assert [arm.name for arm in result.arms] == ["D", "A", "E", "B", "C"]
    shown = {name: (result.arm(name).status, result.arm(name).outcome, result.arm(name).verdict) for name in "BCE"}
    assert shown["B"] == ("1 of 5 failed", "failed", "B failed on 1 of 5 seeds: no mean and no difference")
    assert shown["C"] == ("1 of 5 diverged, 1 of 5 failed", "diverged",
                          "C diverged on 1 of 5 seeds and failed on 1: no mean and no difference")
    assert shown["E"] == ("1 of 6 failed", "failed", "E failed on 1 of 6 seeds: no mean and no difference")
    assert all(result.arm(name).mean is None and result.arm(name).difference is None for name in "BCE")
    assert (result.arm("C").diverged, result.arm("C").failed, result.arm("C").lost) == ((3,), (1,), (1, 3))
    assert result.verdict.endswith("(of 4 candidates: 1 better, 2 failed, 1 diverged)")
    baseline = compare({"A": CE | {2: None}, "D": better}, "A", failed={"A": [2]})
    assert baseline.verdict == "no verdict: the baseline A failed on 1 of 5 seeds"
    assert baseline.arm("D").outcome == "baseline failed" and baseline.arm("A").outcome == "failed"
    with pytest.raises(ValueError, match="arm 'D' has a value on seed 2 and is said to have failed"):
        compare({"A": CE, "D": better}, "A", failed={"D": [2]})


def test_a_value_that_is_not_finite_is_a_diverged_seed():
    result = compare({"A": CE, "B": CE | {2: math.inf, 3: math.nan}}, "A")
    assert result.arm("B").status == "2 of 5 diverged" and result.arm("B").mean is None


def test_a_diverged_baseline_is_said_in_every_verdict():
    arms = {"A": CE | {2: None}, "B": shifted([0.01] * 5), "C": shifted([-0.01] * 5), "D": CE | {1: None, 2: None}}
    result = compare(arms, "A")
    assert [arm.name for arm in result.arms] == ["C", "B", "A", "D"]
    reason = "no verdict: the baseline A diverged on 1 of 5 seeds"
    assert result.verdict == result.arm("B").verdict == result.arm("C").verdict == reason
    assert result.arm("D").verdict == f"D diverged on 2 of 5 seeds; {reason}"
    assert result.arm("A").mean is None and result.arm("B").mean.n == 5 and result.arm("B").difference is None
    outcomes = [result.arm(name).outcome for name in "ABCD"]
    assert outcomes == ["diverged", "baseline diverged", "baseline diverged", "diverged"]
    assert result.noise_band is None


def test_pairs_are_the_seeds_that_both_have():
    arms = {"A": CE, "B": {4: 3.29, 5: 3.30, 6: 9.0}}
    result = compare(arms, "A")
    d = result.arm("B").difference
    assert d.n == 2 and d.value == pytest.approx((3.29 - 3.2802 + 3.30 - 3.2818) / 2)
    assert result.arm("B").mean.n == 3 and "2 seeds paired" in result.verdict


def test_ranks_follow_the_paired_difference_where_seeds_differ():
    # seed 6 is a hard one that only B has run: its mean is worse, its difference better
    result = compare({"A": CE, "B": shifted([-0.01, -0.011, -0.012, -0.01, -0.01]) | {6: 9.0}}, "A")
    assert [arm.name for arm in result.arms] == ["B", "A"]
    assert result.arm("B").mean.value > result.arm("A").mean.value


def test_the_headline_of_several_arms_names_the_best():
    better, best = shifted([-0.01, -0.011, -0.012, -0.01, -0.01]), shifted([-0.02, -0.021, -0.022, -0.02, -0.02])
    worse = shifted([0.02, 0.021, 0.022, 0.02, 0.02])
    result = compare({"A": CE, "C": better, "W": worse, "B": best}, "A")
    assert result.verdict.startswith("B is 0.0206 nats/token better than A [")
    assert result.verdict.endswith("(of 3 candidates: 2 better, 1 worse)")


@pytest.mark.parametrize(
    ("arms", "options", "message"),
    [
        ({"cross_entropy": CE, "B": CE}, {"baseline": "cross_entropi"}, r"did you mean cross_entropy\?"),
        ({"A": CE, "B": {}}, {}, "arm 'B' has no seed"),
        ({"A": CE, "B": {8: 3.0, 9: 3.0}}, {}, r"arm 'B' \(seeds 8, 9\) shares no seed .* \(seeds 1, 2, 3, 4, 5\)"),
        ({"A": CE, "B": CE}, {"margin": 0.0}, "margin must be above 0, got 0.0"),
        ({"A": CE, "B": CE}, {"alpha": 1.0}, "alpha must lie between 0 and 1, got 1.0"),
    ],
)
def test_bad_arguments_are_named(arms, options, message):
    with pytest.raises(ValueError, match=message):
        compare(arms, **({"baseline": "A"} | options))


def test_a_lone_baseline_has_scores_and_no_verdict():
    result = compare({"A": CE}, "A")
    assert result.verdict == "nothing to compare A with"
    assert result.arm("A").mean == mean_score(list(CE.values()), "nats/token")


def test_an_unknown_arm_is_named():
    with pytest.raises(ValueError, match="unknown arm 'Bb'.*did you mean"):
        compare({"A": CE, "B": CE}, "A").arm("Bb")


def test_the_whole_is_plain_json():
    result = compare({"A": CE, "B": shifted([0.01, 0.011, 0.012, 0.01, 0.01]), "C": CE | {2: None}}, "A")
    plain = json.loads(json.dumps(result.to_dict()))
    assert plain["verdict"] == result.verdict and plain["noise_band"] == result.noise_band
    assert [(arm["name"], arm["status"]) for arm in plain["arms"]] == [
        ("A", "finished"), ("B", "finished"), ("C", "1 of 5 diverged"),
    ]  # fmt: skip
    assert plain["arms"][1]["difference"]["low"] == result.arm("B").difference.low


def test_the_baseline_run_again_lands_in_its_noise_band():
    rng = np.random.default_rng(10)
    trials, inside = 700, 0
    for ours, again in rng.normal(3.28, 0.002, (trials, 2, 4)):
        result = compare({"A": seeded(ours), "again": seeded(again)}, "A", plan=False)
        inside += abs(result.arm("again").difference.value) <= result.noise_band
        assert result.baseline_sd == pytest.approx(ours.std(ddof=1))
    assert within_binomial_error(inside, trials, 0.95)
