"""Arms x seeds, in worker processes that may die, into a store that remembers."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from losslab import config as configuration
from losslab import machine, records
from losslab.config import ExperimentConfig
from losslab.experiment import Experiment
from losslab.model import GPT2
from losslab.records import Record
from losslab.stats import Comparison
from losslab.stats import compare as compare_outcomes
from losslab.train import train

ATTEMPTS = 3  # a worker killed from outside is started again; one that keeps dying is not
POLL_SECONDS = 0.2

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
    show: Tell | None = None,
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
        show: takes the state of things, every second or so; each replaces the one before.

    Returns:
        the comparison (None where there is only one arm, or no seed that two arms finished) and the runs.

    Raises:
        Stopped: after SIGTERM or Ctrl-C, once every worker has saved its run.
    """
    with records.lock(store, "store"):
        planned = plan(conditions, seeds, store, tell=tell)
        execute(planned, workers=workers, threads=threads, tell=tell, show=show or (lambda text: None))
        found = [records.read(folder) for folder in planned.folders]
    return verdict(found, baseline=baseline, margin=margin), found


def verdict(found: Sequence[Record], *, baseline: str | None = None, margin: float = 0.002) -> Comparison | None:
    """The comparison of the runs of a study, on the ruler's `nll`; None where nothing can be paired."""
    arms = list(records.labels(found).values())
    first = records.baseline(arms, baseline)
    outcomes = records.outcomes(found)
    paired = {name: seeds for name, seeds in outcomes.items() if seeds.keys() & outcomes.get(first, {}).keys()}
    return compare_outcomes(paired, first, margin=margin) if len(paired) > 1 else None


def execute(planned: Plan, *, workers: int, threads: int, tell: Tell, show: Tell) -> None:
    """Run what is not done yet, at most `workers` at a time; a worker that is killed is started again."""
    waiting = []
    for experiment, folder in zip(planned.experiments, planned.folders, strict=True):
        records.create(folder, experiment.spec, machine.describe(
            experiment.config.train.device, experiment.config.train.dtype) | {"threads": threads})
        if records.read(folder).status not in ("finished", "diverged"):
            (folder / "result.json").unlink(missing_ok=True)  # a failed run gets another chance
            waiting.append(folder)
    progress = _Progress(planned, waiting, show)
    attempts: dict[Path, int] = {}
    running: dict[Path, subprocess.Popen] = {}
    with machine.stop_requests() as asked_to_stop:
        while waiting or running:
            while waiting and len(running) < workers and not asked_to_stop():
                folder = waiting.pop(0)
                attempts[folder] = attempts.get(folder, 0) + 1
                running[folder] = _start(folder, threads)
            time.sleep(POLL_SECONDS)
            for folder, process in list(running.items()):
                if process.poll() is None:
                    continue
                del running[folder]
                if not asked_to_stop() and _died(process, folder, attempts[folder], tell):
                    waiting.insert(0, folder)
            progress.show(list(running))
            if asked_to_stop():
                for process in running.values():
                    process.send_signal(signal.SIGTERM)
                for process in running.values():
                    process.wait()
                raise Stopped(f"stopped; the same command goes on from what {planned.store} holds")


def _start(folder: Path, threads: int) -> subprocess.Popen:
    environment = os.environ | {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    with open(folder / "worker.log", "a", encoding="utf-8") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "losslab.experiment", str(folder), str(threads)], stdout=log, stderr=log,
            stdin=subprocess.DEVNULL, env=environment, start_new_session=True,  # a Ctrl-C reaches it through us alone
        )


def _died(process: subprocess.Popen, folder: Path, attempts: int, tell: Tell) -> bool:
    """Whether the run is to be started again; what cannot be is recorded as failed."""
    status = records.read(folder).status
    if process.returncode == 0 or status in ("finished", "diverged", "failed"):
        if status == "failed":
            tell(f"failed: {records.read(folder).result['error']}")
        return False
    said = (folder / "worker.log").read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
    why = f"killed by signal {-process.returncode}" if process.returncode < 0 else f"exit code {process.returncode}"
    if process.returncode != 2 and attempts < ATTEMPTS:
        tell(f"the worker of {folder.name} ended ({why}); starting it again from its last checkpoint")
        return True
    error = said[0] if said else f"its worker ended ({why})"
    records.write_result(folder, {"status": "failed", "error": error})
    tell(f"failed: {folder.name}: {error}")
    return False


class _Progress:
    """Rate and remaining time over all runs, from the logs that workers write."""

    def __init__(self, planned: Plan, waiting: Sequence[Path], say: Tell):
        self.total = len(waiting) * planned.tokens_per_run
        self.per_run, self.folders, self.say = planned.tokens_per_run, list(waiting), say
        self.started, self.begun_with, self.last = time.monotonic(), None, 0.0

    def show(self, running: Sequence[Path]) -> None:
        now = time.monotonic()
        if not self.total or now - self.last < 1:
            return
        self.last = now
        done = sum(self._tokens(folder) for folder in self.folders)
        if self.begun_with is None:
            self.begun_with = done
        finished = sum((folder / "result.json").exists() for folder in self.folders)
        rate = (done - self.begun_with) / max(now - self.started, 1e-9)
        left = f"{(self.total - done) / rate:.0f} s left" if rate > 0 else "starting"
        self.say(f"{finished} of {len(self.folders)} runs done, {done / self.total:.0%}, {rate:,.0f} tokens/s, {left}")

    def _tokens(self, folder: Path) -> int:
        if (folder / "result.json").exists():
            return self.per_run
        try:
            with open(folder / "log.jsonl", "rb") as file:  # the last line is enough
                file.seek(max(0, file.seek(0, os.SEEK_END) - 400))
                line = file.read().splitlines()[-1]
            return int(line.split(b'"tokens": ')[1].split(b",")[0])
        except (OSError, IndexError, ValueError):
            return 0


def estimate(planned: Plan, *, workers: int, threads: int) -> dict:
    """What a comparison would cost, from a few timed updates of its first arm."""
    machine.set_threads(threads)
    first = planned.experiments[0]
    config, tokenizer = first.config, first.corpus.tokenizer
    model = GPT2.initialized(config.model, tokenizer.vocab_size, 0, first.objective.transform_text)
    model = model.to(config.train.device)
    batches = first.corpus.batches("train", seed=0, batch_size=config.train.batch_size,
                                   seq_len=config.model.max_seq_len)
    steps: list[float] = []
    train(model, batches, first.objective, config.train, lambda info: steps.append(info.seconds) or len(steps) >= 6,
          vocabulary=first.vocabulary.to(config.train.device))
    per_step = (steps[-1] - steps[0]) / max(1, len(steps) - 1) if len(steps) > 1 else steps[0]
    runs = len(planned.experiments)
    weights = 4 * model.num_params
    return {
        "arms": list(planned.arms), "runs": runs, "steps_per_run": first.num_steps,
        "tokens_per_run": planned.tokens_per_run, "tokens": runs * planned.tokens_per_run,
        "num_params": model.num_params, "tokens_per_second": config.tokens_per_step / per_step,
        "seconds": runs * first.num_steps * per_step / max(1, min(workers, runs)),
        "disk_bytes": runs * (4 * weights + 100_000),
        "config": configuration.to_dict(config), "corpus": first.corpus.describe(),
    }
