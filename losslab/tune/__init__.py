"""Equal tuning: every arm gets the same number of trials over the same shared space, judged on `tune` alone.

Example:
    >>> from losslab.tune import Tuning
    >>> Tuning.parse("learning_rate=5").to_dict()
    {'trials': 5, 'space': {'train.learning_rate': {}}}
"""

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

from losslab import records
from losslab.config import ExperimentConfig
from losslab.config.numbers import shown
from losslab.progress import Progress, silent
from losslab.running import Tell
from losslab.tune import halving, search
from losslab.tune.arms import Arm, Search
from losslab.tune.choice import Trial, Tuned, chosen, chosen_again, is_edge, sensitivity
from losslab.tune.space import LOSS, Choice, Range, Tuning, applied, choice
from losslab.tune.trials import Runner

__all__ = ["Range", "Search", "Trial", "Tuned", "Tuning", "begins", "rounds", "searches", "told", "tune"]


def tune(
    arms: Mapping[str, ExperimentConfig], tuning: Tuning, folder: str | Path, *,
    own: Mapping[str, Mapping[str, object]] | None = None, workers: int = 1, threads: int = 1,
    trusted: Collection[str] | None = None, journal: str | None = None, stale: float = 120.0,
    planned: Sequence[Search] | None = None, tell: Tell = lambda text: None, progress: Progress = silent,
    executor: Executor | None = None,
) -> dict[str, Tuned]:
    """Tune every arm with the same number of trials, tokens and seeds.

    Called again it continues: what is finished is not run again, and more trials add only what is missing.

    Args:
        arms: name -> configuration; its own seed is not used.
        tuning: the budget, the shared space and the method.
        folder: of the study; trials lie in its folder `trials`.
        own: name of an arm -> parameters of its loss that are searched too, within the same number of trials.
        workers: runs at once.
        threads: CPU threads of each.
        trusted: hashes of loss files that may run besides those in the user's list; None if the user named the files.
        journal: of Optuna: a file, or a URL of its storage; `trials/journal.log` unless given.
        stale: seconds after which a trial of another process, that gives no sign of life, is taken over.
        planned: what `searches` returned for these arms, where that was asked before.
        tell: takes what is worth keeping, one line each.
        progress: is told how far all runs are.
        executor: of other machines, as for `running.execute`.

    Raises:
        ValueError: for a space that cannot be searched, or an arm of which no trial finished.
        running.Stopped: after SIGTERM or Ctrl-C.
    """
    runner = Runner(Path(folder), tuning.seeds, workers, threads, trusted, tell, progress, executor=executor)
    if planned is None:
        planned = searches(arms, tuning, own=own, trusted=trusted, journal=journal, progress=progress)
    methods = {each.method for each in planned}
    if "halving" in methods:
        tell(halving.told(tuning.trials))
    from losslab.tune import shared

    if shared.wanted(methods, journal):
        found = shared.tune(planned, runner, journal, stale)
    else:
        with records.lock(runner.store, "trials"):
            found = _alone(planned, runner)
    return {each.arm.name: _tuned(each, found[each.arm.name]) for each in planned}


def searches(
    arms: Mapping[str, ExperimentConfig], tuning: Tuning, *, own: Mapping[str, Mapping[str, object]] | None = None,
    trusted: Collection[str] | None = None, journal: str | None = None, progress: Progress = silent,
) -> list[Search]:
    """How each arm will be searched; all that can be checked before the first trial is checked, and nothing is written.

    Args:
        arms, tuning, own, trusted, journal, progress: as for `tune`.

    Raises:
        ValueError: naming the arm, for a space that cannot be searched, or first trials that cannot be run.
        ModuleNotFoundError: without Optuna where it is needed.
    """
    asked = {name: Arm(name, config, trusted, progress) for name, config in arms.items()}
    owned, methods = {}, {}
    for name, arm in asked.items():
        with _naming(name):
            owned[name] = arm.typed(_own(name, (own or {}).get(name, {})))
            methods[name] = search.method(tuning, owned[name])
    if len(set(methods.values())) > 1:  # one method for all arms, also where only some have parameters to search
        tuning = replace(tuning, method="random")
        methods = {name: search.method(tuning, owned[name]) for name in arms}
    from losslab.tune import shared

    shared.wanted(set(methods.values()), journal)
    found = []
    for name, arm in asked.items():
        with _naming(name):
            found.append(_search(arm, tuning, owned[name], methods[name]))
            for settings in first(found[-1]):
                arm.check(settings)
    return found


def first(each: Search) -> list[dict]:
    """The trials with which an arm begins; of TPE, as many that it may ask for."""
    return _next(each, [])


def begins(each: Search) -> ExperimentConfig:
    """The arm with the first values of those parameters of its loss that are searched."""
    settings = first(each)[0] if each.own else {}
    return applied(each.arm.config, {key: settings[key] for key in each.own})


def told(planned: Sequence[Search]) -> list[dict]:
    """What will be searched, for each arm: its method, its number of trials, and its settings.

    Each setting has the `first` values that are tried, in their order, and `values`, or `low` and `high`, between which
    all lie; a ladder without these goes as far as it finds better ones.
    """
    found = []
    for each in planned:
        begins, settings = first(each), {}
        for key, one in each.space.items():
            ends = {"values": list(one)} if isinstance(one, tuple) else {"low": one.low, "high": one.high}
            settings[key] = {"first": list(dict.fromkeys(trial[key] for trial in begins)),
                             **{name: value for name, value in ends.items() if value is not None}}
        found.append({"arm": each.arm.name, "method": each.method, "trials": each.trials, "settings": settings})
    return found


@contextlib.contextmanager
def _naming(arm: str) -> Iterator[None]:
    """What is wrong in this block is wrong with this arm."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"tuning of the arm {shown(arm)}: {error}") from None


def rounds(tuning: Tuning) -> list[tuple[int, float]]:
    """What tunes one arm, round by round: its runs, and the share of the arm's updates that they have.

    Example:
        >>> rounds(Tuning(4, method="halving")), rounds(Tuning(6, {"train.learning_rate": Range()}, seeds=2))
        ([(4, 0.25), (2, 0.5), (1, 1.0)], [(6, 1.0), (4, 1.0), (2, 1.0)])
    """
    if tuning.method == "halving":
        found = [(count, 1 / divisor) for count, divisor in halving.rungs(tuning.trials)]
    elif tuning.method in ("", "ladder") and all(isinstance(each, Range) for each in tuning.space.values()):
        first = min(3, tuning.trials)  # then two at a time; one at a time where the best is at the edge
        pairs, odd = divmod(tuning.trials - first, 2)
        found = [(first, 1.0), *[(2, 1.0)] * pairs, *[(1, 1.0)] * odd]
    else:
        found = [(tuning.trials, 1.0)]
    return [(count * tuning.seeds, share) for count, share in found]


def _search(arm: Arm, tuning: Tuning, own: Mapping[str, Choice], how: str) -> Search:
    """The search of one arm, checked before anything runs."""
    for key, each in own.items():  # a parameter that the loss does not have
        first = each[0] if isinstance(each, tuple) else each.low
        applied(arm.config, {key: arm.start(key) if first is None else first})
    shared = tuning.space
    if how == "ladder":
        arm.check_ladder({**shared, **own})
    else:
        shared, own = arm.opened(shared), arm.opened(own)
    return Search(arm, shared, own, how, tuning.trials)


def _alone(searches: Sequence[Search], runner: Runner) -> dict[str, list[Trial]]:
    """In rounds: what every arm tries next is run together."""
    found: dict[str, list[Trial]] = {each.arm.name: [] for each in searches}
    while True:
        batch = [(each.arm, settings) for each in searches for settings in _next(each, found[each.arm.name])]
        if not batch:
            return found
        ended = runner.run([settings for _, settings in batch],
                           [applied(arm.config, settings) for arm, settings in batch],
                           [arm.name for arm, _ in batch])
        for (arm, _), trial in zip(batch, ended, strict=True):
            found[arm.name].append(trial)


def _next(each: Search, tried: list[Trial]) -> list[dict]:
    if each.method == "ladder":
        start = {key: each.arm.start(key) for key in each.space}
        known = [(trial.settings, trial.value) for trial in tried]
        return search.turns(each.space, start, known, each.trials, each.arm.takes)
    if each.method == "halving":
        return halving.rung(each.arm.config, each.points("random"), tried)
    return [] if tried else each.points()


def _own(arm: str, table: Mapping[str, object]) -> dict[str, Choice]:
    return {f"{LOSS}{name}": choice(value, f"{name} of the arm {arm}") for name, value in table.items()}


def _tuned(search: Search, runs: list[Trial]) -> Tuned:
    trials = last = runs
    arm = search.arm
    if search.method == "halving":  # only runs of the whole horizon can be chosen
        trials = halving.merged(runs, search.trials)
        whole = arm.config.num_tokens
        last = [trial for trial in trials if trial.settings[halving.HORIZON] == whole]
    best = chosen(arm.name, last)
    settings = halving.without_horizon(best.settings)
    return Tuned(applied(arm.config, settings), settings, tuple(trials), is_edge(best, last), chosen_again(best, last),
                 sensitivity(last), search.method)
