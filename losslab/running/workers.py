"""Runs in worker processes, which may die, or on the machines of an executor; what is finished is kept."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path

from losslab import executors, machine, processes, records
from losslab.config.numbers import TRIAL_SEEDS
from losslab.executors.local import Places
from losslab.experiment import Experiment, Job, environment
from losslab.progress import Progress, Running
from losslab.running.plan import Plan, Tell
from losslab.running.remote import Remote

POLL_SECONDS = 0.1
LOAD_SECONDS = 60  # in which the load that the system tells falls to 1/e
Track = Callable[[Experiment, Path], Callable[[dict], None]]


class Stopped(Exception):
    """The study was asked to stop; everything done is kept."""


class _OwnLoad:
    """What the runs of this process leave in the load of the machine, when tuning or a ladder begins the next ones."""

    def __init__(self):
        self.load, self.when = 0.0, 0.0

    def ended(self, threads: int, lasted: float) -> None:
        """Note that so many threads computed for so many seconds until now."""
        share = math.exp(-lasted / LOAD_SECONDS)
        before = self.load * math.exp((self.when - time.monotonic()) / LOAD_SECONDS)  # has decayed meanwhile, too
        self.load, self.when = before + threads * (1 - share), time.monotonic()

    def left(self) -> float:
        """The load that they leave now."""
        return self.load * math.exp((self.when - time.monotonic()) / LOAD_SECONDS)


_own = _OwnLoad()


def execute(
    planned: Plan, *, workers: int, threads: int, tell: Tell, progress: Progress, track: Track | None = None,
    tells_signs: bool = False, labels: Mapping[str, str] | None = None, trials: Mapping[str, str] | None = None,
    executor: Executor | None = None,
) -> None:
    """Run what is not done yet: here, at most `workers` at a time, or where an executor finds room.

    Args:
        planned: what `plan` returned; runs that are finished or diverged are left as they are.
        workers: runs at once on this machine; an executor decides by itself.
        threads: CPU threads of each; 0 as the environment says.
        tell: takes what is worth keeping, one line each.
        progress: is told once a second how far all runs are.
        tells_signs: whether signs of trouble are told as they come; those of trials are expected, and are not.
        track: given an experiment and its folder, what takes the lines of its log, numbers alone.
        labels: condition -> the name of its arm, for progress; its formula unless given.
        trials: condition -> the settings that it tries, in words, for progress; nothing for runs that are no trials.
        executor: of other machines, which share the store (`executors.opened`); worker processes of this one unless
            given.

    Raises:
        ValueError: for fewer than one worker.
        Stopped: after SIGTERM or Ctrl-C, once every worker has saved its run; after all others, where a run on another
            machine neither ended nor failed.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}; each trains one run at a time")
    waiting: list[Job | Remote] = []
    devices = [experiment.config.train.device for experiment in planned.experiments]
    places = Places(devices[0] if devices else "cpu") if executor is None else None
    for experiment, folder in zip(planned.experiments, planned.folders, strict=True):
        records.create(folder, experiment.spec, environment(experiment, threads))
        record = records.read(folder)
        if record.status not in ("finished", "diverged"):
            options = {"threads": threads, "tell": tell, "tells_signs": tells_signs,
                       "on_line": track(experiment, folder) if track else None}
            waiting.append(Job(experiment, folder, place=places.taken, **options) if places else
                           Remote(experiment, folder, **options))
            waiting[-1].tokens = record.log[-1]["tokens"] if record.log else 0  # of a run that was stopped
    if waiting and executor is None and (busy := machine.busy(threads or None, workers, _own.left())):
        tell(busy)
    reporter, begun = _Reporter(waiting, progress, labels or {}, trials or {}), time.monotonic()
    running: list[Job | Remote] = []
    with processes.stop_requests() as asked_to_stop:
        try:
            if executor is not None and waiting:  # all at once: who comes when is not for losslab to say
                with executors.together(executor):
                    for job in waiting:
                        job.submit(executor)
                        running.append(job)  # also asked to stop where a later one cannot be submitted
                waiting = []
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
            if executor is None and reporter.jobs:
                _own.ended((threads or machine.cores()) * min(workers, len(reporter.jobs)), time.monotonic() - begun)
        if asked_to_stop():
            raise Stopped(f"stopped; the same command continues from what {planned.store} holds")
        if left := [job.folder.name for job in reporter.jobs if isinstance(job, Remote) and job.is_left]:
            more = f" and {len(left) - 1} more" if len(left) > 1 else ""
            raise Stopped(f"there is no verdict without {left[0]}{more}, which did not come to an end on the machines "
                          f"of the executor; the same command continues from what {planned.store} holds")


class _Reporter:
    """Tells, once a second, how far all runs are, from what their jobs see."""

    def __init__(
        self, jobs: Sequence[Job | Remote], progress: Progress, labels: Mapping[str, str], trials: Mapping[str, str],
    ):
        self.jobs, self.progress, self.last = list(jobs), progress, 0.0
        several = len({job.experiment.config.seed for job in self.jobs}) > 1
        self.named = []
        for experiment in (job.experiment for job in self.jobs):
            trial = trials.get(experiment.condition, "")
            if trial and several:
                trial += f", run {experiment.config.seed - TRIAL_SEEDS + 1}"
            self.named.append((labels.get(experiment.condition, str(experiment.objective)), trial))

    def tell(self, running: Sequence[Job | Remote]) -> None:
        now = time.monotonic()
        if not self.jobs or now - self.last < 1:
            return
        self.last = now
        runs = [Running(label, job.experiment.config.seed,
                        "over" if job.is_over else job.phase if job in running else "waiting",
                        job.tokens / job.experiment.num_tokens if job.phase == "training" else 0.0,
                        job.utilization, trial) for job, (label, trial) in zip(self.jobs, self.named, strict=True)]
        self.progress("training", sum(job.tokens for job in self.jobs),
                      sum(job.experiment.num_tokens for job in self.jobs), "tokens", runs)
