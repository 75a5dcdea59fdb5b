"""A study: arms x seeds, trained under matched conditions and compared; finished runs are kept in a store."""

from collections.abc import Sequence
from pathlib import Path

from losslab import comparison, records
from losslab.comparison import Comparison
from losslab.config import ExperimentConfig
from losslab.progress import Progress, silent
from losslab.running import Tell, execute, plan

__all__ = ["compare"]


def compare(
    conditions: Sequence[ExperimentConfig], seeds: Sequence[int], store: str | Path, *, workers: int = 1,
    threads: int = 1, baseline: str | None = None, margin: float = 0.002, tell: Tell = lambda text: None,
    progress: Progress = silent,
) -> Comparison:
    """Train every condition with every seed, and say whether the differences are real.

    Args:
        conditions: one configuration per arm; its own seed is not used.
        seeds: one replicate each; arms are paired by them.
        store: a folder of runs. What is finished there is not run again, what was stopped resumes.
        workers: runs at once, each in a process with `threads` threads.
        baseline: the arm that others are compared with; `cross_entropy` where it is one, else the first.
        margin: the difference in nats/token that would matter.
        tell: takes what is worth keeping, one line each.
        progress: is told how far the corpus and all runs are, every second or so.

    Returns:
        what `comparison.compare` finds in these runs; its `nll` is None where nothing could be paired.

    Raises:
        running.Stopped: after SIGTERM or Ctrl-C, once every worker has saved its run.
    """
    with records.lock(store, "store"):
        planned = plan(conditions, seeds, store, tell=tell, progress=progress)
        execute(planned, workers=workers, threads=threads, tell=tell, progress=progress)
        found = [records.read(folder) for folder in planned.folders]
        compared = comparison.judged(found, store, baseline=baseline, margin=margin, tell=tell)
    return compared
