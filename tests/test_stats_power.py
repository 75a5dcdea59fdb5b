"""Tests, intervals, Holm's correction and power, compared with scipy, published values and simulations."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats
from arms_by_hand import within_binomial_error
from hypothesis import example, given
from hypothesis import strategies as st

from losslab.stats import detectable_difference, equivalence_p, holm, paired_p, power, seeds_needed, t_interval

p_values = st.lists(st.floats(0, 1), max_size=8)
samples = st.lists(st.integers(-50, 50), min_size=2, max_size=9).filter(lambda d: len(set(d)) > 1)


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
