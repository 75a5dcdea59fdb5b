"""Compare arms with a baseline over the same seeds."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from losslab.stats.comparison import ArmResult, Difference, PairedComparison, Terms, unknown
from losslab.stats.inference import (
    critical_t,
    equivalence_p,
    holm,
    paired_p,
    t_interval,
)
from losslab.stats.planning import detectable_difference, seeds_needed
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
    looks: Sequence[Collection[int]] = (),
) -> PairedComparison:
    r"""Compare arms with a baseline, seed by seed.

    For a candidate and the baseline that both finished on the seeds $1, \dots, n$,

    $$d_i = \text{candidate}_i - \text{baseline}_i, \qquad
      \bar d \pm t_{1-\alpha/2,\,n-1}\, s_d / \sqrt n.$$

    Pairing takes out what a seed does to both arms alike (initialization, order of the data). An arm is
    better or worse where Holm's p is below alpha; else equivalent where the $1 - 2\alpha$ interval lies within
    the margin; else the difference is open, and the verdict says what these seeds could show and roughly how many
    seeds a fresh comparison would take for the margin and for the difference observed.

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
        looks: the seeds of each earlier look at these arms. A look at fewer seeds than now was a chance of a verdict
            before more were added; the sentences say so, because the error rate is no longer `alpha`.

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
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, got {alpha}; 0.05 is usual")
    failed = {name: set((failed or {}).get(name, ())) for name in arms}
    runs = {name: _checked(name, values, failed[name]) for name, values in arms.items()}
    lost = {name: tuple(seed for seed in values if values[seed] is None) for name, values in runs.items()}
    terms = Terms(baseline, margin, alpha, unit, higher_is_better, _earlier(looks, len(runs[baseline])))
    differences = {}
    if not lost[baseline]:
        candidates = [name for name in runs if name != baseline and not lost[name]]
        differences = {name: _difference(name, runs[name], runs[baseline], terms) for name in candidates}
    tested = [name for name, difference in differences.items() if difference.p_value is not None]
    for name, p_holm in zip(tested, holm([differences[name].p_value for name in tested]), strict=True):
        differences[name] = replace(differences[name], p_holm=p_holm)

    results = {}
    for name, values in runs.items():
        mean = None if lost[name] else mean_score(list(values.values()), unit)
        diverged, crashed = ([s for s in lost[name] if (s in failed[name]) is f] for f in (False, True))
        results[name] = ArmResult(
            name, 0, tuple(values), tuple(diverged), tuple(crashed), mean, differences.get(name), "", "")
    ranked = sorted(results.values(), key=lambda arm: _order(arm, terms, by_mean=bool(lost[baseline])))
    for rank, arm in enumerate(ranked, 1):
        outcome, sentence = judged(arm, results[baseline], terms, num_tests=len(tested))
        ranked[rank - 1] = replace(arm, rank=rank, outcome=outcome, verdict=sentence)

    sd, band = _noise(runs[baseline], alpha)
    return PairedComparison(
        **vars(terms),
        arms=tuple(ranked),
        baseline_sd=sd,
        noise_band=band,
        verdict=headline(ranked, baseline),
        note=note(terms, len(tested), max([differences[name].n for name in tested], default=0)),
    )


def _checked(name: str, values: Mapping[int, float | None], failed: Collection[int]) -> dict[int, float | None]:
    """The values of an arm as plain floats, seeds in order; None for a seed that was lost."""
    if not values and not failed:
        raise ValueError(f"arm {name!r} has no seed; give {{seed: value}}, with None for a seed that diverged")
    both = [seed for seed in sorted(failed) if values.get(seed) is not None]
    if both:
        raise ValueError(f"arm {name!r} has a value on seed {listed(both)} and is said to have failed on it; give None")
    found = {seed: values.get(seed) for seed in sorted({*values, *failed})}
    return {seed: float(v) if v is not None and math.isfinite(v) else None for seed, v in found.items()}


def _earlier(looks: Sequence[Collection[int]], num_seeds: int) -> tuple[int, ...]:
    """Seeds of the looks that could have given another verdict: at least two, and fewer than now."""
    return tuple(sorted({len(set(look)) for look in looks if 2 <= len(set(look)) < num_seeds}))


def _difference(name: str, candidate: dict, baseline: dict, terms: Terms) -> Difference:
    """The paired statistics of two arms that finished, Holm's p still missing."""
    shared = [seed for seed in candidate if seed in baseline]
    if not shared:
        raise ValueError(
            f"arm {name!r} (seeds {listed(candidate)}) shares no seed with the baseline (seeds {listed(baseline)}); "
            "run both over the same seeds"
        )
    d = np.array([candidate[seed] - baseline[seed] for seed in shared])
    n, value = len(shared), float(d.mean())
    untested = Difference(value, None, None, None, None, n, None, False, None, None, None, identical=not d.any())
    if n == 1:
        return untested
    if untested.identical:
        return replace(untested, low=0.0, high=0.0, stderr=0.0, equivalent=True)
    sd = float(d.std(ddof=1))
    largest = max(abs(arm[seed]) for arm in (candidate, baseline) for seed in shared)
    if sd <= 4 * np.finfo(float).eps * largest:  # what rounding alone leaves of a constant difference
        return replace(untested, stderr=0.0)
    low, high = t_interval(d, terms.alpha)
    return Difference(
        value,
        low,
        high,
        p_value=paired_p(d),
        p_holm=None,
        n=n,
        stderr=sd / math.sqrt(n),
        equivalent=equivalence_p(d, terms.margin) < terms.alpha,
        seeds_needed=seeds_needed(sd, terms.margin, terms.alpha, POWER),
        seeds_for_observed=seeds_needed(sd, value, terms.alpha, POWER) if value else None,
        detectable=detectable_difference(sd, n, terms.alpha, POWER),
    )


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
