"""Compare arms with a baseline over the same seeds."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from losslab.stats.comparison import ArmResult, Comparison, Difference, Terms, unknown
from losslab.stats.inference import (
    critical_t,
    detectable_difference,
    equivalence_p,
    holm,
    paired_p,
    seeds_needed,
    t_interval,
)
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
) -> Comparison:
    r"""Compare arms with a baseline, seed by seed.

    For a candidate and the baseline that both finished on the seeds $1, \dots, n$,

    $$d_i = \text{candidate}_i - \text{baseline}_i, \qquad
      \bar d \pm t_{1-\alpha/2,\,n-1}\, s_d / \sqrt n.$$

    Pairing takes out what a seed does to both arms alike (initialization, order of the data). An arm is
    better or worse where Holm's p is below alpha; else equivalent where the $1 - 2\alpha$ interval lies within
    the margin; else the difference is open and the verdict says how many more seeds would show the margin.

    Where a rule comes before the test: differences that are all exactly 0 are `identical`; one seed gives no
    verdict; the same difference on every seed gives none either, since a spread of nothing would claim
    certainty; an arm with a diverged seed gets no mean and no difference and ranks last.

    Args:
        arms: name -> {seed: value}, the baseline among them; None for a seed that diverged or failed.
        baseline: the name that the others are compared with.
        margin: the largest difference that does not matter, in `unit`; what equivalence and seeds needed refer to.
        alpha: level of the tests and, as 1 - alpha, of the intervals.
        unit: unit of the values.
        higher_is_better: whether a larger value is better, as for an accuracy.

    Returns:
        The comparison; arms ordered best first by difference, or by mean where the baseline diverged.

    Raises:
        ValueError: an unknown baseline, an arm without seeds, a value that is not finite,
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
    terms = Terms(baseline, margin, alpha, unit, higher_is_better)
    runs = {name: _checked(name, values) for name, values in arms.items()}
    lost = {name: tuple(seed for seed in values if values[seed] is None) for name, values in runs.items()}
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
        results[name] = ArmResult(name, 0, tuple(values), lost[name], mean, differences.get(name), "", "")
    ranked = sorted(results.values(), key=lambda arm: _order(arm, terms, by_mean=bool(lost[baseline])))
    for rank, arm in enumerate(ranked, 1):
        outcome, sentence = judged(arm, results[baseline], terms, num_tests=len(tested))
        ranked[rank - 1] = replace(arm, rank=rank, outcome=outcome, verdict=sentence)

    sd, band = _noise(runs[baseline], alpha)
    return Comparison(
        **vars(terms),
        arms=tuple(ranked),
        baseline_sd=sd,
        noise_band=band,
        verdict=headline(ranked, baseline),
        note=note(terms, num_tests=len(tested)),
    )


def _checked(name: str, values: Mapping[int, float | None]) -> dict[int, float | None]:
    """The values of an arm as plain floats, seeds in order."""
    if not values:
        raise ValueError(f"arm {name!r} has no seed; give {{seed: value}}, with None for a seed that diverged")
    plain = {seed: None if values[seed] is None else float(values[seed]) for seed in sorted(values)}
    for seed, value in plain.items():
        if value is not None and not math.isfinite(value):
            raise ValueError(f"arm {name!r} is {value} on seed {seed}; give None for a seed that diverged")
    return plain


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
    untested = Difference(value, None, None, None, None, n, None, False, None, None, identical=not d.any())
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
        detectable=detectable_difference(sd, n, terms.alpha, POWER),
    )


def _order(arm: ArmResult, terms: Terms, by_mean: bool) -> tuple[float, float]:
    """Sorting key: share of diverged seeds, then best first."""
    sign = -1 if terms.higher_is_better else 1
    if arm.diverged:
        return len(arm.diverged) / len(arm.seeds), 0.0
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
