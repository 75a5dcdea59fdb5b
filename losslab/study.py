"""Arms x seeds, in worker processes that may die, into a store that remembers."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from losslab import config as configuration
from losslab import machine, records
from losslab.config import ExperimentConfig
from losslab.experiment import Experiment, Job, environment, timing
from losslab.progress import Running, State
from losslab.records import Record
from losslab.stats import Comparison
from losslab.stats import compare as compare_outcomes

POLL_SECONDS = 0.1

Tell = Callable[[str], None]
Show = Callable[[State], None]


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


def plan(arms: Sequence[ExperimentConfig], seeds: Sequence[int], store: str | Path, *, tell: Tell = lambda text: None):
    """Check every arm and name every run.

    Raises:
        ValueError: for an arm that cannot be run, two arms that are the same, or a seed given twice.
    """
    if not arms or not seeds:
        raise ValueError("a comparison needs at least one loss and one seed")
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"the seeds {list(seeds)} hold one twice; each is one replicate")
    first = Experiment(replace(arms[0], seed=seeds[0]), tell=tell)
    experiments, conditions = [], {}
    for seed in seeds:
        for arm in arms:
            same_data = (arm.data, arm.start) == (arms[0].data, arms[0].start)
            # numerics are chosen once, by the first arm: auto may not mean two things in one study
            numerics = {name: getattr(first.config.train, name) for name in ("device", "dtype")
                        if getattr(arm.train, name) == "auto"}
            config = replace(arm, seed=seed, train=replace(arm.train, **numerics))
            experiments.append(Experiment(config, corpus=first.corpus if same_data else None, tell=tell))
    for experiment in experiments[: len(arms)]:
        if experiment.condition in conditions:
            other = conditions[experiment.condition]
            raise ValueError(f"the arms {other!r} and {str(experiment.objective)!r} are the same condition; name one")
        conditions[experiment.condition] = str(experiment.objective)
    return Plan(Path(store), tuple(str(e.objective) for e in experiments[: len(arms)]), tuple(experiments))


def compare(
    conditions: Sequence[ExperimentConfig], seeds: Sequence[int], store: str | Path, *, workers: int = 1,
    threads: int = 1, baseline: str | None = None, margin: float = 0.002, tell: Tell = lambda text: None,
    show: Show | None = None,
) -> tuple[Comparison | None, list[Record]]:
    """Train every condition with every seed, and say whether the differences are real.

    Args:
        conditions: one configuration an arm; its own seed is not used.
        seeds: one replicate each; arms are paired by them.
        store: a folder of runs. What is finished there is not run again, what was stopped goes on.
        workers: runs at once, each in a process with `threads` threads.
        baseline: the arm that others are compared with; `cross_entropy` where it is one, else the first.
        margin: the difference in nats/token that would matter.
        tell: takes what is worth keeping, a line each.
        show: takes the state of all runs, every second or so.

    Returns:
        the comparison (None where there is only one arm, or no seed that two arms finished) and the runs.

    Raises:
        Stopped: after SIGTERM or Ctrl-C, once every worker has saved its run.
    """
    with records.lock(store, "store"):
        planned = plan(conditions, seeds, store, tell=tell)
        execute(planned, workers=workers, threads=threads, tell=tell, show=show or (lambda state: None))
        found = [records.read(folder) for folder in planned.folders]
        looks = records.looks(store, found)
        comparison = verdict(found, baseline=baseline, margin=margin, looks=looks)
        if comparison is not None:
            shared = {record.seed for record in found if record.status in ("finished", "diverged", "failed")}
            try:
                records.note_look(store, found, shared)
            except OSError as error:  # the verdict is not lost for it
                tell(f"this look at {store} could not be noted ({error.strerror}); a later one from more seeds will "
                     "not say that it is a second look")
    return comparison, found


def verdict(
    found: Sequence[Record], *, baseline: str | None = None, margin: float = 0.002,
    looks: Sequence[Sequence[int]] = (),
) -> Comparison | None:
    """The comparison of the runs of a study, on plain `nll`; None where nothing can be paired."""
    names = records.labels(found)
    plain = next((names[record.condition] for record in found if record.loss == "cross_entropy"), None)
    first = records.baseline(names.values(), baseline or plain)
    outcomes = records.outcomes(found)
    paired = {name: seeds for name, seeds in outcomes.items() if seeds.keys() & outcomes.get(first, {}).keys()}
    failed = {name: seeds for name, seeds in records.failed(found).items() if name in paired}
    return compare_outcomes(paired, first, margin=margin, failed=failed, looks=looks) if len(paired) > 1 else None


def execute(planned: Plan, *, workers: int, threads: int, tell: Tell, show: Show) -> None:
    """Run what is not done yet, at most `workers` at a time."""
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}; each trains one run at a time")
    waiting = []
    for experiment, folder in zip(planned.experiments, planned.folders, strict=True):
        records.create(folder, experiment.spec, environment(experiment, threads))
        if records.read(folder).status not in ("finished", "diverged"):
            waiting.append(Job(experiment, folder, threads=threads, tell=tell))
    progress = _Progress(planned, waiting, show)
    running: list[Job] = []
    with machine.stop_requests() as asked_to_stop:
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
                progress.tell(running)
                time.sleep(POLL_SECONDS)
        finally:
            for job in running:
                job.close()
        if asked_to_stop():
            raise Stopped(f"stopped; the same command goes on from what {planned.store} holds")


class _Progress:
    """Rate and remaining time over all runs, from what their jobs see."""

    def __init__(self, planned: Plan, jobs: Sequence[Job], show: Show):
        self.jobs, self.show, self.per_run = list(jobs), show, planned.tokens_per_run
        self.begun: tuple[float, int] | None = None
        self.last = 0.0

    def tell(self, running: Sequence[Job]) -> None:
        now = time.monotonic()
        if not self.jobs or now - self.last < 1:
            return
        self.last = now
        done = sum(job.tokens for job in self.jobs)
        if self.begun is None and done:
            self.begun = now, done
        started, before = self.begun or (now, done)
        rate = (done - before) / max(now - started, 1e-9)
        total = len(self.jobs) * self.per_run
        finished = sum(job.is_over for job in self.jobs)
        self.show(State(finished, len(self.jobs), done, total, rate, (total - done) / rate if rate > 0 else None,
                        tuple(Running(str(job.experiment.objective), job.experiment.config.seed, job.phase,
                                      job.tokens / self.per_run if job.phase == "training" else 0.0)
                              for job in running)))


def estimate(planned: Plan, *, workers: int, threads: int) -> dict:
    """What a comparison would cost, from a few timed updates of its first arm, in a process of their own."""
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
