"""Trials are runs: trained as any other, but scored on `tune`, with seeds that serve no verdict."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from losslab import records, running
from losslab.config import ExperimentConfig
from losslab.config.numbers import TRIAL_SEEDS
from losslab.progress import Progress, silent
from losslab.records import Record
from losslab.tune.choice import Trial

FOLDER = "trials"


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

    @property
    def store(self) -> Path:
        return self.folder / FOLDER

    def run(self, settings: Sequence[dict], configs: Sequence[ExperimentConfig]) -> list[Trial]:
        """Run each configuration with each seed of a trial, and read what came out; what is finished is not run again.

        A trial that failed is run once more; one that fails again is told of.
        """
        seeds = tuple(range(TRIAL_SEEDS, TRIAL_SEEDS + self.seeds))
        wanted = list(dict.fromkeys(as_trial(config) for config in configs))  # two trials may ask the same
        planned = running.plan(wanted, seeds, self.store, tell=self.tell, progress=self.progress, trusted=self.trusted)
        for again in (True, False):
            running.execute(planned, workers=self.workers, threads=self.threads, tell=self.tell, progress=self.progress)
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
        own = dict(zip(wanted, (each.condition for each in planned.experiments[: len(wanted)]), strict=True))
        return [_trial(each, by_condition[own[as_trial(config)]])
                for each, config in zip(settings, configs, strict=True)]


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
