"""Trials that several processes share through Optuna's storage: ask, run, tell; a dead process's trial is taken over.

Optuna's journal file is lines of JSON. A running trial carries a beat, the time of its last sign of life; one without a
beat for a stated time belongs to a process that died, and its settings are tried again by whoever asks next.
"""

import contextlib
import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from losslab.config import ExperimentConfig, digest, flatten, to_dict
from losslab.tune.arms import Search, holds
from losslab.tune.choice import Trial
from losslab.tune.journal import Journal
from losslab.tune.space import Choice, applied
from losslab.tune.trials import Runner
from losslab.words import printable

METHODS = ("grid", "random", "tpe")
BEAT_SECONDS = 5.0
DIVERGED = 1e300  # what Optuna is told of a trial that diverged: it is a result, and worse than any other


def wanted(methods: set[str], journal: str | None) -> bool:
    """Whether trials go through Optuna: where a storage is named or TPE chosen, or a grid or random search can.

    Raises:
        ValueError: for a storage with a method that has none.
        ModuleNotFoundError: without Optuna where it is needed.
    """
    alone = sorted(methods - set(METHODS))
    if alone:
        if journal is not None or methods - set(alone):
            raise ValueError(f"the method {alone[0]} keeps its trials as run folders and takes no journal; choose "
                             "grid, random or tpe for a storage that processes share")
        return False
    if journal is None and "tpe" not in methods and importlib.util.find_spec("optuna") is None:
        return False
    import optuna  # noqa: F401  (missing: the sentence on the extra)

    return True


def tune(
    searches: Sequence[Search], runner: Runner, journal: str | None, stale: float,
    clock: Callable[[], float] = time.time,
) -> dict[str, list[Trial]]:
    """Run what is left of every arm's trials, together with other processes, and wait until all have ended."""
    place = Journal(journal if journal is not None else runner.store / "journal.log", runner.tell)
    studies = {each.arm.name: _Study(each, runner, place, stale, clock) for each in searches}
    while any(not each.is_over for each in studies.values()):
        asked = []
        for each in studies.values():
            asked += [(each, trial) for trial in each.ask(max(1, runner.workers - len(asked)))]
        if not asked:  # others are at work on the rest
            time.sleep(min(1.0, stale / 4))
            continue
        _run(asked, runner, clock)
    return {name: each.trials() for name, each in studies.items()}


def _run(asked: Sequence[tuple["_Study", object]], runner: Runner, clock: Callable[[], float]) -> None:
    last = [clock()]

    def progress(*arguments, **named) -> None:
        if clock() - last[0] >= BEAT_SECONDS:
            last[0] = clock()
            for study, trial in asked:
                study.beat(trial)
        runner.progress(*arguments, **named)

    settings = [study.settings(trial) for study, trial in asked]
    configs = [applied(study.config, each) for (study, _), each in zip(asked, settings, strict=True)]
    ended = replace(runner, progress=progress).run(settings, configs, [study.name for study, _ in asked])
    for (study, trial), result in zip(asked, ended, strict=True):
        study.tell(trial, result)


class _Study:
    """The trials of one arm in Optuna's storage."""

    def __init__(self, search: Search, runner: Runner, journal: Journal, stale: float, clock: Callable[[], float]):
        import optuna

        self.name, self.config, self.wanted, self.runner = search.arm.name, search.arm.config, search.trials, runner
        self.journal, self.stale, self.clock, self.space = journal, stale, clock, search.space
        how, first = search.method, max(3, search.trials // 3)  # at random, before the model of good settings begins
        sampler = optuna.samplers.TPESampler(seed=0, n_startup_trials=first) if how == "tpe" else None
        question = _question(self.config, self.space, how)
        self.distributions = {key: _distribution(each) for key, each in self.space.items()}
        points = [search.arm.own(self.space)] if how == "tpe" else search.points()
        with journal.alone(), journal.understood():
            self.study = optuna.create_study(storage=journal.storage, sampler=sampler,
                                             study_name=f"{self.name} {question}", load_if_exists=True)
            for point in points:
                self.study.enqueue_trial(point, skip_if_exists=True)

    def ask(self, most: int) -> list:
        """Up to `most` trials for this process: of dead processes first, then new ones."""
        from optuna.trial import TrialState

        asked, lost = [], []
        with self.journal.alone(), self.journal.understood():
            for trial in self._states(TrialState.RUNNING):
                if abs(self.clock() - _sign_of_life(trial)) > self.stale:  # one far in the future is none
                    self.study.tell(trial.number, state=TrialState.FAIL)
                    lost.append(trial.number)
                    if params := self._known(trial):
                        self.study.enqueue_trial(params, user_attrs={"takes_over": trial.number})
            while len(asked) < most and len(self._states(TrialState.RUNNING, TrialState.COMPLETE)) < self.wanted:
                trial = self.study.ask(self.distributions)
                trial.set_user_attr("beat", self.clock())
                asked.append(trial)
        for number in lost:
            self.runner.tell(f"trial {number} of {self.name} has given no sign of life for more than {self.stale:g} s; "
                             "it is taken over")
        return asked

    def beat(self, trial) -> None:
        from optuna.exceptions import UpdateFinishedTrialError

        with self.journal.understood(), contextlib.suppress(UpdateFinishedTrialError):  # taken over by another process
            trial.set_user_attr("beat", self.clock())

    @property
    def is_over(self) -> bool:
        from optuna.trial import TrialState

        with self.journal.understood():
            return len(self._states(TrialState.COMPLETE)) >= self.wanted

    def settings(self, trial) -> dict:
        """The settings of a trial, each of which is in the space."""
        found = self._known(trial)
        if found.keys() != self.space.keys():
            raise self.journal.damaged(f"trial {trial.number} of {self.name} has settings that were not searched")
        return {key: found[key] for key in self.space}

    def tell(self, trial, result: Trial) -> None:
        from optuna.exceptions import UpdateFinishedTrialError

        with self.journal.understood(), contextlib.suppress(UpdateFinishedTrialError):
            trial.set_user_attr("status", result.status)
            trial.set_user_attr("runs", list(result.runs))
            self.study.tell(trial, DIVERGED if result.tune_nll is None else result.tune_nll, skip_if_finished=True)

    def trials(self) -> list[Trial]:
        """All that ended, read from their run folders, in the order of their numbers."""
        from optuna.trial import TrialState

        with self.journal.understood():
            ended = sorted(self._states(TrialState.COMPLETE), key=lambda trial: trial.number)[: self.wanted]
        settings = [self.settings(trial) for trial in ended]
        found = self.runner.run(settings, [applied(self.config, each) for each in settings],
                                [self.name] * len(settings))
        for trial, result in zip(ended, found, strict=True):
            then, now = trial.user_attrs.get("runs"), [Path(run).name for run in result.runs]
            if isinstance(then, list) and [Path(str(run)).name for run in then] != now:
                self.runner.tell(printable(
                    f"trial {trial.number} of {self.name} was run as {', '.join(map(str, then))}, and its settings are "
                    f"now those of {', '.join(now)}: the journal is damaged, or somebody changed it"))
        return found

    def _known(self, trial) -> dict[str, object]:
        """What a trial says of its settings, so far as it lies in the space: the journal may say anything."""
        fixed = getattr(trial, "system_attrs", {}).get("fixed_params")
        said = {**(fixed if isinstance(fixed, dict) else {}), **trial.params}
        return {key: value for key, value in said.items() if key in self.space and holds(self.space[key], value)}

    def _states(self, *states) -> list:
        return self.study.get_trials(deepcopy=False, states=states)


def _sign_of_life(trial) -> float:
    """When a running trial last gave a sign of life, or else began; 0 where neither is known."""
    beat = trial.user_attrs.get("beat")
    if isinstance(beat, int | float) and not isinstance(beat, bool):
        return float(beat)
    return trial.datetime_start.timestamp() if trial.datetime_start else 0.0


def _question(config: ExperimentConfig, space: Mapping[str, Choice], how: str) -> str:
    """Names what is searched of which arm, so that a store may hold other searches, too."""
    fixed = {key: value for key, value in flatten(to_dict(config)).items() if key not in space and key != "seed"}
    return digest([fixed, {key: repr(each) for key, each in space.items()}, how])


def _distribution(each: Choice):
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(each, tuple):
        return CategoricalDistribution(each)
    if each.whole:
        return IntDistribution(round(each.low), round(each.high), log=each.log)
    return FloatDistribution(each.low, each.high, log=each.log)
