"""The noise floor: closed forms, published values, and the coverage of each interval."""

import math

import numpy as np
import pytest
from scipy import stats as reference

from losslab.stats import looks, noise, seeds_needed


def test_the_interval_of_a_standard_deviation_is_the_one_of_the_tables():
    values = np.arange(10) / np.std(np.arange(10), ddof=1)  # standard deviation 1 from 10 values
    found = noise.standard_deviation(values)
    assert (found.value, found.low, found.high) == pytest.approx((1, 0.6878, 1.8256), abs=1e-4)  # 9/19.023, 9/2.7004
    with pytest.raises(ValueError, match="at least 2 finite values"):
        noise.standard_deviation([1.0])


def test_pairing_gives_fishers_interval_and_both_spreads():
    rng = np.random.default_rng(1)
    a, b = rng.multivariate_normal([3.0, 3.1], [[4.0, 1.2], [1.2, 1.0]], size=40).T
    found = noise.pairing(a, b)
    expected = reference.pearsonr(a, b)
    assert found.correlation == pytest.approx(expected.statistic)
    assert (found.low, found.high) == pytest.approx(expected.confidence_interval(0.95))
    assert found.paired.value == pytest.approx(np.std(b - a, ddof=1))
    spread = a.std(ddof=1), b.std(ddof=1)
    assert found.unpaired == pytest.approx(math.hypot(*spread))
    # var(b - a) = var a + var b - 2 r sd(a) sd(b)
    assert found.saved == pytest.approx(2 * found.correlation * spread[0] * spread[1] / found.unpaired**2)
    same = noise.pairing([1.0, 2.0, 4.0, 3.0], [1.5, 2.5, 4.5, 3.5])
    assert same.correlation == 1 and same.paired.value == 0 and same.saved == 1
    still = noise.pairing([1.0, 1.0, 1.0], [1.0, 2.0, 3.0])
    assert still.correlation is None and still.low is None
    with pytest.raises(ValueError, match="same seeds, got 3 and 2 values"):
        noise.pairing([1.0, 2.0, 3.0], [1.0, 2.0])


def test_components_by_hand():
    # rows 0, 6 and columns 0, 2, 4 and an interaction of +-1 that sums to nothing in rows and columns
    x = np.array([[0, 2, 4], [6, 8, 10]]) + np.array([[1, -1, 0], [-1, 1, 0]])
    found = noise.components(x)
    s_rows, s_columns, s_rest = 3 * 2 * 9 / 1, 2 * 8 / 2, 4 / 2
    assert found.remainder.value == pytest.approx(math.sqrt(s_rest)) and found.remainder.df == 2
    assert found.rows.value == pytest.approx(math.sqrt((s_rows - s_rest) / 3))
    assert found.columns.value == pytest.approx(math.sqrt((s_columns - s_rest) / 2))
    total = (s_rows - s_rest) / 3 + (s_columns - s_rest) / 2 + s_rest
    assert found.shares == pytest.approx(((s_rows - s_rest) / 3 / total, (s_columns - s_rest) / 2 / total, 2 / total))
    turned = noise.components(x.T)
    assert turned.rows == found.columns and turned.columns == found.rows
    flat = noise.components([[0, 1], [1, 0]])  # rows and columns have no effect: their estimates are below 0
    assert flat.rows.value == 0 and flat.rows.variance == pytest.approx(-0.5) and flat.shares == (0, 0, 1)
    for bad, sentence in (([[1, 2]], "2 rows and 2 columns"), ([[1, math.nan], [2, 3]], "finite"),
                          ([[1, 1], [1, 1]], "same value")):
        with pytest.raises(ValueError, match=sentence):
            noise.components(bad)


@pytest.mark.parametrize("df", [(4, 16), (2, 4), (9, 81)])
def test_the_interval_of_a_component_begins_at_0_exactly_where_the_f_test_says_so(df):
    upper, lower = (reference.f.ppf(p, *df) for p in (0.975, 0.025))
    assert noise.difference_interval(upper, 1.0, *df)[0] == pytest.approx(0, abs=1e-7)
    assert noise.difference_interval(lower, 1.0, *df)[1] == pytest.approx(0, abs=1e-7)
    alone = noise.difference_interval(5.0, 0.0, *df)  # nothing is taken from it: the chi-square interval
    assert alone == pytest.approx([5 * df[0] / reference.chi2.ppf(p, df[0]) for p in (0.975, 0.025)])


def test_each_interval_covers():
    rng, studies = np.random.default_rng(0), 4000
    within = 3 * math.sqrt(0.95 * 0.05 / studies)
    x = rng.normal(size=(studies, 8))
    found = [noise.standard_deviation(row) for row in x]
    assert np.mean([each.low <= 1 <= each.high for each in found]) == pytest.approx(0.95, abs=within)
    pairs = rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=(studies, 10))
    found = [noise.pairing(*pair.T) for pair in pairs[:1500]]
    assert np.mean([each.low <= 0.6 <= each.high for each in found]) == pytest.approx(0.95, abs=0.018)
    for a, b, e in ((1.0, 0.5, 1.0), (0.2, 2.0, 1.0), (0.0, 0.3, 1.0)):  # of standard deviations, 5 x 5
        x = a * rng.normal(size=(1500, 5, 1)) + b * rng.normal(size=(1500, 1, 5)) + e * rng.normal(size=(1500, 5, 5))
        parts = [noise.components(each) for each in x]
        for name, true in (("rows", a), ("columns", b), ("remainder", e)):
            own = [getattr(part, name) for part in parts]
            covered = np.mean([part.low <= true <= part.high for part in own])
            assert covered >= 0.95 - 0.018  # wider than needed where a component is close to 0
            # unbiased, those below 0 included
            raw = [part.variance for part in own]
            assert np.mean(raw) == pytest.approx(true**2, abs=4 * np.std(raw) / math.sqrt(1500))


def test_the_table_of_seeds():
    sd = noise.standard_deviation(0.005 * np.arange(10) / np.std(np.arange(10), ddof=1))
    rows = noise.seeds_table(sd)
    assert [row["difference"] for row in rows] == [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02]
    for row in rows:
        assert row["low"] <= row["seeds"] <= row["high"]
        assert row["seeds"] == seeds_needed(0.005, row["difference"], 0.04)
        assert row["high"] == seeds_needed(0.005 * 1.8256, row["difference"], 0.04) or row["difference"] < 0.002
    assert looks.next_level([]) == pytest.approx(noise.FIRST_LOOK)
    assert noise.seeds_table(sd, level=0.05)[2]["seeds"] < rows[2]["seeds"]
    wide = noise.seeds_table(noise.standard_deviation([0.0, 0.2]))
    assert [row["difference"] for row in wide[-4:]] == [0.05, 0.1, 0.2, 0.5]
