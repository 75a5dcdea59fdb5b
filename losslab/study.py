"""Trains arms x seeds in worker processes, which may die; finished runs are kept in a store."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from losslab import comparison, machine, processes, records
from losslab import config as configuration
from losslab.comparison import Comparison
from losslab.config import ExperimentConfig
from losslab.experiment import Experiment, Job, environment, timing
from losslab.progress import Progress, Running, silent

POLL_SECONDS = 0.1

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """Every run of a comparison, checked and with a folder, before any is started."""

    store: Path
    arms: tuple[str, ...]
    experiments: tuple[Experiment, ...]  # arms x seeds, seed by seed, so that early seeds compare early

    @property
    def folders(self) -> list[Path]:
        return [experiment.folder(self.store) for experiment in self.experiments]

    @property
    def tokens_per_run(self) -> int:
        first = self.experiments[0]
        return first.num_steps * first.config.tokens_per_step


class Stopped(Exception):
    """The study was asked to stop; everything done is kept."""


def plan(
    arms: Sequence[ExperimentConfig], seeds: Sequence[int], store: str | Path, *, tell: Tell = lambda text: None,
    progress: Progress = silent,
) -> Plan:
    """Check every arm and name every run.

    Args:
        arms: one configuration per arm; its own seed is not used.
        seeds: one replicate each.
        store: the folder in which the runs are, or will be.
        tell: takes what is worth keeping, one line each.
        progress: is told how far the corpus is.

    Returns:
        the plan; no run folder is made and nothing is trained.

    Raises:
        ValueError: for an arm that cannot be run, two arms that are the same, or a seed given twice.
    """
    if not arms or not seeds:
        raise ValueError("a comparison needs at least one loss and one seed")
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"the seeds {list(seeds)} hold one twice; each is one replicate")
    first = Experiment(replace(arms[0], seed=seeds[0]), tell=tell, progress=progress)
    experiments, conditions = [], {}
    for seed in seeds:
        for arm in arms:
            same_data = (arm.data, arm.start) == (arms[0].data, arms[0].start)
            # numerics are chosen once, by the first arm: auto may not mean two things in one study
            numerics = {name: getattr(first.config.train, name) for name in ("device", "dtype")
                        if getattr(arm.train, name) == "auto"}
            config = replace(arm, seed=seed, train=replace(arm.train, **numerics))
            corpus = first.corpus if same_data else None
            experiments.append(Experiment(config, corpus=corpus, tell=tell, progress=progress))
    for experiment in experiments[: len(arms)]:
        if experiment.condition in conditions:
            other = conditions[experiment.condition]
            raise ValueError(f"the arms {other!r} and {str(experiment.objective)!r} are the same condition; name one")
        conditions[experiment.condition] = str(experiment.objective)
    return Plan(Path(store), tuple(str(e.objective) for e in experiments[: len(arms)]), tuple(experiments))


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
        Stopped: after SIGTERM or Ctrl-C, once every worker has saved its run.
    """
    with records.lock(store, "store"):
        planned = plan(conditions, seeds, store, tell=tell, progress=progress)
        execute(planned, workers=workers, threads=threads, tell=tell, progress=progress)
        found = [records.read(folder) for folder in planned.folders]
        looks = records.looks(store, found)
        compared = comparison.compare(found, baseline=baseline, margin=margin, looks=looks)
        if compared.nll is not None:
            shared = {record.seed for record in found if record.status in ("finished", "diverged", "failed")}
            try:
                records.note_look(store, found, shared)
            except OSError as error:  # the verdict is not lost for it
                tell(f"this look at {store} could not be noted ({error.strerror}); a later one from more seeds will "
                     "not say that it is a second look")
    return compared


def execute(planned: Plan, *, workers: int, threads: int, tell: Tell, progress: Progress) -> None:
    """Run what is not done yet, at most `workers` at a time.

    Args:
        planned: what `plan` returned; runs that are finished or diverged are left as they are.
        workers: runs at once.
        threads: CPU threads of each; 0 as the environment says.
        tell: takes what is worth keeping, one line each.
        progress: is told once a second how far all runs are.

    Raises:
        ValueError: for fewer than one worker.
        Stopped: after SIGTERM or Ctrl-C, once every worker has saved its run.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}; each trains one run at a time")
    waiting = []
    for experiment, folder in zip(planned.experiments, planned.folders, strict=True):
        records.create(folder, experiment.spec, environment(experiment, threads))
        record = records.read(folder)
        if record.status not in ("finished", "diverged"):
            waiting.append(Job(experiment, folder, threads=threads, tell=tell))
            waiting[-1].tokens = record.log[-1]["tokens"] if record.log else 0  # of a run that was stopped
    if waiting and (busy := machine.busy(threads or None, workers)):
        tell(busy)
    reporter = _Reporter(planned, waiting, progress)
    running: list[Job] = []
    with processes.stop_requests() as asked_to_stop:
        try:
            while waiting or running:
                if asked_to_stop():
                    waiting.clear()
                    for job in running:
                        if not job.asked_to_stop:
                            job.stop()
                while waiting and len(running) < workers:
                    running.append(waiting.pop(0))
                running = [job for job in running if not job.advance()]
                reporter.tell(running)
                time.sleep(POLL_SECONDS)
        finally:
            for job in running:
                job.close()
        if asked_to_stop():
            raise Stopped(f"stopped; the same command continues from what {planned.store} holds")


class _Reporter:
    """Tells, once a second, how far all runs are, from what their jobs see."""

    def __init__(self, planned: Plan, jobs: Sequence[Job], progress: Progress):
        self.jobs, self.progress, self.per_run = list(jobs), progress, planned.tokens_per_run
        self.last = 0.0

    def tell(self, running: Sequence[Job]) -> None:
        now = time.monotonic()
        if not self.jobs or now - self.last < 1:
            return
        self.last = now
        runs = [Running(str(job.experiment.objective), job.experiment.config.seed,
                        "over" if job.is_over else job.phase if job in running else "waiting",
                        job.tokens / self.per_run if job.phase == "training" else 0.0) for job in self.jobs]
        self.progress("training", sum(job.tokens for job in self.jobs), len(self.jobs) * self.per_run, "tokens", runs)


def estimate(planned: Plan, *, workers: int, threads: int) -> dict:
    """What a comparison would cost, from a few timed updates of its first arm, in a separate process.

    Args:
        planned: what `plan` returned.
        workers: runs at once.
        threads: CPU threads of each; 0 as the environment says.

    Returns:
        JSON-able: `arms`, `runs`, `steps_per_run`, `tokens_per_run`, `tokens`, `num_params`, `tokens_per_second`,
        `seconds` (training of all runs), `disk_bytes`, `config` of the first arm and `corpus`.

    Raises:
        ValueError: where the timed updates fail.
    """
    first = planned.experiments[0]
    config = first.config
    found = timing.measure(first, threads=threads)
    runs = len(planned.experiments)
    weights = 4 * found["num_params"]
    return {
        "arms": list(planned.arms), "runs": runs, "steps_per_run": first.num_steps,
        "tokens_per_run": planned.tokens_per_run, "tokens": runs * planned.tokens_per_run,
        "num_params": found["num_params"], "tokens_per_second": config.tokens_per_step / found["seconds_per_step"],
        "seconds": runs * first.num_steps * found["seconds_per_step"] / max(1, min(workers, runs)),
        "disk_bytes": runs * (4 * weights + 100_000),
        "config": configuration.to_dict(config), "corpus": first.corpus.describe(),
    }
