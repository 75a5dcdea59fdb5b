"""What a comparison would cost."""

import heapq
from collections.abc import Mapping, Sequence
from pathlib import Path

from losslab import config as configuration
from losslab import records
from losslab.executors.local import Places
from losslab.experiment import Experiment, fitting, timing
from losslab.experiment.gauges import REPEATS
from losslab.running.plan import Plan

WAITS = 0.5  # seconds in which a finished process is noticed, twice in a run
PAGE_STARTS = 1.0  # the verdict and its page, in start-ups of a process
ENDED = ("finished", "diverged")


def estimate(
    planned: Plan, *, workers: int, threads: int, tuning: tuple[int, Sequence[tuple[int, float]]] = (0, ()),
    names: Sequence[str] = (),
) -> dict:
    """What a comparison would cost, from a few timed updates of each arm, in processes of their own.

    As many are timed at once as would train at once. What is done in the store costs nothing any more.

    Args:
        planned: what `plan` returned.
        workers: runs at once.
        threads: CPU threads of each; 0 as the environment says.
        tuning: of each arm, its trials, and round by round its runs and the share of a run's updates that they have. A
            round begins when the one before it is over.
        names: of the arms; their formulas unless given.

    Returns:
        JSON-able: `arms`, `runs` (those of tuning too), `trials` and `tuning_runs` (of all arms together), `done` (runs
        that are), `steps_per_run`, `tokens_per_run`, `tokens` (of all runs), `num_params`, `tokens_per_second` (of a
        run, the slowest arm's), `seconds` (until the verdict, of what is not done), `seconds_by_arm` (of one run),
        `parts_by_arm` (what that is the sum of; see `parts`), `seconds_tuning`, `seconds_training`, `seconds_else`,
        `disk_bytes`, `memory` (of one run, as `fitting.told` gives it), `config` of the first arm and `corpus`.

    Raises:
        ValueError: where the timed updates fail.
    """
    arms, names = planned.experiments[: len(planned.arms)], list(names or planned.arms)
    todo = [experiment for experiment, folder in zip(planned.experiments, planned.folders, strict=True)
            if not _is_done(folder)]
    trials, rounds = tuning
    extra = len(arms) * sum(runs for runs, _ in rounds)
    times = _timed(arms, workers=min(workers, max(1, len(todo) + extra)), threads=threads)
    made = [parts(experiment, found) for experiment, found in zip(arms, times, strict=True)]
    seconds = [sum(each.values()) for each in made]
    of = dict(zip((experiment.condition for experiment in arms), seconds, strict=True))
    tuned = sum(_length([sum(parts(experiment, found, trial=share).values()) for experiment, found in
                         zip(arms, times, strict=True)] * runs, workers) for runs, share in rounds)
    training = _length([of[experiment.condition] for experiment in todo], workers)
    start = max(found["start_seconds"] for found in times)
    first = arms[0]
    slowest = max(found["step_seconds"] for found in times)
    num_params = max(found["num_params"] for found in times)
    tokens = [experiment.num_tokens for experiment in planned.experiments]
    tokens += [round(share * experiment.num_tokens) for experiment in arms for count, share in rounds
               for _ in range(count)]
    other = (1 + PAGE_STARTS) * start
    return {
        "arms": names, "runs": len(planned.experiments) + extra, "trials": trials * len(arms), "tuning_runs": extra,
        "done": len(planned.experiments) - len(todo), "steps_per_run": first.num_steps,
        "tokens_per_run": planned.tokens_per_run, "tokens": sum(tokens),
        "num_params": num_params, "tokens_per_second": first.config.tokens_per_step / slowest,
        "seconds": other + tuned + training, "seconds_tuning": tuned, "seconds_training": training,
        "seconds_else": other, "seconds_by_arm": dict(zip(names, seconds, strict=True)),
        "parts_by_arm": dict(zip(names, made, strict=True)),
        "disk_bytes": (len(todo) + extra) * (4 * num_params + 150_000) + 2_000_000,
        "memory": fitting.told(first.config, first.corpus.tokenizer.vocab_size,
                               takes_logits=first.objective.takes_logits),
        "config": configuration.to_dict(first.config), "corpus": first.corpus.describe(),
    }


def _is_done(folder: Path) -> bool:
    return records.is_run(folder) and records.read(folder).status in ENDED


def _timed(arms: Sequence[Experiment], *, workers: int, threads: int) -> list[dict]:
    """Each arm once, `workers` at a time, on GPUs as runs are; others keep the last ones company."""
    found: list[dict] = []
    places = Places(arms[0].config.train.device)
    for begin in range(0, len(arms), workers):
        group = list(arms[begin : begin + workers])
        company = [arms[number % len(arms)] for number in range(workers - len(group))]
        found += timing.measure([*group, *company], threads=threads, place=places.taken)[: len(group)]
    return found


def parts(experiment: Experiment, found: Mapping[str, float], *, trial: float = 0.0) -> dict[str, float]:
    """What one run is made of, in seconds, each a count of something times what one of it took.

    Args:
        experiment: the run.
        found: what `timing.measure` says of it.
        trial: 0 for a run that is compared; for a trial of tuning, which is scored on `tune` alone and writes no texts,
            the share of the updates that it has.

    Returns:
        `starts` of the two processes, `waits` until it is noticed that they end, `updates`, `looks` at `tune` on the
        way, `checkpoints`, `loss` (the timing of the loss alone), and `scores` of the saved model.
    """
    config, splits = experiment.config, experiment.corpus.describe()["splits"]
    tune = min(config.evaluate.tune_tokens, splits["tune"]["tokens"])
    steps = round(trial * experiment.num_steps) if trial else experiment.num_steps
    looks = steps // config.evaluate_every + bool(steps % config.evaluate_every)
    windows = config.seq_len / config.evaluate.stride if config.evaluate.stride else 1.0  # that read a token
    every = config.train.checkpoint_every
    saves = (steps - 1) // every if every else 0  # on the way; the last one leaves the optimizer out
    if trial:
        scores = windows * splits["tune"]["tokens"] * found["score_seconds"]
    else:
        written = config.evaluate.num_samples * config.evaluate.sample_tokens * found["write_seconds"]
        scores = windows * splits["val"]["tokens"] * found["judge_seconds"] + tune * found["fit_seconds"] + written
    return {"starts": 2 * found["start_seconds"], "waits": WAITS, "updates": steps * found["step_seconds"],
            "looks": looks * tune * found["score_seconds"],
            "checkpoints": found["save_seconds"] + saves * found["save_all_seconds"],
            "loss": (REPEATS + 1) * found["loss_seconds"], "scores": scores}


def _length(runs: Sequence[float], workers: int) -> float:
    """How long runs take, each begun as soon as a worker is free."""
    free = [0.0] * max(1, workers)
    for seconds in runs:
        heapq.heappush(free, heapq.heappop(free) + seconds)
    return max(free)
