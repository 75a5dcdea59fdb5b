"""Arms x seeds, trained under matched conditions and compared; finished runs are kept in a store."""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

from losslab import comparison, records
from losslab.comparison import Comparison
from losslab.config import ExperimentConfig
from losslab.progress import Progress, silent
from losslab.running import Plan, Tell, Track, execute, plan
from losslab.stats import race as racing


def compare(
    conditions: Sequence[ExperimentConfig], seeds: Sequence[int], store: str | Path, *, workers: int = 1,
    threads: int = 1, baseline: str | None = None, margin: float = 0.002, race: Sequence[int] = (), final: bool = False,
    labels: Sequence[str] = (), tuned: Sequence[dict] = (), trusted: Collection[str] | None = None,
    is_look: bool = True, planned_as: Callable[[Sequence[str]], None] = lambda conditions: None,
    tell: Tell = lambda text: None, progress: Progress = silent, track: Track | None = None,
    executor: Executor | None = None,
) -> Comparison:
    """Train every condition with every seed, and say whether the differences are real.

    Args:
        conditions: one configuration per arm; its own seed is not used.
        seeds: one replicate each; arms are paired by them.
        store: a folder of runs. What is finished there is not run again, what was stopped resumes.
        workers: runs at once, each in a process with `threads` threads.
        baseline: the arm that others are compared with; `cross_entropy` where it is one, else the first.
        margin: the difference in nats/token that would matter.
        race: numbers of seeds at which looks are declared, which share the error rate that is left equally; an arm
            that a look settles stops. Nothing: one look, when all runs are done.
        final: this look spends all that is left of the error rate; no later one has any.
        labels: the names of the arms, in the order of `conditions`; their formulas unless given, and `baseline` may be
            one of them.
        tuned: what tuning tried for each arm and chose; nothing where it was not tuned.
        trusted: hashes of loss files that may run besides those in the user's list; None if it was the user who named
            the files.
        is_look: whether this is a look, which the ledger of the store counts.
        planned_as: is told the conditions of the arms, in their order, before the first run.
        tell: takes what is worth keeping, one line each.
        progress: is told how far the corpus and all runs are, every second or so.
        track, executor: as for `running.execute`.

    Returns:
        what `comparison.compare` finds in these runs; its `nll` is None where nothing could be paired.

    Raises:
        ValueError: for a race over more seeds than are given, or a damaged ledger.
        running.Stopped: after SIGTERM or Ctrl-C, once every worker has saved its run.
    """
    race = racing.declared(race) if race else ()
    if race and (final or race[-1] > len(seeds)):
        raise ValueError("--final declares one look and --race several; give one of them" if final else
                         f"a race that looks at {race[-1]} seeds needs as many, got {len(seeds)}")
    with records.lock(store, "store"):
        records.looks(store, (), "", "nll")  # a damaged ledger is said before anything is spent
        planned = plan(conditions, seeds[: race[-1]] if race else seeds, store, tell=tell, progress=progress,
                       trusted=trusted)
        own = [experiment.condition for experiment in planned.experiments[: len(conditions)]]
        planned_as(own)
        named = dict(zip(own, labels, strict=False))
        if baseline in labels:
            baseline = own[list(labels).index(baseline)]
        going: set[str] | None = None  # all
        for number, count in enumerate(race or (len(seeds),)):
            leg = planned if going is None and not race else _leg(planned, set(seeds[:count]), going)
            execute(leg, workers=workers, threads=threads, tell=tell, progress=progress, track=track,
                    tells_signs=True, labels=named, executor=executor)
            found = [records.read(folder) for folder in planned.folders if records.is_run(folder)]
            left = len(race) - number if race else int(final)
            told = {"baseline": baseline, "margin": margin, "planned": left, "labels": named,
                    "tuned": dict(zip(own, tuned, strict=False))}
            compared = (comparison.judged(found, store, tell=tell, **told) if is_look else
                        comparison.compare(found, **told))
            going = _going(compared)
            if race and going:
                tell(f"look {number + 1} of {len(race)}, {count} seeds: {compared.verdict}")
            if not going:
                break
    return compared


def _leg(planned: Plan, seeds: Collection[int], going: Collection[str] | None) -> Plan:
    """The runs of a plan up to the next look, of the arms that are not settled."""
    return replace(planned, experiments=tuple(experiment for experiment in planned.experiments if
                                              experiment.config.seed in seeds
                                              and (going is None or experiment.condition in going)))


def _going(compared: Comparison) -> set[str]:
    """The conditions that a race continues with: the open arms and the baseline; nothing where all is settled."""
    names = racing.open_arms(compared.nll) if compared.nll else []
    return {compared.arm(name).condition for name in [compared.baseline, *names]} if names else set()
