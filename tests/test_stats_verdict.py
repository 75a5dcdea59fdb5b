"""What a comparison of arms says, and how often it is wrong."""

import json
import math
import re

import numpy as np
import pytest
import scipy.stats
from arms_by_hand import CE, seeded, shifted, within_binomial_error
from hypothesis import given
from hypothesis import strategies as st

from losslab.stats import Score, compare, detectable_difference, holm, seeds_needed, verdict
from losslab.stats.comparison import Terms


def test_worse_reads_as_in_the_design():
    arms = {"cross_entropy": CE, "squentropy": shifted([0.0121, 0.0098, 0.0144, 0.0110, 0.0132])}
    result = compare(arms, "cross_entropy")
    assert result.verdict == (
        "squentropy is 0.0121 nats/token worse than cross_entropy [0.0099, 0.0143], p = 0.0001, 5 seeds paired"
    )
    assert [(arm.name, arm.rank, arm.outcome) for arm in result.arms] == [
        ("cross_entropy", 1, "baseline"),
        ("squentropy", 2, "worse"),
    ]


def test_the_numbers_are_scipys():
    arm = shifted([0.004, -0.001, 0.003, 0.0, 0.002])
    d = compare({"ce": CE, "x": arm}, "ce", margin=0.003).arm("x").difference
    reference = scipy.stats.ttest_rel(list(arm.values()), list(CE.values()))
    low, high = reference.confidence_interval()
    assert (d.value, d.low, d.high) == pytest.approx((0.0016, low, high), abs=1e-12)
    assert d.p_value == d.p_holm == pytest.approx(reference.pvalue) and d.n == 5
    sd = d.stderr * math.sqrt(5)
    assert sd == pytest.approx(np.std([0.004, -0.001, 0.003, 0.0, 0.002], ddof=1))
    # a plan that takes the estimated spread for the true one would say 12 seeds and 0.0042
    assert d.seeds_needed > seeds_needed(sd, 0.003) and d.detectable > detectable_difference(sd, 5)


def test_the_order_of_the_seeds_is_no_matter():
    arm = shifted([0.004, -0.001, 0.003, 0.0, 0.002])
    backward = dict(reversed(arm.items()))
    assert compare({"ce": CE, "x": backward}, "ce") == compare({"ce": CE, "x": arm}, "ce")


def test_better_is_said_with_positive_numbers_and_reverses_for_accuracies():
    arms = {"a": CE, "b": shifted([-0.0121, -0.0098, -0.0144, -0.0110, -0.0132])}
    lower, higher = compare(arms, "a"), compare(arms, "a", higher_is_better=True, unit="")
    assert lower.verdict.startswith("b is 0.0121 nats/token better than a [0.0099, 0.0143], p = ")
    assert higher.verdict.startswith("b is 0.0121 worse than a [0.0099, 0.0143], p = ")
    assert [arm.name for arm in lower.arms] == ["b", "a"] and [arm.name for arm in higher.arms] == ["a", "b"]
    assert lower.arm("b").difference.value == higher.arm("b").difference.value < 0


def test_an_open_difference_says_what_the_seeds_could_show_and_what_a_fresh_comparison_would_take():
    by = [0.12, -0.2, 0.41, 0.3, -0.03]
    d = compare({"A": CE, "B": shifted(by)}, "A").arm("B")
    assert d.outcome == "open" and d.difference.seeds_needed is None  # more than 10,000
    assert d.verdict == (
        "no difference shown between B and A: +0.12 nats/token [-0.19, 0.43], p = 0.34, 5 seeds paired; 5 seeds could "
        "show 0.67 or more; a fresh comparison would take 89 seeds for the observed 0.12, more than 10,000 seeds for "
        "0.002 (power 0.9)"
    )
    centered = compare({"A": CE, "B": shifted([0.25, -0.25, 0.5, -0.5, 0.0])}, "A", margin=0.1)  # it may be exactly 0
    assert centered.arm("B").outcome == "open" and "nan" not in centered.verdict


def test_two_seeds_say_in_the_sentence_how_little_they_are():
    result = compare({"A": {1: 3.0, 2: 3.1}, "B": {1: 3.2, 2: 3.30006}}, "A")
    assert result.arm("B").outcome == "worse" and result.arm("B").difference.p_value == pytest.approx(1e-4, rel=0.1)
    assert result.verdict.endswith(
        "2 seeds paired; CAUTION, only 2 seeds: p and interval rest on one degree of freedom and on normal "
        "differences, which 2 cannot show; 2 signs agree by chance every second time; run 6 seeds or more"
    )
    assert "CAUTION" in compare({"A": {1: 3.0, 2: 3.1}, "B": {1: 3.0, 2: 3.1 + 1e-6}}, "A").verdict  # equivalent
    few, enough = (compare({"A": seeded(range(n)), "B": seeded([1.01 * x + 1 for x in range(n)])}, "A") for n in (5, 6))
    assert "CAUTION" not in few.verdict and "signs of fewer than 6 differences alone cannot give p < 0.05" in few.note
    assert "signs" not in enough.note


def test_differences_of_two_values_mislead_the_t_test_as_often_as_their_signs_agree():
    rng = np.random.default_rng(13)  # why `firm_from` counts signs
    for n in (2, 3, 5, 6):
        draws = rng.choice([-1.0, 1.0], (4000, n)) + rng.normal(0, 1e-3, (4000, n))
        shown = (scipy.stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05).sum()
        assert within_binomial_error(shown, 4000, 2.0 ** (1 - n))


def test_equivalent_within_the_margin():
    result = compare({"A": CE, "B": shifted([0.0002, -0.0003, 0.0001, -0.0002, 0.0003])}, "A")
    assert result.arm("B").outcome == "equivalent" and result.arm("B").difference.equivalent
    opening = "B and A are equivalent within 0.002: +0.00002 nats/token [-0.00030, 0.00034], p = "
    assert result.verdict.startswith(opening)


def test_a_difference_may_be_real_and_too_small_to_matter():
    result = compare({"A": CE, "B": shifted([0.0006, 0.0007, 0.0005, 0.0006, 0.0008])}, "A")
    assert "worse than A" in result.verdict and result.verdict.endswith("; yet equivalent within 0.002")


def test_the_verdict_follows_holm_and_shows_the_raw_p_too():
    by = [0.0019, 0.0004, 0.0012, 0.0003, 0.0021]
    assert compare({"A": CE, "B": shifted(by)}, "A").arm("B").outcome == "worse"
    arms = {"A": CE, "B": shifted(by)} | {f"N{i}": shifted([1e-3, -1e-3, 2e-3, -2e-3, i * 1e-5]) for i in range(3)}
    result = compare(arms, "A", margin=0.001)
    d = result.arm("B").difference
    tested = [result.arm(name).difference for name in ("N0", "N1", "N2", "B")]
    assert [each.p_holm for each in tested] == holm([each.p_value for each in tested])
    assert d.p_value < 0.05 < d.p_holm == pytest.approx(4 * d.p_value) and d.low > 0
    assert result.arm("B").verdict.startswith("no difference shown between B and A: +0.0012")
    assert f"p = {d.p_holm:.2f} by Holm over 4 arms (alone p = {d.p_value:.4f})" in result.arm("B").verdict
    assert "95 % t intervals over paired seeds, not adjusted" in result.note and "Holm's p over 4 arms" in result.note


def test_identical_arms_are_called_so():
    result = compare({"A": CE, "B": dict(CE)}, "A")
    d = result.arm("B").difference
    assert result.verdict == "B and A are identical: every difference is exactly 0, 5 seeds paired"
    assert (d.value, d.low, d.high, d.p_value, d.p_holm) == (0.0, 0.0, 0.0, None, None)
    assert compare({"A": {1: 3.0}, "B": {1: 3.0}}, "A").arm("B").outcome == "identical"


def test_identical_arms_cost_the_others_nothing_by_holm():
    other = shifted([0.004, -0.001, 0.003, 0.0, 0.002])
    d = compare({"A": CE, "B": dict(CE), "C": other}, "A").arm("C").difference
    assert d.p_holm == d.p_value


def test_one_seed_gives_no_verdict():
    result = compare({"A": {3: 3.2810}, "B": {3: 3.2931}}, "A")
    d = result.arm("B").difference
    assert result.verdict == "no verdict from one seed: B - A = +0.0121 nats/token"
    assert (d.low, d.high, d.p_value, d.stderr, d.seeds_needed, d.n) == (None, None, None, None, None, 1)
    assert result.arm("A").mean == Score(3.2810, None, 1, "nats/token")
    assert result.noise_band is None and result.baseline_sd is None
    three = compare({"A": {3: 3.2810}, "B": {3: 3.2931}, "C": {3: 3.27}}, "A")
    assert three.verdict == "no verdict from one seed; in the order of its values: C, A, B"


@given(st.lists(st.lists(st.floats(-1e3, 1e3), min_size=3, max_size=3), min_size=2, max_size=4))
def test_no_finite_input_gives_nan(rows):
    arms = {f"arm{i}": seeded(row) for i, row in enumerate(rows)}
    result = compare(arms, "arm0")
    assert not re.search(r"NaN|Infinity", json.dumps(result.to_dict()))
    assert sorted(arm.rank for arm in result.arms) == list(range(1, len(rows) + 1))


def test_four_useless_arms_seldom_earn_a_verdict():
    rng = np.random.default_rng(9)
    trials, by_holm, alone = 700, 0, 0
    for noise in rng.normal(3.28, 0.002, (trials, 5, 4)):
        arms = {f"arm{i}": seeded(row) for i, row in enumerate(noise)}
        result = compare(arms, "arm0", plan=False)
        by_holm += any(arm.outcome in ("better", "worse") for arm in result.arms)
        alone += any(arm.difference and arm.difference.p_value < 0.05 for arm in result.arms)
    assert by_holm <= 0.05 * trials + 3 * math.sqrt(trials * 0.05 * 0.95)
    assert alone > 0.09 * trials  # without Holm the same arms would have


def test_the_foot_of_a_table_plans_seeds_only_for_a_look_that_is_left():
    known = dict(baseline="a", margin=0.002, alpha=0.05, unit="nats/token", higher_is_better=False, level=0.0167)
    planned = verdict.note(Terms(**known, looks=2, next_level=0.0083), 3, 8)
    assert "at the level 0.0083 of the next look, with power 0.9" in planned
    last = verdict.note(Terms(**known, looks=3, next_level=0.0), 3, 16)
    assert last.endswith("no look is left") and "seeds needed" not in last
    assert "for a fresh comparison" in verdict.note(Terms(**known, looks=None, next_level=0.05), 3, 8)
