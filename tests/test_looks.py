"""Looks: what they spend, what stands, what spends nothing, and what a plan for more seeds promises."""

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.stats
from arms_by_hand import CE, shifted
from hypothesis import given
from hypothesis import strategies as st

from losslab.stats import compare, holm
from losslab.stats.looks import Judged, Look, intersected, next_level
from losslab.stats.more_seeds import fresh_seeds, reached, seeds_in_all, shown_by

OPEN = [0.25, -0.25, 0.5, -0.5, 0.6]
CLEAR = [0.0121, 0.0098, 0.0144, 0.0110, 0.0132]


@given(st.lists(st.integers(0, 4), max_size=30))
def test_all_looks_together_never_spend_more_than_alpha(planned):
    spent = []
    for declared in planned:
        spent.append(next_level(spent, planned=declared))
    assert math.fsum(spent) <= 0.05 * (1 + 1e-12) and all(level >= 0 for level in spent)


def test_a_race_shares_equally_and_a_last_look_takes_what_is_left():
    spent = []
    for left in (3, 2, 1):
        spent.append(next_level(spent, planned=left))
    assert spent == pytest.approx([0.05 / 3] * 3) and next_level(spent) == 0
    assert next_level([0.04], planned=1) == pytest.approx(0.01)


def test_the_first_look_is_a_test_and_an_interval_at_its_own_level():
    by = [0.004, -0.001, 0.003, 0.0, 0.002]
    first = compare({"A": CE, "B": shifted(by)}, "A", looks=())
    d, reference = first.arm("B").difference, scipy.stats.ttest_1samp(by, 0)
    low, high = reference.confidence_interval(0.96)
    assert (d.low, d.high, d.p_holm) == pytest.approx((low, high, reference.pvalue), abs=1e-12)
    assert (first.level, first.looks, d.look, d.level) == (pytest.approx(0.04), 1, 1, pytest.approx(0.04))
    assert first.next_level == pytest.approx(0.008) and " at look" not in first.verdict


def test_a_p_between_two_levels_is_shown_by_the_first_look_and_not_by_the_second():
    by = [0.0033, 0.0002, 0.0032, 0.0007, 0.0031]
    assert 0.008 < scipy.stats.ttest_1samp(by, 0).pvalue < 0.04
    arms = {"A": CE, "B": shifted(by)}
    other = compare({"A": CE, "B": shifted(OPEN)}, "A", looks=()).new_look
    assert compare(arms, "A", looks=()).arm("B").outcome == "worse"
    second = compare(arms, "A", looks=[other], margin=1e-5)
    assert second.arm("B").outcome == "open" and "at look 2 (level 0.008), 5 seeds paired" in second.verdict


def test_printing_the_same_results_again_spends_nothing():
    arms = {"A": CE, "B": shifted(OPEN), "C": shifted(CLEAR)}
    first = compare(arms, "A", looks=())
    again = compare(arms, "A", looks=[first.new_look])
    assert again.new_look is None and again.looks == 1 and again.verdict == first.verdict
    assert [arm.difference for arm in again.arms] == [arm.difference for arm in first.arms]
    alone = compare({name: arms[name] for name in "AC"}, "A", looks=[first.new_look])  # a part of them spends nothing
    assert alone.new_look is None and alone.arm("C").difference.p_holm == first.arm("C").difference.p_holm
    other = compare(arms | {"B": shifted([*OPEN[:4], 0.7])}, "A", looks=[first.new_look])
    assert other.looks == 2 and list(other.new_look.arms) == ["B"]


def test_a_difference_that_was_shown_stands():
    first = compare({"A": {k: CE[k] for k in (1, 2, 3)}, "B": {k: v for k, v in shifted(CLEAR).items() if k < 4}},
                    "A", looks=())
    assert first.arm("B").outcome == "worse"
    wild = compare({"A": CE, "B": shifted([*CLEAR[:3], 0.3, -0.2])}, "A", looks=[first.new_look])
    d = wild.arm("B").difference
    assert d.p_value > 0.5 and d.shown and d.shown_at == 1 and d.p_holm == first.arm("B").difference.p_holm
    assert wild.arm("B").outcome == "worse" and "], p = 0.0118 at look 1, 5 seeds paired" in wild.verdict
    assert (d.low, d.high) == (first.arm("B").difference.low, first.arm("B").difference.high)  # the narrower one


def test_a_look_of_which_only_the_seeds_are_known_is_completed_from_the_same_results():
    arms = {"A": CE, "B": shifted(CLEAR)}
    first = compare(arms, "A", looks=())
    bare = Judged((1, 2, 3, 4, 5), "", 1.0, -math.inf, math.inf, shown=False, within=None)
    again = compare(arms, "A", looks=[Look(0.04, {"B": bare})])
    assert again.new_look is None and again.verdict == first.verdict
    three = {k: v for k, v in shifted(CLEAR).items() if k < 4}
    fewer = compare({"A": CE, "B": three}, "A", looks=[Look(0.04, {"B": bare})])
    assert fewer.looks == 2 and fewer.level == 0.008 and math.isfinite(fewer.arm("B").difference.low)


def test_intervals_of_looks_are_intersected_and_an_empty_one_falls_back_to_the_last():
    assert intersected([(0, 2), (1, 3)]) == (1, 2) and intersected([(0, 1), (2, 3)]) == (2, 3)


def test_holm_counts_every_arm_that_was_ever_judged():
    weak = shifted([0.0033, 0.0002, 0.0032, 0.0007, 0.0031])
    arms = {"A": CE, "dropped": shifted(OPEN), "gone": shifted(CLEAR)}
    first = compare(arms, "A", looks=()).new_look
    late = compare({"A": CE, "late": weak}, "A", looks=[first]).arm("late").difference
    assert late.p_holm == pytest.approx(holm([late.p_value, 1.0])[0])  # `gone` is decided, `dropped` is not
    undecided = replace(first, arms={name: replace(arm, shown=False) for name, arm in first.arms.items()})
    assert compare({"A": CE, "late": weak}, "A", looks=[undecided]).arm("late").difference.p_holm == \
        pytest.approx(3 * late.p_value)


def test_nothing_left_is_no_verdict_but_what_was_shown_stays():
    first = compare({"A": CE, "B": shifted(CLEAR)}, "A", looks=(), planned=1)
    assert first.level == 0.05 and first.next_level == 0
    more = compare({"A": CE | {6: 3.28}, "B": shifted(CLEAR) | {6: 3.29}, "C": shifted(OPEN)}, "A",
                   looks=[first.new_look])
    assert more.new_look is None and more.arm("B").outcome == more.arm("C").outcome == "spent"
    assert more.arm("C").verdict == (
        "no verdict: C - A = +0.12 nats/token, 5 seeds paired, but the looks before this one spent all of the error "
        "rate 0.05; ask again with other seeds in another store")
    again = compare({"A": CE, "B": shifted(CLEAR), "C": shifted(OPEN)}, "A", looks=[first.new_look])
    assert again.arm("B").outcome == "worse" and again.arm("C").outcome == "spent"
    last = compare({"A": CE, "B": shifted(OPEN)}, "A", looks=(), planned=1)
    assert last.verdict.endswith("; no error rate is left for more seeds")


def test_equivalence_is_corrected_over_arms_and_stands():
    by = [0.0016, 0.0001, 0.0019, 0.0003, 0.0016]
    one = compare({"A": CE, "B": shifted(by)}, "A", looks=(), margin=0.002).arm("B")
    many = compare({"A": CE, "B": shifted(by)} | {f"N{i}": shifted([(i + 1) * d for d in OPEN]) for i in range(4)}, "A",
                   looks=(), margin=0.002).arm("B")
    assert one.difference.equivalent and not many.difference.equivalent
    first = compare({"A": CE, "B": shifted(by)}, "A", looks=(), margin=0.002).new_look
    wider = compare({"A": CE | {6: 3.0}, "B": shifted(by) | {6: 3.002}}, "A", looks=[first], margin=0.0021)
    assert wider.arm("B").difference.equivalent and first.arms["B"].within == 0.002


def test_a_plan_in_looks_counts_the_seeds_that_are_there_and_the_level_of_the_next():
    first = compare({"A": CE, "B": shifted(OPEN)}, "A", looks=(), margin=0.3)
    d = first.arm("B").difference
    assert d.seeds_needed == seeds_in_all(OPEN, 0.3, 0.008)
    assert d.detectable == pytest.approx(shown_by(5, np.std(OPEN, ddof=1), 0.04))
    told = f"it takes {d.seeds_needed - 5} more seeds for 0.3, {d.seeds_for_observed - 5} more seeds for the observed"
    assert told in first.verdict
    two = compare({"A": CE, "B": shifted(OPEN), "C": shifted([-x for x in OPEN])}, "A", looks=(), margin=0.3)
    assert two.arm("B").difference.seeds_needed == seeds_in_all(OPEN, 0.3, 0.004)  # by Holm, two are undecided


def test_the_probability_that_a_plan_uses_is_that_of_a_simulation():
    d, true, n, draws = np.array([0.003, -0.001, 0.002, 0.0, 0.001]), 0.002, 5, 30_000
    rng = np.random.default_rng(0)
    for seeds in (8, 14):
        rates = []
        for sign in (1, -1):
            squares = ((d - sign * true) ** 2).sum()
            sigma = np.sqrt(squares / rng.chisquare(n, draws))[:, None]
            new = sign * true + sigma * rng.standard_normal((draws, seeds - n))
            pooled = np.concatenate([np.broadcast_to(d, (draws, n)), new], 1)
            rates.append((squares ** (-n / 2), (scipy.stats.ttest_1samp(pooled, 0, axis=1).pvalue < 0.05).mean()))
        expected = sum(weight * rate for weight, rate in rates) / sum(weight for weight, _ in rates)
        assert reached(d, true, seeds, 0.05) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize(("n", "ratio"), [(3, 4.0), (5, 2.0)])
def test_a_plan_that_is_followed_has_the_power_that_it_promises(n, ratio):
    rng, shown, plans = np.random.default_rng(3), 0, 0
    clear = scipy.stats.t.isf(0.02, n - 1)
    while plans < 200:
        first = rng.normal(1, ratio, n)
        seeds = seeds_in_all(first, 1.0, 0.008)
        if abs(first.mean()) > clear * first.std(ddof=1) / math.sqrt(n) or seeds is None:
            continue
        k, plans = seeds - n, plans + 1
        mean = rng.normal(1, ratio / math.sqrt(k))
        squares = ratio**2 * rng.chisquare(k - 1) if k > 1 else 0.0
        pooled = (first.sum() + k * mean) / seeds
        total = ((first - first.mean()) ** 2).sum() + squares + n * k / seeds * (mean - first.mean()) ** 2
        t = pooled * math.sqrt(seeds) / math.sqrt(total / (seeds - 1))
        shown += 2 * scipy.stats.t.sf(abs(t), seeds - 1) < 0.008
    assert shown / plans > 0.9 - 3 * math.sqrt(0.09 / plans)


def test_a_fresh_plan_is_longer_than_one_that_knows_the_spread():
    rng = np.random.default_rng(4)
    seeds = fresh_seeds(5, 1.0, 0.5, 0.05)
    assert seeds > 44  # of a known standard deviation
    true = 1 / np.sqrt(rng.chisquare(4, 4000) / 4)
    draws = rng.standard_normal((4000, seeds)) * true[:, None] + 0.5
    assert (scipy.stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05).mean() == pytest.approx(0.9, abs=0.02)
    assert seeds_in_all([1.0, -1.0, 2.0], 1e-9, 0.05) is None
