"""Several arms of a table: a law for each, and what each is worth in the baseline's compute."""

from collections.abc import Sequence

from losslab.progress import Progress, silent
from losslab.scaling import documents
from losslab.scaling import fit as fits
from losslab.scaling.exchange import exchange
from losslab.scaling.multiplier import compare
from losslab.scaling.table import Runs
from losslab.words import nearest

USUAL = "cross_entropy"  # the baseline where an arm is called so


def fit(runs: Runs, baseline: str | None = None, *, budgets: Sequence[float] | None = None, extrapolate: bool = False,
        resamples: int = fits.RESAMPLES, progress: Progress = silent) -> dict:  # fmt: skip
    """The document of the baseline's law, with `arms` (a document for each) and `multipliers`.

    An arm whose runs carry no law of their own gets a sentence in its place: the multiplier needs the baseline's alone.

    Raises:
        ValueError: for an unknown baseline, or a budget too far beyond the runs.
    """
    arms = runs.by_arm()
    baseline = baseline or (USUAL if USUAL in arms else next(iter(arms)))
    if baseline not in arms:
        raise ValueError(f"there is no arm {baseline}{nearest(baseline, arms)}; {runs.source} has {', '.join(arms)}")
    lowest, highest = float(runs.flops.min()), float(runs.flops.max())
    documents.refuse_far(budgets or (), lowest, highest, extrapolate)
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
    multipliers = compare(runs, baseline, at=at, laws=laws, reason=reason)
    notes = [f"{name} has no law: {why}" for name, why in whys.items()]
    notes += [sentence for one in multipliers for sentence in one.warnings]
    head = every.get(baseline) or {
        "form": "law", "formula": documents.FORMS["law"], "source": runs.source, "num_points": len(arms[baseline]),
        "warnings": []}
    others = {name: document for name, document in every.items() if name != baseline}
    return head | {"baseline": baseline, "arms": others, "without_law": whys,
                   "multipliers": [documents.multiplier(one) for one in multipliers],
                   "warnings": [*head["warnings"], *notes]}
