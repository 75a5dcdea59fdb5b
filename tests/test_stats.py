"""The statistics against scipy, published values and simulation; the rules of a verdict."""

import doctest
import json
import math
import re
import subprocess
import sys

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from hypothesis import example, given
from hypothesis import strategies as st

from losslab.stats import (
    Score,
    bootstrap_interval,
    compare,
    comparison,
    detectable_difference,
    equivalence_p,
    holm,
    inference,
    mean_score,
    paired,
    paired_p,
    planning,
    power,
    ratio_score,
    score,
    seeds_needed,
    t_interval,
    transform_score,
    verdict,
)

p_values = st.lists(st.floats(0, 1), max_size=8)
samples = st.lists(st.integers(-50, 50), min_size=2, max_size=9).filter(lambda d: len(set(d)) > 1)


def within_binomial_error(hits, trials, rate):
    """Whether a count is within 4 standard deviations of its expectation."""
    return abs(hits - trials * rate) < 4 * math.sqrt(trials * rate * (1 - rate))


def seeded(values):
    return dict(enumerate(values, 1))


@pytest.mark.parametrize("module", [score, inference, planning, comparison, verdict, paired])
def test_the_examples_are_true(module):
    assert doctest.testmod(module).failed == 0


def test_every_public_function_shows_an_example_and_names_its_source():
    functions = [mean_score, ratio_score, transform_score, compare, bootstrap_interval, detectable_difference]
    functions += [equivalence_p, holm, paired_p, power, seeds_needed, t_interval]
    for function in functions:
        for heading in ("Args:", "Returns:", "Example:", ">>>", "Reference:"):
            assert heading in function.__doc__, f"{function.__name__} lacks {heading}"


def test_loads_neither_scipy_nor_torch():
    code = "import sys, losslab.stats; sys.exit(not {'scipy', 'torch'}.isdisjoint(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    loads_it = "import sys, scipy; sys.exit(not {'scipy', 'torch'}.isdisjoint(sys.modules))"
    assert subprocess.run([sys.executable, "-c", loads_it]).returncode == 1


# ---- scores


@pytest.mark.parametrize(
    ("value", "stderr", "n", "text"),
    [
        (3.2785, 0.0004, 16, "3.2785 ± 0.0004 (n=16)"),
        (3.27851, 0.000354, 16, "3.27851 ± 0.00035 (n=16)"),  # the Particle Data Group's own limits: 354, 355, 949, 950
        (3.27851, 0.000356, 16, "3.2785 ± 0.0004 (n=16)"),
        (3.27851, 0.000949, 16, "3.2785 ± 0.0009 (n=16)"),
        (3.27851, 0.000951, 16, "3.2785 ± 0.0010 (n=16)"),
        (12345.6, 678.9, 4, "12346 ± 679 (n=4)"),
        (3.2785123, None, 1, "3.2785 (n=1)"),
        (0.5, 0.0, 3, "0.5 ± 0 (n=3)"),
        (0.5, 5e-324, 3, "0.50000000000000000 ± 0.00000000000000000 (n=3)"),  # no more digits than a float has
        (math.inf, math.inf, 3, "inf ± inf (n=3)"),
    ],
)
def test_a_score_prints_the_digits_its_error_leaves(value, stderr, n, text):
    assert str(Score(value, stderr, n)) == text


def test_a_score_survives_json():
    for one in (Score(3.2785, 0.0004, 16, "nats/token"), Score(3.2785, None, 1)):
        assert Score.from_dict(json.loads(json.dumps(one.to_dict()))) == one


def test_mean_score_is_scipys_standard_error():
    values = np.random.default_rng(0).normal(3.28, 0.01, 12)
    one = mean_score(values, "nats/token")
    assert one.value == pytest.approx(values.mean()) and one.stderr == pytest.approx(scipy.stats.sem(values))
    assert (one.n, one.unit) == (12, "nats/token")
    assert mean_score([3.28]) == Score(3.28, None, 1)
    with pytest.raises(ValueError, match="at least one value"):
        mean_score([])


def documents(n=400):
    rng = np.random.default_rng(1)
    tokens = rng.integers(5, 400, n)
    return tokens * rng.normal(3.3, 0.4, n), tokens  # each document has its own level


def test_ratio_score_agrees_with_a_bootstrap_of_documents():
    nats, tokens = documents()
    one = ratio_score(nats, tokens, "nats/token")
    again = scipy.stats.bootstrap(
        (nats, tokens), lambda a, b, axis: a.sum(axis) / b.sum(axis), paired=True, vectorized=True,
        n_resamples=4000, method="percentile", rng=np.random.default_rng(2),
    )  # fmt: skip
    assert one.value == pytest.approx(nats.sum() / tokens.sum()) and one.n == 400
    assert one.stderr == pytest.approx(again.standard_error, rel=0.06)  # 4 / sqrt(2 * 4000), and a part in n
    low, high = bootstrap_interval(nats, tokens, resamples=4000)
    assert [low, high] == pytest.approx(list(again.confidence_interval), abs=0.15 * one.stderr)
    assert [low, high] == pytest.approx([one.value - 1.96 * one.stderr, one.value + 1.96 * one.stderr], abs=0.0075)


def test_ratio_score_of_equal_documents_is_the_mean():
    nats, _ = documents(9)
    one, mean = ratio_score(nats, np.ones(9)), mean_score(nats)
    assert (one.value, one.stderr, one.n) == pytest.approx((mean.value, mean.stderr, 9))
    assert ratio_score([6.0], [2]) == Score(3.0, None, 1)


@pytest.mark.parametrize(("a", "b"), [([1.0], [1, 2]), ([1.0], [0]), ([1.0, 2.0], [3, -1]), ([], [])])
def test_ratio_score_refuses_what_are_no_counts(a, b):
    with pytest.raises(ValueError, match="denominator"):
        ratio_score(a, b)


def test_bootstrap_of_a_mean_covers_it():
    rng = np.random.default_rng(3)
    hits = 0
    for seed in range(400):
        low, high = bootstrap_interval(rng.normal(1.0, 0.5, 150), alpha=0.1, resamples=400, seed=seed)
        hits += low <= 1 <= high
    assert within_binomial_error(hits, 400, 0.9)


def test_bootstrap_repeats_and_refuses():
    nats, tokens = documents(30)
    assert bootstrap_interval(nats, tokens, seed=4) == bootstrap_interval(nats, tokens, seed=4)
    with pytest.raises(ValueError, match="at least 2 documents"):
        bootstrap_interval([1.0])
    with pytest.raises(ValueError, match="leave empty documents out"):
        bootstrap_interval([1.0, 2.0], [1, 0])


def test_perplexity_carries_its_error_as_a_simulation_does():
    nll = Score(3.0, 0.02, 50, "nats/token")
    one = transform_score(nll, math.exp, math.exp)
    simulated = np.exp(np.random.default_rng(5).normal(3.0, 0.02, 40_000))
    assert one.value == pytest.approx(math.exp(3)) and one.stderr == pytest.approx(simulated.std(), rel=0.02)
    assert one.n == 50
    assert transform_score(Score(1.0, 0.5, 2), lambda x: -x, lambda x: -1.0).stderr == 0.5
    assert transform_score(Score(1.0, None, 1), math.exp, math.exp).stderr is None


# ---- tests and intervals


@given(samples)
def test_interval_and_p_are_scipys(d):
    reference = scipy.stats.ttest_rel(d, np.zeros(len(d)))
    assert paired_p(d) == pytest.approx(reference.pvalue, rel=1e-9, abs=1e-300)
    low, high = reference.confidence_interval(0.9)
    assert t_interval(d, alpha=0.1) == pytest.approx((low, high), rel=1e-9, abs=1e-9)


def test_interval_covers_the_truth_19_times_in_20():
    draws = np.random.default_rng(6).normal(0.01, 0.002, (4000, 4))
    hits = sum(low <= 0.01 <= high for low, high in map(t_interval, draws))
    assert within_binomial_error(hits, 4000, 0.95)


@given(samples, st.integers(1, 40), st.sampled_from([0.01, 0.05, 0.2]))
def test_equivalence_is_an_interval_within_the_margin(d, margin, alpha):
    low, high = t_interval(d, alpha=2 * alpha)
    distance = min(margin - high, margin + low)
    if abs(distance) > 1e-9:  # on the margin itself rounding decides
        assert (equivalence_p(d, margin) < alpha) == (distance > 0)


@given(samples, st.integers(1, 40))
def test_equivalence_is_the_worse_of_scipys_two_one_sided_tests(d, margin):
    above = scipy.stats.ttest_1samp(d, -margin, alternative="greater").pvalue
    below = scipy.stats.ttest_1samp(d, margin, alternative="less").pvalue
    assert equivalence_p(d, margin) == pytest.approx(max(above, below), rel=1e-9, abs=1e-300)


def test_arms_that_differ_by_the_margin_pass_as_equivalent_one_time_in_20():
    draws = np.random.default_rng(7).normal(0.002, 0.0005, (4000, 5))
    hits = sum(equivalence_p(d, 0.002) < 0.05 for d in draws)
    assert within_binomial_error(hits, 4000, 0.05)


@pytest.mark.parametrize("test", [t_interval, paired_p, lambda d: equivalence_p(d, 0.1)])
def test_one_seed_has_no_test(test):
    with pytest.raises(ValueError, match=r"at least 2 values.*run more seeds"):
        test([0.1])


def test_no_spread_has_no_test():
    for test in (paired_p, lambda d: equivalence_p(d, 0.1)):
        with pytest.raises(ValueError, match="that vary"):
            test([0.5, 0.5])


@pytest.mark.parametrize("call", [
    lambda: t_interval([1, 2], alpha=0), lambda: power(1, 1, 5, alpha=1), lambda: power(0, 1, 5),
    lambda: power(1, 1, 1), lambda: seeds_needed(1, 0), lambda: seeds_needed(-1, 1),
    lambda: seeds_needed(1, 1, power=1), lambda: detectable_difference(1, 1),
    lambda: detectable_difference(math.nan, 3), lambda: equivalence_p([1, 2], 0),
    lambda: holm([0.1, 1.1]), lambda: holm([math.nan]),
])  # fmt: skip
def test_arguments_out_of_range_are_named(call):
    with pytest.raises(ValueError, match="got"):
        call()


def test_holm_against_published_examples():
    # Wikipedia, "Holm-Bonferroni method": hypotheses 1 and 4 of these are rejected at 0.05, 2 and 3 are not
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    # Benjamini and Hochberg 1995, section 3.2: at 0.05 Bonferroni and Hochberg's step-up test, between which
    # Holm's lies, both reject three of these fifteen
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719]
    p += [0.6528, 0.7590, 1.0]
    assert sum(q < 0.05 for q in holm(p)) == 3
    assert holm(p)[:4] == pytest.approx([15 * 0.0001, 14 * 0.0004, 13 * 0.0019, 12 * 0.0095])


@given(p_values)
@example([0.5, 0.5])
@example([0.02, 0.021, 0.022])
def test_holm_lies_between_the_raw_p_and_bonferroni_and_keeps_the_order(p):
    adjusted = holm(p)
    assert all(raw <= q <= min(1, len(p) * raw) for raw, q in zip(p, adjusted, strict=True))
    assert sorted(adjusted) == [q for _, q in sorted(zip(p, adjusted, strict=True))]
    assert holm(p[::-1]) == adjusted[::-1]


@given(p_values, st.floats(0.001, 0.5))
def test_holm_rejects_what_the_step_down_procedure_rejects(p, alpha):
    """Holm's own statement: go up from the smallest p while p_(i) < alpha / (m - i + 1), then stop."""
    rejected = 0
    for i, smallest in enumerate(sorted(p)):
        if smallest * (len(p) - i) >= alpha:
            break
        rejected += 1
    assert sum(q < alpha for q in holm(p)) == rejected


# ---- power


def power_by_integration(effect, n, alpha):
    """P(|Z + shift| > t * S) with S the root of chi-squared over its degrees of freedom, without a noncentral t."""
    shift, t = effect * math.sqrt(n), scipy.stats.t.isf(alpha / 2, n - 1)
    normal = scipy.stats.norm

    def integrand(x):
        s = math.sqrt(x / (n - 1))
        return (normal.sf(t * s - shift) + normal.cdf(-t * s - shift)) * scipy.stats.chi2.pdf(x, n - 1)

    return scipy.integrate.quad(integrand, 0, scipy.stats.chi2.isf(1e-14, n - 1), limit=200, epsabs=1e-9)[0]


@pytest.mark.parametrize("n", [3, 5, 13])
@pytest.mark.parametrize("effect", [0.1, 1.0, 3.0])
def test_power_is_the_integral(n, effect):
    assert power(2.0, 2.0 * effect, n) == pytest.approx(power_by_integration(effect, n, 0.05), abs=1e-6)


def test_power_without_a_difference_is_the_level():
    assert power(1.0, 0.0, 6, alpha=0.03) == pytest.approx(0.03)
    assert power(1.0, 1e6, 6) == 1.0


@pytest.mark.parametrize(
    ("effect", "wanted", "n"),
    # G*Power 3.1, "means: difference between two dependent means (matched pairs)", two tails, alpha 0.05
    [(1.0, 0.9, 13), (0.5, 0.9, 44), (0.2, 0.9, 265), (0.5, 0.8, 34), (0.2, 0.8, 199), (0.8, 0.8, 15)],
)
def test_seeds_needed_are_those_of_g_power(effect, wanted, n):
    assert seeds_needed(0.002, effect * 0.002, power=wanted) == n
    assert seeds_needed(0.002, -effect * 0.002, power=wanted) == n


def test_a_hopeless_difference_is_counted_without_hanging():
    assert seeds_needed(1.0, 0.001) == pytest.approx((1.959964 + 1.281552) ** 2 * 1e6, rel=1e-6)
    assert seeds_needed(1e300, 1e-300) == 10**15


@given(st.floats(0.02, 20), st.sampled_from([0.001, 0.05, 0.2]), st.sampled_from([0.5, 0.9, 0.99]))
def test_seeds_needed_is_the_least_that_suffices(effect, alpha, wanted):
    n = seeds_needed(1.0, effect, alpha, wanted)
    assert power(1.0, effect, n, alpha) >= wanted
    assert n == 2 or power(1.0, effect, n - 1, alpha) < wanted
    assert detectable_difference(1.0, n, alpha, wanted) <= effect * (1 + 1e-9)


def test_so_many_seeds_show_the_difference_nine_times_in_ten():
    n = seeds_needed(sd=0.003, difference=0.002)
    d = np.random.default_rng(8).normal(0.002, 0.003, (20_000, n))
    shown = scipy.stats.ttest_1samp(d, 0, axis=1).pvalue < 0.05
    assert within_binomial_error(shown.sum(), 20_000, power(0.003, 0.002, n))
    assert 0.9 <= power(0.003, 0.002, n) < 0.92


@pytest.mark.parametrize("n", [2, 3, 5, 40, 10_000])
def test_the_detectable_difference_has_the_wanted_power(n):
    difference = detectable_difference(0.002, n, alpha=0.05, power=0.9)
    assert power(0.002, difference, n) == pytest.approx(0.9, abs=1e-9)


def test_no_noise_needs_two_seeds():
    assert seeds_needed(0.0, 0.002) == 2 and detectable_difference(0.0, 5) == 0.0


# ---- comparisons

CE = seeded([3.2810, 3.2790, 3.2830, 3.2802, 3.2818])


def shifted(by):
    """The baseline plus these differences, as the arm of a candidate."""
    return seeded([base + d for base, d in zip(CE.values(), by, strict=True)])


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
    assert d.seeds_needed == seeds_needed(sd, 0.003) and d.detectable == detectable_difference(sd, 5)


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
    sd = np.std(by, ddof=1)
    assert d.outcome == "open" and d.difference.seeds_for_observed == seeds_needed(sd, 0.12) == 47
    assert d.difference.seeds_needed == seeds_needed(sd, 0.002) > 10_000
    assert d.verdict == (
        "no difference shown between B and A: +0.12 nats/token [-0.19, 0.43], p = 0.34, 5 seeds paired; 5 seeds could "
        "show 0.48 or more; a fresh comparison would take, as a rough plan, 47 seeds for the observed 0.12, more than "
        "10,000 seeds for 0.002 (aim: power 0.9)"
    )
    small = compare({"A": CE, "B": shifted([0.004, -0.002, 0.003, -0.003, 0.001])}, "A")
    assert "as a rough plan, 27 seeds for 0.002, 274 seeds for the observed 0.0006 (aim: power 0.9)" in small.verdict
    centered = compare({"A": CE, "B": shifted([0.25, -0.25, 0.5, -0.5, 0.0])}, "A", margin=0.1)  # it may be exactly 0
    assert centered.arm("B").outcome == "open" and "nan" not in centered.verdict


def test_a_plan_from_few_seeds_reaches_less_than_the_power_it_aims_at():
    rng = np.random.default_rng(11)  # the note says 0.7 to 0.8
    for n, low, high in ((3, 0.64, 0.74), (5, 0.73, 0.82)):
        planned = [seeds_needed(sd, 0.002) for sd in rng.normal(0, 0.004, (300, n)).std(axis=1, ddof=1)]
        assert low < np.mean([power(0.004, 0.002, seeds) for seeds in planned]) < high


def test_following_the_advice_once_doubles_the_error_rate_and_the_verdict_says_so():
    rng, rates = np.random.default_rng(12), []
    for n in (2, 3, 5):
        false = 0
        for first in rng.normal(0, 0.004, (1500, n)):
            shown = paired_p(first) < 0.05
            if not shown and equivalence_p(first, 0.002) >= 0.05:
                more = seeds_needed(first.std(ddof=1), 0.002) - n
                shown = more > 0 and paired_p([*first, *rng.normal(0, 0.004, min(more, 2000))]) < 0.05
            false += shown
        rates.append(false / 1500)
    assert all(0.08 < rate < 0.13 for rate in rates), rates  # "near 0.1 for one look at 2 to 5 seeds"

    arms = {"A": CE, "B": shifted([0.0121, 0.0098, 0.0144, 0.0110, 0.0132])}
    looked = compare(arms, "A", looks=[{1, 2, 3}, [1], list(CE)])  # one seed gives no verdict, these five are now
    assert looked.looks == (3,) and looked.verdict.endswith(
        "p = 0.0001, 5 seeds paired; CAUTION, seeds were added after a look at 3: the error rate of this verdict is "
        "above 0.05, near 0.1 for one look at 2 to 5 seeds"
    )
    assert "after a look" not in compare(arms, "A", looks=[list(CE)]).verdict
    twice = compare(arms, "A", looks=[[1, 2, 3, 4], [1, 2]], alpha=0.01).verdict
    assert twice.endswith("after a look at 2 and at 4: the error rate of this verdict is above 0.01")


def test_an_open_difference_with_seeds_enough_says_what_they_would_show():
    # near the margin: not equivalent, and by Holm not different either
    by = [0.0025, 0.0004, 0.0016, 0.0007, 0.0023]
    arms = {"A": CE, "B": shifted(by)} | {f"N{i}": shifted([1e-3, -1e-3, 2e-3, -2e-3, i * 1e-5]) for i in range(3)}
    d = compare(arms, "A").arm("B")
    assert d.outcome == "open" and d.difference.seeds_needed <= 5
    assert re.search(r"5 seeds could show 0\.00\d+ or more", d.verdict)


def test_two_seeds_say_in_the_sentence_how_little_they_are():
    result = compare({"A": {1: 3.0, 2: 3.1}, "B": {1: 3.2, 2: 3.30006}}, "A")
    assert result.arm("B").outcome == "worse" and result.arm("B").difference.p_value == pytest.approx(1e-4, rel=0.1)
    assert result.verdict.endswith(
        "2 seeds paired; CAUTION, only 2 seeds: p and interval rest on one degree of freedom and on normal "
        "differences, which 2 cannot show; 2 signs agree by chance every second time; run 6 seeds or more"
    )
    assert "CAUTION" in compare({"A": {1: 3.0, 2: 3.1}, "B": {1: 3.0, 2: 3.1 + 1e-6}}, "A").verdict  # equivalent
    few, enough = (compare({"A": seeded(range(n)), "B": seeded([1.01 * x + 1 for x in range(n)])}, "A") for n in (5, 6))
    assert "CAUTION" not in few.verdict and "from 6 on their signs alone could have p < 0.05" in few.note
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


def test_the_verdict_follows_holm_and_shows_the_raw_p_beside_it():
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
        result = compare(arms, "arm0")
        by_holm += any(arm.outcome in ("better", "worse") for arm in result.arms)
        alone += any(arm.difference and arm.difference.p_value < 0.05 for arm in result.arms)
    assert by_holm <= 0.05 * trials + 3 * math.sqrt(trials * 0.05 * 0.95)
    assert alone > 0.09 * trials  # without Holm the same arms would have


def test_the_baseline_run_again_lands_in_its_noise_band():
    rng = np.random.default_rng(10)
    trials, inside = 700, 0
    for ours, again in rng.normal(3.28, 0.002, (trials, 2, 4)):
        result = compare({"A": seeded(ours), "again": seeded(again)}, "A")
        inside += abs(result.arm("again").difference.value) <= result.noise_band
        assert result.baseline_sd == pytest.approx(ours.std(ddof=1))
    assert within_binomial_error(inside, trials, 0.95)
