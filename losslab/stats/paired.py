"""Compare arms with a baseline over the same seeds."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from losslab.stats.comparison import ArmResult, Difference, PairedComparison, Terms, unknown
from losslab.stats.inference import critical_t, fraction, paired_p
from losslab.stats.looks import Look, Standing, judge, next_level
from losslab.stats.more_seeds import fresh_seeds, seeds_in_all, shown_by
from losslab.stats.score import mean_score
from losslab.stats.verdict import POWER, headline, judged, listed, note


def compare(
    arms: Mapping[str, Mapping[int, float | None]],
    baseline: str,
    *,
    margin: float = 0.002,
    alpha: float = 0.05,
    unit: str = "nats/token",
    higher_is_better: bool = False,
    failed: Mapping[str, Collection[int]] | None = None,
    looks: Sequence[Look] | None = None,
    planned: int = 0,
    plan: bool = True,
) -> PairedComparison:
    r"""Compare arms with a baseline, seed by seed.

    For a candidate and the baseline that both finished on the seeds $1, \dots, n$,

    $$d_i = \text{candidate}_i - \text{baseline}_i, \qquad
      \bar d \pm t_{1-\alpha/2,\,n-1}\, s_d / \sqrt n.$$

    Pairing takes out what a seed does to both arms alike (initialization, order of the data). An arm is
    better or worse where Holm's p is below alpha; else equivalent where the $1 - 2\alpha$ interval lies within
    the margin, Holm's correction taken too; else the difference is open, and the verdict says what these seeds could
    show and how many it takes for the margin and for the difference observed.

    With `looks`, results that none of them judged are a new look, which spends its share of alpha (`looks.py`);
    a difference that was shown stands, and intervals are those of all looks, intersected. Without, alpha is spent here.

    Where a rule comes before the test: differences that are all exactly 0 are `identical`; one seed gives no
    verdict; the same difference on every seed gives none either, since a spread of nothing would claim
    certainty; an arm with a lost seed (diverged or failed) gets no mean and no difference and ranks last. A verdict
    from two seeds says in its own sentence how little that is.

    Args:
        arms: name -> {seed: value}, the baseline among them; None for a seed that diverged or failed. A value that
            is not finite counts as diverged.
        baseline: the name that the others are compared with.
        margin: the largest difference that does not matter, in `unit`; what equivalence and seeds needed refer to.
        alpha: level of the tests and, as 1 - alpha, of the intervals.
        unit: unit of the values.
        higher_is_better: whether a larger value is better, as for an accuracy.
        failed: name -> the seeds that failed, rather than diverged; one that `arms` does not have is added as lost.
        looks: those before, oldest first, empty for the first one; None where looks are not counted.
        planned: how many looks are declared to come, this one included; 0 where none are.
        plan: whether to find how many seeds it takes, which costs some milliseconds an arm.

    Returns:
        The comparison; arms ordered best first by difference, or by mean where the baseline lost a seed.

    Raises:
        ValueError: an unknown baseline, an arm without seeds, a seed that failed and has a value,
            an arm that shares no seed with the baseline, or a margin or level out of range.

    Example:
        >>> result = compare(
        ...     {"cross_entropy": {1: 3.281, 2: 3.279, 3: 3.283}, "squentropy": {1: 3.293, 2: 3.292, 3: 3.294}},
        ...     "cross_entropy",
        ... )
        >>> result.verdict
        'squentropy is 0.0120 nats/token worse than cross_entropy [0.0095, 0.0145], p = 0.0023, 3 seeds paired'

    Reference:
        Student 1908 (interval and test), Holm 1979 (several arms), Schuirmann 1987 (equivalence).
    """
    if baseline not in arms:
        raise unknown("baseline", baseline, list(arms))
    if not 0 < margin < math.inf:
        raise ValueError(f"margin must be above 0, got {margin}; it is the largest difference that does not matter")
    fraction("alpha", alpha)
    failed = {name: set((failed or {}).get(name, ())) for name in arms}
    runs = {name: _checked(name, values, failed[name]) for name, values in arms.items()}
    lost = {name: tuple(seed for seed in values if values[seed] is None) for name, values in runs.items()}
    pairs = {}
    if not lost[baseline]:
        candidates = [name for name in runs if name != baseline and not lost[name]]
        pairs = {name: _pair(name, runs[name], runs[baseline]) for name in candidates}
    terms, standings, new_look = _judge(pairs, looks, planned, Terms(
        baseline, margin, alpha, unit, higher_is_better, None, alpha, alpha))
    undecided = max(1, sum(standing.shown_at is None for standing in standings.values()))
    differences = {name: _difference(pair, standings.get(name), terms, undecided if plan else 0)
                   for name, pair in pairs.items()}

    results = {}
    for name, values in runs.items():
        mean = None if lost[name] else mean_score(list(values.values()), unit)
        diverged, crashed = ([s for s in lost[name] if (s in failed[name]) is f] for f in (False, True))
        results[name] = ArmResult(
            name, 0, tuple(values), tuple(diverged), tuple(crashed), mean, differences.get(name), "", "")
    ranked = sorted(results.values(), key=lambda arm: _order(arm, terms, by_mean=bool(lost[baseline])))
    for rank, arm in enumerate(ranked, 1):
        standing = standings.get(arm.name)
        outcome, sentence = judged(arm, results[baseline], terms, num_tests=standing.tests if standing else 0)
        ranked[rank - 1] = replace(arm, rank=rank, outcome=outcome, verdict=sentence)

    sd, band = _noise(runs[baseline], alpha)
    return PairedComparison(
        **vars(terms),
        arms=tuple(ranked),
        baseline_sd=sd,
        noise_band=band,
        verdict=headline(ranked, baseline),
        note=note(terms, max([standing.tests for standing in standings.values()], default=0),
                  max([differences[name].n for name in standings], default=0)),
        new_look=new_look if looks is not None else None,
    )


def _judge(pairs, looks: Sequence[Look] | None, planned: int, terms: Terms):
    """The terms of the present look, what it says of each arm whose differences vary, and the look if it is new."""
    tested = {name: pair[:2] for name, pair in pairs.items() if pair[2]}
    before = looks or ()
    level = terms.alpha if looks is None else next_level([look.level for look in before], terms.alpha, planned)
    if level == 0:  # all is spent: only what was judged before is known
        tested = {name: pair for name, pair in tested.items()
                  if judge({name: pair}, before, level, terms.margin)[1] is None}
    standings, look = judge(tested, before, level, terms.margin)
    if looks is None:
        return terms, standings, look
    every = [*before, look] if look else list(before)
    left = next_level([each.level for each in every], terms.alpha, max(0, planned - 1))
    last = every[-1].level if every else level
    return replace(terms, looks=len(every), level=last, next_level=left), standings, look


def _checked(name: str, values: Mapping[int, float | None], failed: Collection[int]) -> dict[int, float | None]:
    """The values of an arm as plain floats, seeds in order; None for a seed that was lost."""
    if not values and not failed:
        raise ValueError(f"arm {name!r} has no seed; give {{seed: value}}, with None for a seed that diverged")
    both = [seed for seed in sorted(failed) if values.get(seed) is not None]
    if both:
        raise ValueError(f"arm {name!r} has a value on seed {listed(both)} and is said to have failed on it; give None")
    found = {seed: values.get(seed) for seed in sorted({*values, *failed})}
    return {seed: float(v) if v is not None and math.isfinite(v) else None for seed, v in found.items()}


def _pair(name: str, candidate: dict, baseline: dict) -> tuple[tuple[int, ...], np.ndarray, bool]:
    """The seeds of two arms that finished, their differences, and whether these vary by more than rounding."""
    shared = tuple(seed for seed in candidate if seed in baseline)
    if not shared:
        raise ValueError(
            f"arm {name!r} (seeds {listed(candidate)}) shares no seed with the baseline (seeds {listed(baseline)}); "
            "run both over the same seeds"
        )
    d = np.array([candidate[seed] - baseline[seed] for seed in shared])
    largest = max(abs(arm[seed]) for arm in (candidate, baseline) for seed in shared)
    return shared, d, len(shared) > 1 and float(d.std(ddof=1)) > 4 * np.finfo(float).eps * largest


def _difference(pair, standing: Standing | None, terms: Terms, undecided: int) -> Difference:
    """The paired statistics of two arms that finished; the plan for more seeds where some arms are `undecided`."""
    _, d, varies = pair
    n, value = len(d), float(d.mean())
    found = Difference(value, None, None, None, None, n, None, False, None, None, None, identical=not d.any())
    if n == 1:
        return found
    if found.identical:
        return replace(found, low=0.0, high=0.0, stderr=0.0, equivalent=True)
    if not varies:  # rounding alone
        return replace(found, stderr=0.0)
    sd = float(d.std(ddof=1))
    found = replace(found, stderr=sd / math.sqrt(n), p_value=paired_p(d))
    if standing is None:  # nothing is left to spend on it
        return found
    found = replace(
        found, low=standing.low, high=standing.high, p_holm=standing.p_holm, equivalent=standing.equivalent,
        shown=standing.shown_at is not None, shown_at=standing.shown_at, level=standing.level,
        look=standing.number if terms.looks is not None else 0,
    )
    found = replace(found, detectable=shown_by(n, sd, standing.level / max(1, standing.tests), POWER))
    if not undecided or not terms.next_level:
        return found
    needed = partial(_needed, d, terms.next_level / undecided, terms.looks is None)
    return replace(found, seeds_needed=needed(terms.margin, False),
                   seeds_for_observed=needed(abs(value), True) if value else None)


def _needed(d: np.ndarray, level: float, fresh: bool, difference: float, signed: bool) -> int | None:
    if fresh:
        return fresh_seeds(len(d), float(d.std(ddof=1)), difference, level, power=POWER)
    return seeds_in_all(d, difference, level, power=POWER, signed=signed)


def _order(arm: ArmResult, terms: Terms, by_mean: bool) -> tuple[float, float]:
    """Sorting key: share of lost seeds, then best first."""
    sign = -1 if terms.higher_is_better else 1
    if arm.lost:
        return len(arm.lost) / len(arm.seeds), 0.0
    if by_mean:
        return 0.0, sign * arm.mean.value
    # the paired difference, not the mean: an arm may have run seeds that the baseline has not
    return 0.0, sign * arm.difference.value if arm.difference else 0.0


def _noise(baseline: dict[int, float | None], alpha: float) -> tuple[float | None, float | None]:
    """Standard deviation of the baseline over seeds, and the half-width of its noise band."""
    n, values = len(baseline), list(baseline.values())
    if n < 2 or None in values:
        return None, None
    sd = float(np.std(values, ddof=1))
    return sd, critical_t(alpha, n - 1) * sd * math.sqrt(2 / n)  # two means of n seeds each differ
