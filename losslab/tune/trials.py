"""Trials are runs: trained as any other, but scored on `tune`, with seeds that serve no verdict."""

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from losslab import records, running
from losslab.config import ExperimentConfig
from losslab.config.numbers import TRIAL_SEEDS
from losslab.progress import Progress, Running, silent
from losslab.records import Record
from losslab.tune.choice import Trial
from losslab.tune.halving import without_horizon

FOLDER = "trials"
ENDED = ("finished", "diverged")


class Known:
    """The runs of all trials that have ended, so that progress is told of all that is known of, not of one round."""

    def __init__(self):
        self._ended: dict[Path, tuple[Running, int]] = {}  # with the tokens

    def note(self, planned: running.Plan, labels: Mapping[str, str], statuses: Collection[str]) -> None:
        """Count those runs of a plan in that have one of these statuses."""
        for experiment, folder in zip(planned.experiments, planned.folders, strict=True):
            if records.is_run(folder) and records.read(folder).status in statuses:
                run = Running(labels[experiment.condition], experiment.config.seed, "over")
                self._ended[folder] = run, experiment.num_tokens

    def added_to(self, progress: Progress) -> Progress:
        """The same, told of these runs, too."""

        def told(what: str, done: int, total: int, unit: str = "bytes", running: Sequence[Running] = ()) -> None:
            if running:
                before = sum(tokens for _, tokens in self._ended.values())
                done, total = done + before, total + before
                running = [*(run for run, _ in self._ended.values()), *running]
            progress(what, done, total, unit, running)

        return told


@dataclass(frozen=True)
class Runner:
    """How trials are run: where, with which seeds, and with how many processes."""

    folder: Path
    """Of the study; trials lie in its folder `trials`."""
    seeds: int = 1
    workers: int = 1
    threads: int = 1
    trusted: Collection[str] | None = None
    tell: Callable[[str], None] = lambda text: None
    progress: Progress = silent
    known: Known = field(default_factory=Known)
    executor: Executor | None = None

    @property
    def store(self) -> Path:
        return self.folder / FOLDER

    def run(self, settings: Sequence[dict], configs: Sequence[ExperimentConfig], arms: Sequence[str]) -> list[Trial]:
        """Run each configuration with each seed of a trial, and read what came out; what is finished is not run again.

        `arms` names the arm of each. A trial that failed is run once more; one that fails again is told of.
        """
        seeds = tuple(range(TRIAL_SEEDS, TRIAL_SEEDS + self.seeds))
        wanted = list(dict.fromkeys(as_trial(config) for config in configs))  # two trials may ask the same
        planned = running.plan(wanted, seeds, self.store, tell=self.tell, progress=self.progress, trusted=self.trusted)
        own = dict(zip(wanted, (each.condition for each in planned.experiments[: len(wanted)]), strict=True))
        conditions = [own[as_trial(config)] for config in configs]
        labels = dict(zip(conditions, arms, strict=True))
        self.known.note(planned, labels, ENDED)
        for again in (True, False):
            running.execute(planned, workers=self.workers, threads=self.threads, tell=self.tell,
                            progress=self.known.added_to(self.progress), labels=labels,
                            trials=dict(zip(conditions, map(words, settings), strict=True)),
                            executor=self.executor)
            self.known.note(planned, labels, ENDED if again else (*ENDED, "failed"))
            found = [records.read(folder) for folder in planned.folders]
            failed = [record for record in found if record.status == "failed"]
            if not failed:
                break
            if not again:
                for record in failed:
                    why = record.result.get("error", "it does not say why")
                    self.tell(f"a trial of {record.loss} failed twice: {why}; see `losslab runs show {record.path}`")
        by_condition: dict[str, list[Record]] = {}
        for record in found:
            by_condition.setdefault(record.condition, []).append(record)
        return [_trial(each, by_condition[condition]) for each, condition in zip(settings, conditions, strict=True)]


def words(settings: Mapping[str, object]) -> str:
    """What a trial tries: the value of one setting, or several with their names.

    Example:
        >>> words({"train.learning_rate": 0.016}), words({"train.learning_rate": 0.016, "model.dropout": 0.1})
        ('0.016', 'learning_rate 0.016, dropout 0.1')
    """
    tried = without_horizon(settings)
    values = {key: f"{value:g}" if isinstance(value, float) else str(value) for key, value in tried.items()}
    if len(values) == 1:
        return next(iter(values.values()))
    return ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in values.items())


def as_trial(config: ExperimentConfig) -> ExperimentConfig:
    """A configuration that is scored on `tune` and writes no texts."""
    return replace(config, evaluate=replace(config.evaluate, split="tune", num_samples=0, tasks="", tasks_every=0))


def _trial(settings: dict, runs: Sequence[Record]) -> Trial:
    statuses = {run.status for run in runs}
    status = next((each for each in ("failed", "diverged") if each in statuses), "finished")
    about = {"settings": settings, "seeds": tuple(run.seed for run in runs),
             "runs": tuple(str(run.path) for run in runs)}
    name = records.score_name(runs, "tune_nll")
    values = [run.scores.get(name, {}).get("value") for run in runs]
    if status != "finished" or None in values:
        return Trial(status="failed" if status == "finished" else status, tune_nll=None, **about)
    kept = [run.result.get("tune_documents") for run in runs]
    documents = None
    if all(kept):
        nats = np.sum([np.asarray(each["nats"], dtype=float) for each in kept], axis=0)
        documents = nats, np.asarray(kept[0]["tokens"], dtype=float)
    return Trial(status=status, tune_nll=float(np.mean(values)), documents=documents, **about)
