"""Equal tuning: every arm gets the same number of trials over the same shared space, judged on `tune` alone.

Example:
    >>> from losslab.tune import Tuning
    >>> Tuning.parse("learning_rate=5").to_dict()
    {'trials': 5, 'space': {'train.learning_rate': {}}}
"""

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path

from losslab import records
from losslab.config import ExperimentConfig, flatten, to_dict
from losslab.progress import Progress, silent
from losslab.running import Tell
from losslab.tune import search
from losslab.tune.choice import Trial, Tuned, chosen, chosen_again, is_edge, sensitivity
from losslab.tune.space import LOSS, Choice, Range, Tuning, applied, choice
from losslab.tune.trials import Runner

HORIZON = "train.num_tokens"  # which a rung of successive halving sets

__all__ = ["Range", "Trial", "Tuned", "Tuning", "tune"]


def tune(
    arms: Mapping[str, ExperimentConfig], tuning: Tuning, folder: str | Path, *,
    own: Mapping[str, Mapping[str, object]] | None = None, workers: int = 1, threads: int = 1,
    trusted: Collection[str] | None = None, journal: str | None = None, stale: float = 120.0,
    tell: Tell = lambda text: None, progress: Progress = silent,
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
        tell: takes what is worth keeping, one line each.
        progress: is told how far all runs are.

    Raises:
        ValueError: for a space that cannot be searched, or an arm of which no trial finished.
        running.Stopped: after SIGTERM or Ctrl-C.
    """
    runner = Runner(Path(folder), tuning.seeds, workers, threads, trusted, tell, progress)
    owned = {name: _own(name, (own or {}).get(name, {})) for name in arms}
    methods = {name: search.method(tuning, owned[name]) for name in arms}
    if len(set(methods.values())) > 1:  # one method for all arms, also where only some have parameters to search
        tuning = replace(tuning, method="random")
        methods = {name: search.method(tuning, owned[name]) for name in arms}
    for name, config in arms.items():
        if methods[name] == "ladder":
            _check_ladder(config, {**tuning.space, **owned[name]})
    for name, config in arms.items():  # a parameter that a loss does not have is said before anything runs
        applied(config, {key: _first(each) for key, each in owned[name].items()})
    from losslab.tune import shared

    if shared.wanted(set(methods.values()), journal):
        found = shared.tune(arms, tuning, owned, methods, runner, journal, stale)
    else:
        with records.lock(runner.store, "trials"):
            found = _alone(arms, tuning, owned, methods, runner)
    return {name: _tuned(name, arms[name], trials, methods[name]) for name, trials in found.items()}


def _alone(arms, tuning: Tuning, owned, methods, runner: Runner) -> dict[str, list[Trial]]:
    """In rounds: what every arm tries next is run together."""
    found: dict[str, list[Trial]] = {name: [] for name in arms}
    while True:
        batch = [(name, settings) for name in arms
                 for settings in _next(arms[name], tuning, owned[name], methods[name], found[name])]
        if not batch:
            return found
        ended = runner.run([settings for _, settings in batch],
                           [applied(arms[name], settings) for name, settings in batch])
        for (name, _), trial in zip(batch, ended, strict=True):
            found[name].append(trial)


def _next(
    config: ExperimentConfig, tuning: Tuning, own: Mapping[str, Choice], how: str, tried: list[Trial],
) -> list[dict]:
    if how == "ladder":
        ((name, each),) = {**tuning.space, **own}.items()
        start = 1.0 if name.startswith(LOSS) else flatten(to_dict(config))[name]
        known = [(trial.settings[name], trial.value) for trial in tried]
        return [{name: value} for value in search.ladder(each, start, known, tuning.trials)]
    if how == "halving":
        return _rung(config, search.points(tuning.space, own, tuning.trials, "random"), tried)
    return [] if tried else search.points(tuning.space, own, tuning.trials, how)


def _check_ladder(config: ExperimentConfig, space: Mapping[str, Choice]) -> None:
    ((name, _),) = space.items()
    start = 1.0 if name.startswith(LOSS) else flatten(to_dict(config))[name]
    if type(start) is not float or start <= 0:
        raise ValueError(f"a ladder searches a positive number by steps of a factor 4, and {name} is {start!r}; give a "
                         "list of values, or choose random with low and high")


def _rung(config: ExperimentConfig, points: list[dict], tried: list[Trial]) -> list[dict]:
    """The settings of the next rung of successive halving; each trial has its own horizon."""
    done, candidates = 0, points
    for count, divisor in search.rungs(len(points)):
        if len(tried) == done:
            horizon = {HORIZON: config.num_tokens // divisor}
            return [settings | horizon for settings in candidates[:count]]
        ended = sorted(tried[done : done + count], key=lambda trial: trial.value)
        candidates = [_without_horizon(trial.settings) for trial in ended]
        done += count
    return []


def _without_horizon(settings: Mapping[str, object]) -> dict:
    return {key: value for key, value in settings.items() if key != HORIZON}


def _own(arm: str, table: Mapping[str, object]) -> dict[str, Choice]:
    return {f"{LOSS}{name}": choice(value, f"{name} of the arm {arm}") for name, value in table.items()}


def _first(each: Choice) -> object:
    if isinstance(each, tuple):
        return each[0]
    return 1.0 if each.low is None else each.low


def _tuned(name: str, config: ExperimentConfig, trials: list[Trial], how: str) -> Tuned:
    last = trials
    if how == "halving":  # only runs of the whole horizon can be chosen
        whole = config.num_tokens
        last = [trial for trial in trials if trial.settings[HORIZON] == whole]
    best = chosen(name, last)
    settings = _without_horizon(best.settings) if how == "halving" else dict(best.settings)
    return Tuned(applied(config, settings), settings, tuple(trials), is_edge(best, last), chosen_again(best, last),
                 sensitivity(last), how)
