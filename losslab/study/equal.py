"""Real studies of equal arms: trained, measured and compared as any other, to check all of it at once.

An arm is the same condition under other seeds: the i-th run of each arm has its own seed for weights, order and
dropout, so nothing but chance can make arms differ.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from losslab import comparison, records, running
from losslab.comparison import Comparison
from losslab.config import ExperimentConfig
from losslab.progress import Progress, silent
from losslab.records import Record
from losslab.stats.calibration import rate


def studies(
    config: ExperimentConfig, store: str | Path, count: int, *, arms: int, seeds: int, margin: float = 0.002,
    workers: int = 1, threads: int = 1, tell: running.Tell = lambda text: None, progress: Progress = silent,
) -> list[Comparison]:
    """Train `count` studies of equal arms, each of its own runs, and compare each.

    Args:
        config: the one condition; its own seed is not used.
        store: the folder of the runs; what is finished there is not run again.
        count: how many studies.
        arms: of each, the baseline among them.
        seeds: runs of each arm.
        margin: the difference in nats/token that would matter.
        workers: runs at once.
        threads: CPU threads of each.
        tell: takes what is worth keeping, one line each.
        progress: is told how far all runs are.
    """
    with records.lock(store, "store"):
        planned = running.plan([config], range(count * arms * seeds), store, tell=tell, progress=progress)
        running.execute(planned, workers=workers, threads=threads, tell=tell, progress=progress)
    runs = [records.read(folder) for folder in planned.folders]
    size = arms * seeds
    return [comparison.compare(_as_arms(runs[at : at + size], arms), baseline="arm 0", margin=margin,
                               ledger=lambda condition, score: (), labels={f"arm {i}": f"arm {i}" for i in range(arms)})
            for at in range(0, count * size, size)]


def document(found: Sequence[Comparison], margin: float) -> dict:
    """What `losslab calibrate --real` says: the rate of false verdicts, and the coverage of the intervals."""
    outcomes = [[arm.outcome for arm in each.arms] for each in found]
    false = sum(any(outcome in ("better", "worse") for outcome in each) for each in outcomes)
    known = [arm.difference for each in found for arm in each.arms if arm.difference and arm.difference.low is not None]
    covered = sum(d.low <= 0 <= d.high for d in known)
    return {"false_verdicts": rate(false, len(found)), "coverage": rate(covered, max(1, len(known))),
            "verdicts": [each.verdict for each in found], "margin": margin}


def _as_arms(runs: Sequence[Record], arms: int) -> list[Record]:
    """The runs of one condition as those of several, paired by number."""
    seeds = len(runs) // arms
    return [replace(run, spec={**run.spec, "condition": f"arm {i // seeds}",
                               "config": {**run.spec["config"], "seed": i % seeds}}) for i, run in enumerate(runs)]
