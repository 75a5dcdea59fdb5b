"""Several arms of a table: a law for each, and what each is worth in the baseline's compute."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from losslab.progress import Progress, silent
from losslab.scaling import design, documents
from losslab.scaling import fit as fits
from losslab.scaling.exchange import exchange
from losslab.scaling.multiplier import compare, reach
from losslab.scaling.runs import Runs
from losslab.words import nearest

USUAL = "cross_entropy"  # the baseline where an arm is called so
SEEDS_ALONE = ("the intervals of multipliers leave out what is not known of the baseline's law, as no runs were drawn "
               "again: they are of the seeds alone")


def fit(runs: Runs, baseline: str | None = None, *, budgets: Sequence[float] | None = None, extrapolate: bool = False,
        resamples: int = fits.RESAMPLES, shown: Mapping[tuple[str, float, float], bool] | None = None,
        progress: Progress = silent) -> dict:  # fmt: skip
    """The document of the baseline's law, with `arms` (a document for each) and `multipliers`.

    An arm whose runs carry no law of their own gets a sentence in its place: the multiplier needs the baseline's alone.
    `shown` is as for `multiplier.compare`.

    Raises:
        ValueError: for an unknown baseline, or a budget too far beyond the runs of an arm's law or beyond the rungs
            that carry its multiplier's trend.
    """
    arms = runs.by_arm()
    baseline = baseline or (USUAL if USUAL in arms else next(iter(arms)))
    if baseline not in arms:
        raise ValueError(f"there is no arm {baseline}{nearest(baseline, arms)}; {runs.source} has {', '.join(arms)}")
    if budgets is not None:
        _refuse_far(arms, baseline, budgets, extrapolate)
    every, whys, found = {}, {}, None
    for name, own in arms.items():
        try:
            one = fits.fit(own, resamples=resamples, progress=progress)
            every[name] = documents.law(one, budgets)
            found = one if name == baseline else found
        except ValueError as error:
            whys[name] = str(error)
    laws, reason = exchange(arms[baseline], found, progress=progress)
    at = None if budgets is None else sorted(budgets)
    multipliers = compare(runs, baseline, at=at, laws=laws, reason=reason, shown=shown)
    if laws is not None and len(laws.E) == 1:
        multipliers = [replace(one, warnings=(*one.warnings, SEEDS_ALONE)) if one.rungs else one for one in multipliers]
    notes = [f"{name} has no law: {why}" for name, why in whys.items()]
    notes += [sentence for one in multipliers for sentence in one.warnings]
    head = every.get(baseline) or {
        "form": "law", "formula": documents.FORMS["law"], "source": runs.source, "num_points": len(arms[baseline]),
        "warnings": []}
    others = {name: document for name, document in every.items() if name != baseline}
    return head | {"baseline": baseline, "arms": others, "without_law": whys,
                   "multipliers": [documents.multiplier(one) for one in multipliers],
                   "warnings": list(dict.fromkeys([*head["warnings"], *notes]))}


def _refuse_far(arms: Mapping[str, Runs], baseline: str, budgets: Sequence[float], extrapolate: bool) -> None:
    """Before anything is fitted: each law by its own runs, and each trend by the rungs that it rests on."""
    for name, own in arms.items():
        try:
            design.check(own)
        except ValueError:
            pass  # no law, no forecast by it
        else:
            documents.refuse_far(budgets, float(own.flops.min()), float(own.flops.max()), extrapolate,
                                 runs=f"the runs of {name}")
        rungs = None if name == baseline else reach(name, own, arms[baseline])
        if rungs is not None:
            documents.refuse_far(budgets, *rungs, extrapolate, runs=f"the rungs that {name} and {baseline} share")
