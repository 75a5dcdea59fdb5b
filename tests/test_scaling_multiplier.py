"""What an arm is worth in the baseline's compute: a known multiplier is found again, too little gives no verdict."""

import math

import numpy as np
import pytest
import scipy.stats
from record_runs import refused
from scaling_tables import LAW, SIZES, pair, runs

from losslab.scaling import arms, exchange
from losslab.scaling.law import Law
from losslab.scaling.multiplier import compare
from losslab.scaling.table import Runs
from losslab.scaling.trend import trend
from losslab.scaling.worth import Worth, beyond
from losslab.stats.inference import critical_t, holm

KNOWN = Law(*(np.atleast_1d(getattr(LAW, name)) for name in LAW.__dataclass_fields__))  # one law, no refits of it


@pytest.mark.parametrize("m", [0.01, 0.8, 1.0, 1.07, 30.0])
def test_the_difference_that_a_multiplier_makes_gives_it_back(m):
    size, tokens = 6e4, 6e5
    difference = LAW.scaled(m).nll(size, tokens) - LAW.nll(size, tokens)
    assert exchange.solve(KNOWN, size, tokens, np.array([difference]))[0] == pytest.approx(m, rel=1e-9)


def test_a_loss_below_the_floor_is_worth_more_than_any_compute():
    ends = exchange.solve(KNOWN.at([0, 0]), 6e4, 6e5, np.array([LAW.E - LAW.nll(6e4, 6e5) - 0.1, 1e4]))
    assert ends.tolist() == [math.inf, 0.0]
    [found] = compare(pair(1e6, seeds=3), "baseline", laws=KNOWN)
    assert "worth more than 10,000 times" in found.rungs[-1].sentence and found.rungs[-1].verdict == "worth more"


@pytest.mark.slow
def test_the_intervals_hold_a_known_multiplier():
    """With the exchange rate known; benchmarks/scaling_coverage.py fits it, too."""
    held, ahead, studies = 0, 0, 20
    for study in range(studies):
        [found] = compare(pair(1.1, seed=study, seeds=3), "baseline", laws=KNOWN)
        held += sum(one.low <= 1.1 <= one.high for one in found.rungs)
        ahead += found.trend[0].low <= 1.1 <= found.trend[0].high
    assert 0.90 < held / (8 * studies) < 1 and ahead >= 17  # 95 % of each are due


def test_a_known_multiplier_is_found_with_a_fitted_law():
    document = arms.fit(pair(1.2, seeds=3, seed=1), resamples=200)
    [found] = document["multipliers"]
    assert document["baseline"] == "baseline" and set(document["arms"]) == {"candidate"}
    assert sum(rung["low"] < 1.2 < rung["high"] for rung in found["rungs"]) >= 6  # of 8, 95 % of which are due
    assert {rung["verdict"] for rung in found["rungs"][:6]} == {"worth more"}
    ahead = found["forecasts"][0]
    assert ahead["low"] < 1.2 < ahead["high"] and ahead["high"] / ahead["low"] < 1.2
    assert ahead["extrapolated"] == "outside" and ahead["flops"] == pytest.approx(10 * 6 * 5e5 * 2e7)
    assert found["headline"].startswith("candidate: worth 1.") and "extrapolated" in found["headline"]


def test_an_arm_that_is_the_baseline_shows_no_difference():
    [found] = compare(pair(1.0, seeds=3, seed=3), "baseline", laws=KNOWN)
    verdicts = [one.verdict for one in (*found.rungs, *found.trend)]
    assert verdicts.count("no difference shown") >= 8 and found.trend[0].verdict == "no difference shown"


def test_too_little_to_tell_is_said():
    for few, why in ((pair(1.3, sizes=(6e4,), ratios=(20,), seeds=3), "at least 6 runs of 3 sizes"),
                     (pair(1.3, sizes=SIZES[:2], seeds=3), "has 12 runs of 2 sizes"),
                     (pair(1.3, sizes=SIZES[:3], ratios=(20,), seeds=3), "about 20 tokens per parameter")):
        [found] = compare(few, "baseline")
        assert {one.verdict for one in found.rungs} == {"cannot tell"} and not found.trend
        assert found.headline.count(why) == 1 and "cannot tell at" in found.headline
    [found] = compare(pair(1.3), "baseline", laws=KNOWN)  # one seed
    assert {one.verdict for one in found.rungs} == {"cannot tell"} and "one seed" in found.rungs[0].sentence
    [found] = compare(pair(1.3, sizes=SIZES[:2], ratios=(20,), seeds=3), "baseline", laws=KNOWN)
    assert "at least 3 rungs of unlike compute, and there are 2" in found.headline and found.rungs[0].low > 1


def test_three_rungs_hardly_carry_a_forecast():
    widths = {}
    for rungs in (3, 6):
        sizes = np.geomspace(2e4, 5e5, rungs)
        [found] = compare(pair(1.1, sizes=sizes, ratios=(20,), seeds=3, seed=1), "baseline", laws=KNOWN)
        widths[rungs] = math.log(found.trend[0].high / found.trend[0].low)
    assert widths[3] > 3 * widths[6]


def test_one_ratio_of_tokens_to_parameters_is_enough_for_what_compute_is_worth():
    [found] = compare(pair(1.2, sizes=(*SIZES, 1.5e6), ratios=(20,), seeds=3), "baseline")
    assert all(one.low < 1.2 < one.high for one in found.rungs) and found.trend[0].low < 1.2 < found.trend[0].high


def test_a_trend_that_bends_widens_the_forecast_and_is_said():
    sizes = np.geomspace(2e4, 2e6, 12)
    some = pair(1.1, noise=1e-3, seeds=3, sizes=sizes)
    first = (np.array(some.arms) == "candidate") & (some.num_params == sizes[0])
    off = Runs(some.num_params, some.num_tokens, np.where(first, 0.99, 1) * some.nll, some.arms, some.seeds)
    [straight], [bent] = (compare(each, "baseline", laws=KNOWN) for each in (some, off))
    assert straight.trend[0].verdict == straight.without_smallest[0].verdict == "worth more"
    assert bent.trend[0].verdict == "cannot tell" and "so the trend is not one line" in bent.headline
    assert bent.without_smallest[0].value == pytest.approx(straight.without_smallest[0].value)
    assert math.log(bent.trend[0].high / bent.trend[0].low) > 2 * math.log(
        straight.trend[0].high / straight.trend[0].low)


def test_the_trend_of_small_effects_is_a_straight_line_with_students_interval():
    """A small multiplier changes the loss in proportion to its logarithm: least squares then has a closed form."""
    size = np.geomspace(2e4, 6e5, 5)
    step, seeds = 1e-5, np.array([3, 3, 4, 3, 5])
    slope = (LAW.scaled(math.exp(step)).nll(size, 20 * size) - LAW.nll(size, 20 * size)) / step
    x = np.log(120 * size**2)
    design, ahead = np.column_stack([np.ones(5), x - x.mean()]), np.array([1.0, math.log(10) + x[-1] - x.mean()])
    log_m = 1e-3 * (1 + design[:, 1] / 4 + np.array([0.3, -0.4, 0.1, 0.2, -0.3]))
    weights = seeds * slope**2
    covariance = np.linalg.inv(design.T @ (weights[:, None] * design))
    line = covariance @ design.T @ (weights * log_m)
    variance = (weights * (log_m - design @ line) ** 2).sum() / 3 * ahead @ covariance @ ahead
    pairs = [(*row, None, None, count) for *row, count in np.column_stack([size, 20 * size, slope * log_m, seeds])]
    [found] = trend(pairs, KNOWN, [10 * 120 * size[-1] ** 2], np.random.default_rng(0))
    assert math.log(found.value) == pytest.approx(ahead @ line, rel=2e-3)
    assert math.log(found.high / found.low) / 2 == pytest.approx(critical_t(0.05, 3) * variance**0.5, rel=0.05)
    p = 2 * scipy.stats.t.sf(abs(ahead @ line) / variance**0.5, 3)  # of 4,000 draws p / 2 lie beyond, give or take
    assert found.p == pytest.approx(p, abs=3 * (p / 2 / 4000) ** 0.5 * 2)


def test_without_seeds_the_arms_are_compared_by_welch():
    some = pair(1.2, seeds=3)
    loose = Runs(some.num_params, some.num_tokens, some.nll, some.arms)
    [paired], [other] = (compare(each, "baseline", laws=KNOWN) for each in (some, loose))
    assert paired.paired and not other.paired
    assert [one.value for one in other.rungs] == pytest.approx([one.value for one in paired.rungs])
    assert other.rungs[0].seeds == 3 and other.rungs[0].low < 1.2 < other.rungs[0].high


def test_tables_that_cannot_be_compared():
    some = pair(1.2)
    assert "two runs of seed 0" in refused(
        compare, Runs(*(np.concatenate([x, x]) for x in (some.num_params, some.num_tokens, some.nll)),
                      some.arms * 2, some.seeds * 2), "baseline", laws=KNOWN)
    apart = Runs(np.where(np.array(some.arms) == "baseline", 1, 3) * some.num_params, some.num_tokens, some.nll,
                 some.arms, some.seeds)
    assert "shares no size" in compare(apart, "baseline", laws=KNOWN)[0].reason
    assert "did you mean baseline?" in refused(arms.fit, some, "basline")
    assert "the baseline  and an arm" in refused(compare, runs(), "")


def test_the_best_of_many_arms_is_judged_as_such():
    """Where no arm differs, some arm is worth more or less at a rung in 1 of 20 studies, and not in 1 of 4."""
    alone = found = 0
    for study in range(60):
        rows = [pair(1.0, seed=10 * study + arm, seeds=3, sizes=(6e4,), ratios=(20,)) for arm in range(6)]
        both = Runs(*(np.concatenate([getattr(one, name) for one in rows]) for name in ("num_params", "num_tokens",
                                                                                       "nll")),
                    tuple(f"{name} {arm}" if name == "candidate" else name for arm, one in enumerate(rows)
                          for name in one.arms),
                    tuple(f"{arm}-{seed}" for arm, one in enumerate(rows) for seed in one.seeds))
        last = [one.rungs[0] for one in compare(both, "baseline", laws=KNOWN)]
        assert [one.p_holm for one in last] == pytest.approx(holm([one.p for one in last]))
        alone += any(one.excludes_one for one in last)
        found += any(one.verdict in ("worth more", "worth less") for one in last)
    assert 60 * 0.1 < alone < 60 * 0.4 and found < 60 * 0.1


def test_forecasts_are_adjusted_for_the_arms_however_far_they_reach():
    some, other = pair(1.05, seeds=3), pair(1.0, seeds=3, seed=1)
    last = (other.num_params == SIZES[-1]) & (np.array(other.arms) == "candidate")  # its largest size diverged
    other = other.only(~last & (np.array(other.arms) == "candidate"))
    both = Runs(*(np.concatenate([getattr(one, name) for one in (some, other)]) for name in ("num_params", "num_tokens",
                                                                                           "nll")),
                (*some.arms, *("shorter" for _ in other.arms)), (*some.seeds, *other.seeds))
    whole, short = compare(both, "baseline", laws=KNOWN)
    assert short.trend[0].flops < whole.trend[0].flops
    assert [whole.trend[0].p_holm, short.trend[0].p_holm] == pytest.approx(holm([whole.trend[0].p, short.trend[0].p]))
    drawn = np.log([whole.trend[0].low, whole.trend[0].high])
    assert (whole.trend[0].p < 0.05) == (drawn.min() > 0 or drawn.max() < 0)


def test_a_rung_shows_what_its_own_verdict_shows():
    some = pair(1.3, seeds=3)
    [plain] = compare(some, "baseline", laws=KNOWN)
    rung = plain.rungs[-1]
    key = "candidate", rung.num_params, rung.num_tokens
    [opened] = compare(some, "baseline", laws=KNOWN, shown={key: False})
    assert rung.verdict == "worth more" and opened.rungs[-1].verdict == "no difference shown"
    assert "open by the verdict of the rung" in opened.headline
    assert [one.verdict for one in opened.rungs[:-1]] == [one.verdict for one in plain.rungs[:-1]]


def test_differences_that_do_not_vary_have_no_interval():
    some = pair(1.3, seeds=3, noise=0.0)
    [found] = compare(some, "baseline", laws=KNOWN)
    assert {one.verdict for one in found.rungs} == {"cannot tell"} and "no spread" in found.rungs[0].sentence


def test_the_p_value_of_a_rung_is_students():
    some = pair(1.02, seeds=4)
    [found] = compare(some, "baseline", laws=KNOWN)
    for rung in found.rungs:
        mine, theirs = (some.nll[(np.array(some.arms) == arm) & (some.num_params == rung.num_params)
                                 & (some.num_tokens == rung.num_tokens)] for arm in ("candidate", "baseline"))
        assert rung.p == pytest.approx(scipy.stats.ttest_rel(mine, theirs).pvalue)
        assert (rung.p < 0.05) == rung.excludes_one or abs(rung.p - 0.05) < 1e-3
    alone = Worth(1e12, 0.85, 0.79, 0.98, p=0.051, p_holm=0.051)
    assert alone.sentence.endswith("(0.85 [0.79, 0.98], p = 0.051)")
    doubtful = Worth(1e12, 0.85, 0.79, 0.98, p=0.03, p_holm=0.06)
    assert doubtful.sentence == "no difference shown at 10^12 FLOP (0.85 [0.79, 0.98], p = 0.06 adjusted for the arms)"


def test_sentences_and_verdicts():
    assert Worth(1e13, 1.07, 1.02, 1.12).sentence == "worth 1.07 times the compute [1.02, 1.12] at 10^13 FLOP"
    assert Worth(1e14, 1.0, 0.9, 1.1).sentence == "no difference shown at 10^14 FLOP (1.00 [0.90, 1.10])"
    assert Worth(1e14, 0.8, 0.7, 0.9, extrapolated="outside").sentence.endswith("at 10^14 FLOP, extrapolated")
    wide = Worth(1e14, 1.1, 0.3, 4.0)
    assert wide.verdict == "cannot tell" and "[0.30, 4.00] is too wide" in wide.sentence
    assert [beyond(c, 1e10, 1e12) for c in (1e10, 1e12, 5e12, 1e13, 2e13, 1e9, 5e8)] == [
        "", "", "outside", "outside", "far", "outside", "far"]
