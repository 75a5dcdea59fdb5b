"""Where runs cannot tell what is asked of them, laws and multipliers say so: one line, no fall, nothing shared."""

import json
import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from record_runs import refused
from scaling_tables import LAW, SIZES, pair, runs

from losslab.ladder.rungs import notes as ladder_notes
from losslab.report import scaling as report
from losslab.scaling import arms, design, exchange, isoflop, repeated, terms
from losslab.scaling import fit as fits
from losslab.scaling.intervals import found as interval
from losslab.scaling.law import NAMED, Law
from losslab.scaling.multiplier import compare
from losslab.scaling.runs import Runs

KNOWN = Law(*(np.atleast_1d(getattr(LAW, name)) for name in LAW.__dataclass_fields__))
FLAT = Law(*(np.array([x]) for x in (3.0, -60.0, -60.0, 0.3, 0.3)))


def on_a_line(power, factors=(1.0,), sizes=(1e5, 1e6, 1e7, 1e8, 1e9, 1e10)):
    """Runs with D = c N^power, times the factors."""
    size = np.repeat(np.array(sizes), len(factors))
    tokens = 20e6 * (size / 1e6) ** power * np.tile(factors, len(sizes))
    return Runs(size, tokens, LAW.nll(size, tokens))


# --- tokens that are a power of the size ----------------------------------------------------------

@pytest.mark.parametrize("power", [0.5, 2.0])
def test_two_laws_that_change_places_are_one_curve_and_are_refused(power):
    """E + A/N^a + B/D^b with D = c N^k is the law of alpha' = k b and beta' = a / k; its best split is another."""
    some = on_a_line(power)
    log_c = np.log(some.num_tokens[0]) - power * np.log(some.num_params[0])
    other = Law(LAW.E, LAW.log_B - LAW.beta * log_c, LAW.log_A + LAW.alpha / power * log_c, power * LAW.beta,
                LAW.alpha / power)
    assert other.nll(some.num_params, some.num_tokens) == pytest.approx(some.nll, rel=1e-9)
    assert abs(np.log(other.optimum(1e18)[0] / LAW.optimum(1e18)[0])) > 0.5
    sentence = refused(fits.fit, some, resamples=0)
    assert f"the tokens are one power of the size, about D = c N^{power:.2g}" in sentence
    assert "--form compute" in sentence
    laws, reason = exchange.exchange(some)
    assert laws is None and "one power of the size" in reason


def test_how_far_tokens_leave_a_line_decides():
    assert design.off_line(*(getattr(on_a_line(0.5, (1.0, 3.0)), key) for key in ("num_params", "num_tokens"))) == (
        pytest.approx(3.0), pytest.approx(0.5))
    for factors, said in (((1.0, 1.05), None), ((1.0, 1.5), "hardly be told apart"), ((1.0, 2.0), "")):
        some = on_a_line(0.5, factors)
        if said is None:
            assert "one power of the size" in refused(design.check, some)
        else:
            design.check(some)
            assert said in " ".join(design.doubts(some.num_params, some.num_tokens)) and bool(said) == bool(
                design.doubts(some.num_params, some.num_tokens))
    assert "10 to 15 alone" in design.doubts(np.array([1e6, 1e6, 1e7]), np.array([1e7, 1.5e7, 1e8]))[0]
    design.check(on_a_line(-1.0))  # one compute: exponents above 0 cannot change places


def test_draws_on_a_line_are_not_kept():
    some = runs(sizes=(1e5, 1e6, 1e7, 1e8), ratios=(10, 40))
    weights = np.array([[1, 0, 1, 0, 1, 0, 0, 0], [1, 1, 1, 0, 1, 0, 0, 0], [3, 0, 0, 2, 0, 0, 0, 1.0]])
    assert design.told_apart(some, weights).tolist() == [False, True, True]
    drawn, lost = terms.resamples(8, (), (), 300, 0, lambda weights: design.told_apart(some, weights))
    assert len(drawn) == 300 and lost > 0 and design.told_apart(some, drawn).all()


def test_the_notes_of_a_ladder_say_it_before_anything_is_spent():
    def notes(power, factors):
        some = on_a_line(power, factors)
        return ladder_notes([SimpleNamespace(
            ratio=d / n, asked=d / n, epochs=0.5, name="", counts=SimpleNamespace(num_params=n, num_tokens=d),
            study=SimpleNamespace(seeds=(0, 1)))
            for n, d in zip(some.num_params, some.num_tokens, strict=True)])

    assert "carry no law of size and data" in notes(0.5, (1.0,))[0]
    assert "hardly be told apart" in notes(0.5, (1.0, 1.5))[0]
    assert notes(0.5, (1.0, 3.0)) == []


# --- a baseline that does not fall ----------------------------------------------------------------

def with_baseline(nll):
    """The pair with another baseline, and the arm a hundredth of a nat below it."""
    some = pair(1.0, seeds=2, noise=0.0, sizes=SIZES[:3])
    half = len(some) // 2
    base = nll(some.num_params[:half], some.num_tokens[:half])
    errors = 1e-4 * np.random.default_rng(0).standard_normal(half)
    return replace(some, nll=np.concatenate([base, base - 0.01 + errors]))


@pytest.mark.parametrize("nll", [
    lambda n, d: 2 + 0.1 * (n / 1e4) ** 0.1, lambda n, d: np.full_like(n, 3.0),
    lambda n, d: 3 + 0.02 * np.random.default_rng(1).standard_normal(len(n)),
], ids=["rising", "flat", "noise"])  # fmt: skip
def test_no_compute_is_told_of_a_baseline_that_does_not_fall(nll):
    some = with_baseline(nll)
    base = some.by_arm()["baseline"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        laws, reason = exchange.exchange(base, fits.fit(base, resamples=0, leave_out=False))
    [found] = compare(some, "baseline", laws=laws, reason=reason)
    assert laws is None and found.reason == exchange.NO_FALL and found.trend == found.band == ()
    assert {rung.verdict for rung in found.rungs} == {"cannot tell"} and exchange.NO_FALL in found.headline


def test_the_document_of_a_baseline_that_does_not_fall():
    document = arms.fit(with_baseline(lambda n, d: 2 + 0.1 * (n / 1e4) ** 0.1), resamples=0)
    [one] = document["multipliers"]
    assert one["reason"] == exchange.NO_FALL and not one["forecasts"] and one["rungs"][0]["value"] is None
    assert exchange.NO_FALL in report.text(document) and "10,000" not in report.text(document)
    json.dumps(document, allow_nan=False)


def test_a_baseline_that_falls_is_taken():
    for seeds, ratios in ((1, (10, 40)), (2, (20,))):
        some = runs(noise=0.004, seeds=seeds, ratios=ratios)
        assert exchange.falls(some, LAW)


def test_a_law_that_is_flat_at_the_rungs_gives_no_trend():
    [found] = compare(pair(1.0, seeds=3), "baseline", laws=FLAT)
    assert found.reason == exchange.NO_FALL and found.trend == found.band == ()
    assert found.rungs[0].reason == exchange.NO_FALL and found.rungs[0].difference is not None


def test_refits_that_do_not_fall_widen_the_trend():
    every = Law(*(np.concatenate([getattr(KNOWN, name), getattr(KNOWN, name), getattr(FLAT, name)])
                  for name in KNOWN.__dataclass_fields__))
    [found] = compare(pair(1.1, seeds=3), "baseline", laws=every)
    assert found.trend[0].value == pytest.approx(1.1, rel=0.05) and found.trend[0].verdict == "cannot tell"


# --- what arms do not share -----------------------------------------------------------------------

def test_arms_that_share_no_rung_or_no_seed_stop_no_other():
    some = pair(1.3, seeds=3)
    half = len(some) // 2
    more = Runs(*(np.concatenate([x, x[half:], x[half:]]) for x in (some.num_params, some.num_tokens, some.nll)),
                some.arms + ("other seeds",) * half + ("other sizes",) * half,
                some.seeds + tuple(f"1{seed}" for seed in some.seeds[half:]) + some.seeds[half:])
    more.num_params[-half:] *= 3
    good, seeds, sizes = compare(more, "baseline", laws=KNOWN)
    assert good.rungs == compare(some, "baseline", laws=KNOWN)[0].rungs and good.trend
    assert not seeds.rungs and "at none of them a seed" in seeds.headline
    assert not sizes.rungs and "shares no size with the same number of tokens" in sizes.headline


def test_a_forecast_is_as_far_as_the_rungs_that_arms_share():
    """The baseline was trained three decades further than the arm."""
    some = pair(1.2, sizes=(*SIZES[:3], 5e7))
    short = some.only((np.array(some.arms) == "baseline") | (some.num_params < 1e6))
    top = 6 * 1.8e5 * 7.2e6
    sentence = refused(arms.fit, short, budgets=[1e3 * top], resamples=0)
    assert "more than a decade beyond the runs of candidate" in sentence and "--extrapolate" in sentence
    few = short.only((np.array(short.arms) == "baseline") | (short.num_params < 1e5))  # too few for its own law
    assert "beyond the rungs that candidate and baseline share" in refused(arms.fit, few, budgets=[9 * top])
    document = arms.fit(few, budgets=[6 * 6e4 * 2.4e6 * 9], resamples=0)
    [one] = document["multipliers"]
    assert one["forecasts"][0]["extrapolated"] == "outside"
    assert arms.SEEDS_ALONE in one["warnings"] and document["warnings"].count(arms.SEEDS_ALONE) == 1


# --- intervals ------------------------------------------------------------------------------------

def test_an_interval_holds_its_value_and_an_infinite_end_is_none():
    draws = np.linspace(1.0, 2.0, 200)
    assert interval(0.0, draws, 50, 3)["low"] == 0.0 and interval(9.0, draws, 50, 3)["high"] == 9.0
    wild = np.where(np.arange(200) < 20, np.inf, draws)
    assert interval(1.5, wild, 50, 3)["high"] is None and interval(1.5, wild, 50, 3)["low"] <= 1.5


def test_a_law_beyond_the_range_of_a_float_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        steep = Law(1.0, 5.0, 9000.0, 1e-30, 3.0)
        assert np.isinf(steep.optimum(1e20)[1]) or np.isinf(steep.optimum(1e20)[0])
        assert np.isinf(steep.nll(1.0, 1.0)) and not np.isnan(steep.flops_for(num_params=1e9))


# --- repeated data, and equal compute -------------------------------------------------------------

def test_repeated_data_with_no_floor_and_few_runs_that_repeat(monkeypatch):
    drawn = []
    resamples = terms.resamples
    monkeypatch.setattr(terms, "resamples", lambda *given: drawn.append(resamples(*given)) or drawn[-1])
    size = np.geomspace(1e7, 1e9, 40)
    tokens, base = 20 * size, replace(NAMED["epoch"].law, E=0.0)
    unique = np.where(np.arange(40) % 10 == 0, tokens / 8, tokens)
    some = Runs(size, tokens, repeated.nll(base, 12.0, 4.0, size, tokens, unique), more={"unique_tokens": unique})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = repeated.fit(some, replace(NAMED["epoch"], law=base), resamples=200)
    assert found.r_tokens == pytest.approx(12.0, rel=0.01)
    # of four runs that repeat, one in eleven draws has fewer than two: it would keep the start, and R_D with it
    [(weights, lost)] = drawn
    assert len(found.draws) == 200 and ((weights[:, unique < tokens] > 0).sum(-1) >= 2).all() and 0.02 < lost < 0.3


def test_budgets_near_each_other_and_runs_between_two():
    law = Law(1.5, np.log(400), np.log(2000), 0.35, 0.35)
    size = np.concatenate([law.optimum(c)[0] * np.geomspace(0.4, 2.5, 7) for c in (1e17, 1.18e17, 1e18, 1e19)])
    flops = np.repeat([1e17, 1.18e17, 1e18, 1e19], 7)
    flops[6] = 1.08e17  # within a tenth of both
    some = Runs(size, flops / (6 * size), law.nll(size, flops / (6 * size)))
    found = isoflop.fit(some, [1e18, 1e17, 1.18e17, 1e19, 1e19], resamples=0)
    assert [one.flops for one in found.budgets] == [1e17, 1.18e17, 1e18, 1e19]
    assert sum(len(one.nll) for one in found.budgets) == len(some)
    assert "within 10% of each other" in refused(isoflop.fit, some, [1e18, 1e19, 1.09e19])


def test_budgets_are_found_as_by_counting_every_run_for_each():
    rng = np.random.default_rng(0)
    for count in (6, 40, 90):
        for spread in (0.3, 1.0, 2.0):
            size, flops = rng.choice([1e6, 2e6, 3e6, 1e7, 3e7], count), 10 ** rng.uniform(15, 15 + spread, count)
            some = Runs(size, flops / (6 * size), np.full(count, 3.0))
            flops, left, counted = some.flops, np.ones(count, dtype=bool), []
            while left.any():
                near = (np.abs(flops[:, None] / flops[None, left] - 1) <= isoflop.WIDTH) & left[:, None]
                best = int(np.argmax(near.sum(0)))
                if len(np.unique(size[near[:, best]])) >= isoflop.LEAST_SIZES:
                    counted.append(float(np.exp(np.log(flops[near[:, best]]).mean())))
                    left &= ~near[:, best]
                else:
                    left &= flops != flops[left][best]
            assert isoflop.budgets_of(some) == sorted(counted)
