"""What a comparison would cost."""

import heapq
from collections.abc import Mapping, Sequence
from pathlib import Path

from losslab import config as configuration
from losslab import records
from losslab.experiment import Experiment, timing
from losslab.running.plan import Plan

REPEATS = 9  # updates' worth of timing the loss alone, at the end of a run; see `Training.loss_cost`
WAITS = 0.5  # seconds in which a finished process is noticed, twice in a run
PAGE_STARTS = 1.0  # the verdict and its page, in start-ups of a process
ENDED = ("finished", "diverged")


def estimate(planned: Plan, *, workers: int, threads: int, tuning: tuple[int, Sequence[int]] = (0, ()),
             names: Sequence[str] = ()) -> dict:
    """What a comparison would cost, from a few timed updates of each arm, in processes of their own.

    As many are timed at once as would train at once. What is done in the store costs nothing any more.

    Args:
        planned: what `plan` returned.
        workers: runs at once.
        threads: CPU threads of each; 0 as the environment says.
        tuning: of each arm, its trials, and of every run of them the whole horizon divided by its own.
        names: of the arms; their formulas unless given.

    Returns:
        JSON-able: `arms`, `runs` (those of tuning too), `trials` and `tuning_runs` (of all arms together), `done` (runs
        that are), `steps_per_run`, `tokens_per_run`, `tokens` (of all runs), `num_params`, `tokens_per_second` (of a
        run, the slowest arm's), `seconds` (until the verdict, of what is not done), `seconds_by_arm` (of one run),
        `disk_bytes`, `config` of the first arm and `corpus`.

    Raises:
        ValueError: where the timed updates fail.
    """
    arms, names = planned.experiments[: len(planned.arms)], list(names or planned.arms)
    todo = [experiment for experiment, folder in zip(planned.experiments, planned.folders, strict=True)
            if not _is_done(folder)]
    trials, divisors = tuning
    extra = len(divisors) * len(arms)
    times = _timed(arms, workers=min(workers, max(1, len(todo) + extra)), threads=threads)
    seconds = [_run_seconds(experiment, found) for experiment, found in zip(arms, times, strict=True)]
    of = dict(zip((experiment.condition for experiment in arms), seconds, strict=True))
    tuned = [_run_seconds(experiment, found, divisor) for divisor in divisors
             for experiment, found in zip(arms, times, strict=True)]
    training = _length([of[experiment.condition] for experiment in todo], workers)
    start = max(found["start_seconds"] for found in times)
    first = arms[0]
    slowest = max(found["step_seconds"] for found in times)
    num_params = max(found["num_params"] for found in times)
    tokens = [experiment.num_tokens for experiment in planned.experiments]
    tokens += [_steps(arm, divisor) * arm.config.tokens_per_step for arm in arms for divisor in divisors]
    return {
        "arms": names, "runs": len(planned.experiments) + extra, "trials": trials * len(arms), "tuning_runs": extra,
        "done": len(planned.experiments) - len(todo), "steps_per_run": first.num_steps,
        "tokens_per_run": planned.tokens_per_run, "tokens": sum(tokens),
        "num_params": num_params, "tokens_per_second": first.config.tokens_per_step / slowest,
        "seconds": (1 + PAGE_STARTS) * start + _length(tuned, workers) + training,
        "seconds_by_arm": dict(zip(names, seconds, strict=True)),
        "disk_bytes": (len(todo) + extra) * (4 * num_params + 150_000) + 2_000_000,
        "config": configuration.to_dict(first.config), "corpus": first.corpus.describe(),
    }


def _is_done(folder: Path) -> bool:
    return records.is_run(folder) and records.read(folder).status in ENDED


def _timed(arms: Sequence[Experiment], *, workers: int, threads: int) -> list[dict]:
    """Each arm once, `workers` at a time; others keep the last ones company."""
    found: list[dict] = []
    for begin in range(0, len(arms), workers):
        group = list(arms[begin : begin + workers])
        company = [arms[number % len(arms)] for number in range(workers - len(group))]
        found += timing.measure([*group, *company], threads=threads)[: len(group)]
    return found


def _steps(experiment: Experiment, divisor: int) -> int:
    return max(1, experiment.num_steps // divisor)


def _run_seconds(experiment: Experiment, found: Mapping[str, float], divisor: int = 1) -> float:
    """One run: two processes that start, the updates, the looks at `tune`, and the measuring on `val`."""
    config, splits, steps = experiment.config, experiment.corpus.describe()["splits"], _steps(experiment, divisor)
    tune = min(config.evaluate.tune_tokens, splits["tune"]["tokens"])
    looks = -(-steps // (config.evaluate.every or -(-steps // 20)))
    windows = config.seq_len / config.evaluate.stride if config.evaluate.stride else 1.0  # that read a token
    training = (steps + REPEATS) * found["step_seconds"] + looks * tune * found["score_seconds"]
    written = config.evaluate.num_samples * config.evaluate.sample_tokens * found["write_seconds"]
    measuring = windows * splits["val"]["tokens"] * found["judge_seconds"] + tune * found["fit_seconds"] + written
    return 2 * found["start_seconds"] + WAITS + training + measuring


def _length(runs: Sequence[float], workers: int) -> float:
    """How long runs take, each begun as soon as a worker is free."""
    free = [0.0] * max(1, workers)
    for seconds in runs:
        heapq.heappush(free, heapq.heappop(free) + seconds)
    return max(free)
