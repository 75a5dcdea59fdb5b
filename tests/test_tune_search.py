"""Tuning: what is asked, what is tried next, and what is chosen, against functions whose optimum is known."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from losslab import config as configuration
from losslab.tune import Range, Trial, Tuning, halving, search
from losslab.tune.choice import chosen, chosen_again, importance, is_edge, sensitivity
from losslab.tune.space import applied, with_parameter

RATE = "train.learning_rate"
TINY = configuration.override(configuration.preset("tiny"), {"train": {"num_steps": 4}})


def climbed(optimum, trials, start=0.004, bounds=Range()):  # noqa: B008  (frozen)
    """A ladder over a parabola in the logarithm of the rate."""
    tried = []
    while values := search.ladder(bounds, start, tried, trials):
        tried += [(value, math.log(value / optimum) ** 2) for value in values]
    return tried


@given(st.floats(-2.0, 2.0), st.integers(5, 9))
def test_a_ladder_ends_near_the_optimum_of_a_parabola(octaves, trials):
    tried = climbed(0.004 * 2**octaves, trials)
    best = min(tried, key=lambda each: each[1])[0]
    assert len(tried) == trials and len({value for value, _ in tried}) == trials
    assert abs(math.log2(best / 0.004) - octaves) <= 1.0 + 1e-9  # the last interval is a factor 2 or less


def test_a_ladder_steps_outward_at_an_edge_and_halves_otherwise():
    assert [value for value, _ in climbed(0.004, 3)] == [0.001, 0.004, 0.016]
    assert [value for value, _ in climbed(0.1, 5)] == [0.001, 0.004, 0.016, 0.064, 0.256]
    assert [value for value, _ in climbed(0.00002, 5)][3:] == [0.00025, 0.0000625]
    assert [value for value, _ in climbed(0.005, 5)][3:] == [0.008, 0.002]  # the better neighbor's side first
    assert [value for value, _ in climbed(0.005, 4)][3:] == [0.008]
    bounded = climbed(1.0, 5, bounds=Range(0.001, 0.016))
    assert [value for value, _ in bounded] == [0.001, 0.004, 0.016, 0.008, pytest.approx(0.0113137085)]


@given(st.floats(-3, 3), st.floats(-3, 3), st.integers(5, 16))
def test_several_numbers_take_turns_and_trials_that_are_added_keep_the_first_ones(rate, gamma, trials):
    def climb(trials, takes=lambda settings: True):
        tried, space, start = [], {"rate": Range(), "gamma": Range()}, {"rate": 0.004, "gamma": 2.0}
        while settings := search.turns(space, start, tried, trials, takes):
            tried += [(each, nll(each)) for each in settings]
        return tried

    def nll(settings):
        return (math.log2(settings["rate"] / 0.004) - rate) ** 2 + (math.log2(settings["gamma"] / 2.0) - gamma) ** 2

    tried = climb(trials)
    assert [each["rate"] for each, _ in tried[:3]] == [0.001, 0.004, 0.016]  # as in an arm without gamma
    assert {each["gamma"] for each, _ in tried[:3]} == {2.0} and [each["gamma"] for each, _ in tried[3:5]] == [0.5, 8.0]
    assert len(tried) == trials and climb(16)[:trials] == tried
    if trials >= 12:
        assert min(value for _, value in tried) <= 2.0  # within an octave of each
    assert all(each["gamma"] <= 5 for each, _ in climb(trials, lambda each: each["gamma"] <= 5))


def test_a_trial_that_diverged_is_the_worst_and_of_equal_ones_the_smaller_is_best():
    assert search.ladder(Range(), 0.004, [(0.001, 2.0), (0.004, 1.0), (0.016, math.inf)], 4) == [0.002]
    assert search.ladder(Range(), 0.004, [(0.001, 1.0), (0.004, 1.0), (0.016, 1.0)], 4) == [0.00025]


def test_shared_settings_of_a_random_search_are_the_same_in_every_arm():
    shared, own = {RATE: Range(1e-3, 1e-2)}, {"loss.epsilon": Range(0.0, 0.5, log=False)}
    with_own, plain = (search.points(shared, each, 20, "random") for each in (own, {}))
    assert [point[RATE] for point in with_own] == [point[RATE] for point in plain]
    assert all(1e-3 <= point[RATE] <= 1e-2 and 0 <= point["loss.epsilon"] <= 0.5 for point in with_own)
    assert search.points(shared, own, 30, "random")[:20] == with_own  # more trials add to those that are there
    begun = search.points(shared, own, 20, "random", start={RATE: 0.002, "loss.epsilon": 0.1})
    assert begun == [{RATE: 0.002, "loss.epsilon": 0.1}, *with_own[1:]]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=3))
def test_a_grid_holds_each_point_once_and_more_trials_keep_those_that_were_tried(sizes):
    space = {f"{number}": tuple(range(size)) for number, size in enumerate(sizes)}
    whole = search.points(space, {}, math.prod(sizes), "grid")
    assert len({tuple(point.values()) for point in whole}) == len(whole) == math.prod(sizes)
    for trials in range(1, len(whole)):
        assert search.points(space, {}, trials, "grid") == whole[:trials]
    if len(sizes) == 1:  # the first points are spread: no two thirds of the list are left out
        assert max(np.diff([-1, *sorted(point["0"] for point in whole[:3]), sizes[0]])) <= 2


def test_a_grid_of_very_many_points_is_not_written_out():
    space = {f"{number}": tuple(range(10)) for number in range(20)}
    found = search.points(space, {}, 30, "grid")
    assert len({tuple(point.values()) for point in found}) == 30
    assert all(len({point[name] for point in found}) > 5 for name in ("0", "9", "19"))


def test_rungs_are_whole_runs_of_growing_length():
    for trials in range(1, 40):
        counts, divisors = zip(*halving.rungs(trials), strict=True)
        assert counts[0] == trials and divisors[-1] == 1 and list(counts) == sorted(counts, reverse=True)
        assert all(2 * after == before for before, after in zip(divisors, divisors[1:], strict=False))


def trial(rate, nll, documents=None, **settings):
    return Trial({RATE: rate} | settings, "finished" if nll is not None else "diverged", nll, (1,), ("run",), documents)


def test_the_choice_its_edge_and_what_a_worse_rate_loses():
    trials = [trial(rate, math.log2(rate / 0.004) ** 2) for rate in (0.001, 0.002, 0.004, 0.008, 0.016)]
    trials.append(trial(0.064, None))
    best = chosen("x", trials)
    assert best.settings == {RATE: 0.004} and not is_edge(best, trials)
    assert sensitivity(trials) == {"2": pytest.approx(1.0), "4": pytest.approx(4.0)}
    low = [trial(0.001, 1.0), trial(0.002, 2.0), trial(0.004, 3.0)]
    assert is_edge(chosen("x", low), low)
    with pytest.raises(ValueError, match=r"no trial of x finished \(diverged\)"):
        chosen("x", [trial(0.001, None)])


def test_sensitivity_says_no_more_than_was_tried():
    down = [trial(rate, math.log2(rate / 0.004) ** 2) for rate in (0.001, 0.002, 0.004)]
    assert sensitivity(down) == {"2": "more than 1.000", "4": "more than 4.000"}  # nothing was tried above
    assert sensitivity([*down, trial(0.012, None)]) == {"2": "more than 1.000", "4": "diverged"}
    beyond = [*down, trial(0.012, None), trial(0.016, 4.0)]  # nothing is known at 0.008, next to a rate that diverged
    assert sensitivity(beyond) == {"2": "more than 1.000", "4": "diverged"}
    assert sensitivity([*down, trial(0.016, 4.0)]) == {"2": pytest.approx(2.0), "4": pytest.approx(4.0)}
    wide = [trial(0.0001, 9.0), trial(0.004, 1.0), trial(0.1, 9.0)]
    assert sensitivity(wide) == {"2": None, "4": None}
    assert sensitivity([trial(0.004, 1.0), trial(0.005, 2.0)]) == {"2": "more than 1.000", "4": "more than 1.000"}
    assert sensitivity([trial(0.004, 1.0)]) == sensitivity([trial(0.004, None)]) == {}
    other = [trial(rate, 0.5 + abs(math.log2(rate / 0.004)), **{"loss.g": 3.0}) for rate in (0.001, 0.004, 0.016)]
    assert sensitivity(other) == {"2": pytest.approx(1.0), "4": pytest.approx(2.0)}
    best = [*other, trial(0.004, 0.4, **{"loss.g": 1.0}), trial(0.002, 0.6, **{"loss.g": 1.0})]
    assert sensitivity(best) == {"2": "more than 0.200", "4": "more than 0.200"}  # the line of g = 1 alone


@given(st.dictionaries(st.integers(-8, 8), st.one_of(st.none(), st.floats(0.1, 5.0)), min_size=1))
def test_sensitivity_is_the_most_that_is_lost_along_the_straight_lines_between_rates(tried):
    tried[0] = 0.0  # the best; other rates are powers of the square root of 2 times it
    found = sensitivity([trial(0.004 * 2 ** (half / 2), nll) for half, nll in tried.items()])
    if len(tried) == 1:
        assert found == {}
        return
    for factor, reach in (("2", 2), ("4", 4)):
        within = {half: nll for half, nll in tried.items() if abs(half) <= reach}
        halves = sorted(tried)
        pairs = [(a, b) for a, b in itertools.pairwise(halves) if None not in (tried[a], tried[b]) and b - a <= 4]
        known = all(any(a <= step / 16 <= b for a, b in pairs) for step in range(-16 * reach, 16 * reach + 1))
        if None in within.values():
            assert found[factor] == "diverged"
        elif known:
            grid = [step / 16 for step in range(-16 * reach, 16 * reach + 1)]
            assert found[factor] == pytest.approx(max(np.interp(grid, halves, [tried[half] or 0.0 for half in halves])))
        else:
            assert found[factor] is None or found[factor].startswith("more than ")
            assert found[factor] is not None or set(within) == {0}


def test_bootstraps_of_documents_say_how_sure_a_choice_is():
    rng, tokens = np.random.default_rng(0), np.full(200, 10.0)
    base = rng.normal(20, 1, 200)
    noise = rng.normal(0, 1, 200)
    clear = [trial(1e-3, 2.0, (base, tokens)), trial(2e-3, 2.3, (base + 3, tokens))]
    assert chosen_again(clear[0], clear) == 1.0
    near = [trial(1e-3, 2.0, (base, tokens)), trial(2e-3, 2.0, (base + noise - noise.mean() + 1e-9, tokens))]
    assert 0.4 < chosen_again(near[0], near) < 0.6
    assert chosen_again(trial(1e-3, 2.0), near) is None


def test_importance_sees_the_parameter_that_matters():
    rng = np.random.default_rng(0)
    points = [(float(rate), float(width)) for rate, width in rng.uniform(0.001, 0.01, (40, 2))]
    trials = [trial(rate, (rate - 0.005) ** 2, None, **{"loss.width": width}) for rate, width in points]
    found = importance(trials)
    assert found[RATE] > 0.8 and found["loss.width"] < 0.3 and importance(trials[:5]) == {}


RATES = {"learning_rate": {}}


@pytest.mark.parametrize(("table", "said"), [
    ({"trials": 3}, "the space is empty"), ({"trials": 2, "space": RATES}, "a ladder begins with 3 trials, got 2"),
    ({"trials": 5, "space": {"learning_rate": [1e-3, 2e-3]}}, "a grid of 2 points has no 5 trials"),
    ({"trials": 5, "space": RATES, "method": "grid"}, "train.learning_rate is a range"),
    ({"trials": 5, "space": RATES | {"batch_size": [4, 8]}, "method": "ladder"},
     "a ladder searches numbers, and train.batch_size is a list"),
])  # fmt: skip
def test_a_space_that_cannot_be_searched_is_one_sentence(table, said):
    with pytest.raises(ValueError, match=said):
        search.method(Tuning.from_dict(table), {})


@pytest.mark.parametrize(("table", "said"), [
    ({"trials": 0, "space": {}}, "tune.trials must"), ({"trials": "5"}, "needs trials, a whole number"),
    ({"trials": 5, "trails": 5}, "unknown key 'trails' in .*; did you mean trials"),
    ({"trials": 5, "space": {"lerning_rate": {}}}, "not a setting that can be tuned; did you mean train.learning_rate"),
    ({"trials": 5, "space": {"learning_rate": {"low": 2.0, "high": 1.0}}}, "needs low below high"),
    ({"trials": 5, "space": {"learning_rate": {"low": 0, "high": 1.0}}}, "low above 0 on a logarithmic scale"),
    ({"trials": 5, "space": {"learning_rate": {"low": math.nan, "high": 1.0}}}, "two finite numbers"),
    ({"trials": 5, "space": {"learning_rate": []}}, "an empty list"),
    ({"trials": 5, "space": {"learning_rate": 3}}, "takes low and high, or a list of values"),
    ({"trials": 5, "space": {"num_tokens": [1, 2]}}, "would not be comparable"),
    ({"trials": 5, "space": {"data.tokenizer": ["bytes", "gpt2"]}}, "would not be comparable"),
    ({"trials": 5, "space": {"evaluate.stride": [8]}}, "would not be comparable"),
    ({"trials": 5, "space": 3}, "space in .* is a table"), ({"trials": 5, "space": {"seed": [1]}}, "not a setting"),
    ({"trials": 5, "method": "tpee", "space": {}}, "unknown method of tuning 'tpee'; did you mean tpe"),
])  # fmt: skip
def test_a_table_that_cannot_be_is_one_sentence(table, said):
    with pytest.raises(ValueError, match=said):
        Tuning.from_dict(table)


def test_what_is_written_is_read_again():
    table = {"trials": 5, "seeds": 2, "method": "random", "space": {
        "learning_rate": {"low": 1e-3, "high": 1e-2}, "model": {"dropout": {"low": 0.0, "high": 0.5, "log": False}},
        "train.batch_size": [4, 8]}}
    found = Tuning.from_dict(table)
    assert Tuning.from_dict(found.to_dict()) == found and list(found.space)[1:] == ["model.dropout", "train.batch_size"]
    assert Tuning.parse("learning-rate=5; seeds=2") == Tuning(5, {RATE: Range()}, 2)
    for text in ("learning_rate", "=5", "method=random", "learning_rate=five",
                 "learning_rate=5; dropout=3"):
        with pytest.raises(ValueError, match="--tune"):
            Tuning.parse(text)


def test_a_parameter_of_a_loss_is_set_in_its_formula():
    assert with_parameter("softcap(15) | 0.5*label_smoothing(0.3)", "epsilon", 0.2) == \
        "softcap(15) | 0.5*label_smoothing(epsilon=0.2)"
    arm = configuration.override(TINY, {"loss": "label_smoothing"})
    made = applied(arm, {RATE: 1e-3, "loss.epsilon": 0.3})
    assert (made.train.learning_rate, made.loss) == (1e-3, "label_smoothing(epsilon=0.3)")
    with pytest.raises(ValueError, match="has no parameter 'epsilom'; did you mean epsilon"):
        applied(arm, {"loss.epsilom": 0.3})
    with pytest.raises(ValueError, match="write it as LOSS.NAME"):
        with_parameter("label_smoothing + poly1", "epsilon", 0.1)
    assert with_parameter("label_smoothing + poly1", "poly1.epsilon", 0.1) == "label_smoothing + poly1(epsilon=0.1)"
    assert with_parameter('file("my.py", name="f")', "width", 2.0) == "file('my.py', name='f', width=2.0)"
