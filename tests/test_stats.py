"""Scores with their errors, compared with scipy and with simulations."""

import doctest
import json
import math
import subprocess
import sys

import numpy as np
import pytest
import scipy.stats
from arms_by_hand import within_binomial_error

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
    for seed in range(300):
        low, high = bootstrap_interval(rng.normal(1.0, 0.5, 100), alpha=0.1, resamples=200, seed=seed)
        hits += low <= 1 <= high
    assert within_binomial_error(hits, 300, 0.9)


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
