"""A comparison that counts as a look at the runs of a store."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from losslab import records
from losslab.comparison.comparing import Comparison, compare
from losslab.records import Record


def judged(
    runs: Sequence[Record], store: str | Path, *, baseline: str | None = None, margin: float = 0.002, planned: int = 0,
    labels: Mapping[str, str] | None = None, tell: Callable[[str], None] = lambda text: None,
) -> Comparison:
    """Compare runs of a store, by its ledger; a look at new results is noted there.

    Args:
        runs: those to compare.
        store: the folder that they lie in.
        baseline: the arm that others are compared with; `cross_entropy` where it is one, else the first.
        margin: the difference in nats/token that would matter.
        planned: how many looks are declared to come, this one included; 0 where none are.
        labels: condition -> the name of its arm, where it is not to be its formula.
        tell: is told if the look could not be noted.

    Raises:
        ValueError: for a damaged ledger.
    """
    compared = compare(runs, baseline=baseline, margin=margin, planned=planned, labels=labels,
                                  ledger=lambda condition, score: records.looks(store, runs, condition, score))
    if compared.new_look:
        try:
            condition = compared.arm(compared.baseline).condition
            records.note_look(store, runs, condition, compared.measure, compared.new_look)
        except OSError as error:  # the verdict is not lost for it
            tell(f"this look at {store} could not be noted ({error.strerror}); a later one from more seeds will not "
                 "count it")
    return compared
