"""The scores of tasks of every run of a ladder, as columns of its table."""

from collections.abc import Sequence
from pathlib import Path

from losslab.comparison import Comparison
from losslab.config import Errors
from losslab.evaluate import stored
from losslab.evaluate import tasks as known
from losslab.evaluate.arms import QUESTIONS
from losslab.evaluate.tasks import Settings
from losslab.ladder.rungs import Rung
from losslab.progress import Progress, silent
from losslab.study import Study

ACCURACIES = ("accuracy", "core_v1", "core_v2", "short_seven", "acc", "acc_norm")  # of which more is better
MOST_SAID = 3  # failures in full


def check(names: Sequence[str]) -> None:
    """An error for a name that is no task's."""
    for name in names:
        known.check(name)


def measure(study: Study, done: Sequence[tuple[Rung, Comparison]], rows: Sequence[dict], *, kept: bool = False,
            tell=lambda text: None, progress: Progress = silent) -> list[str]:  # fmt: skip
    """Add the scores of the study's tasks to the rows, as TASK_SCORE; what was measured before is not measured again.

    Args:
        study: with the tasks.
        done: the rungs and their runs.
        rows: of the runs.
        kept: whether to leave out what was not measured before.
        tell, progress: as for `climb`.

    Returns:
        sentences on what could not be measured.
    """
    of = {(row["rung"], row["arm"], row["seed"]): row for row in rows}
    failures = []
    for rung, found in done:
        for arm in found.arms:
            for run in arm.finished:
                if (row := of.get((rung.name, arm.name, run.seed))) is not None:
                    failures += _run(study, run, row, kept, tell, progress)
    rest = [f"{len(failures) - MOST_SAID} more scores of tasks are missing"] if len(failures) > MOST_SAID else []
    return failures[:MOST_SAID] + rest


def _run(study: Study, run, row: dict, kept: bool, tell, progress: Progress) -> list[str]:
    config, failures = run.config, []
    settings = Settings(benchmarks=Path(study.benchmarks) if study.benchmarks else None, data=config.data,
                        evaluate=config.evaluate, seq_len=config.seq_len, progress=progress, partial=stored.partial())
    for name in study.tasks:
        try:
            scores = stored.run(name, run, settings, kept=kept)["result"]["scores"]
            row |= {f"{name}_{key}": score["value"] for key, score in scores.items() if key in QUESTIONS}
        except (*Errors, ModuleNotFoundError) as error:
            failures.append(f"{run.path} has no score of {name}: {error}")
            tell(f"error: {failures[-1]}")
    return failures


def columns(rows: Sequence[dict]) -> list[str]:
    """The columns of tasks' scores of which more is better."""
    every = dict.fromkeys(key for row in rows for key in row)
    return [key for key in every if any(key.endswith(f"_{score}") for score in ACCURACIES)]
