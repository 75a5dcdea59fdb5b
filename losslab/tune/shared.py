"""Trials that several processes share through Optuna's storage: ask, run, tell; a dead process's trial is taken over.

Optuna's journal file is lines of JSON. A running trial carries a beat, the time of its last sign of life; one without a
beat for a stated time belongs to a process that died, and its settings are tried again by whoever asks next.
"""

import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from losslab.config import ExperimentConfig, digest, flatten, to_dict
from losslab.tune.arms import Search
from losslab.tune.choice import Trial
from losslab.tune.space import Choice, applied
from losslab.tune.trials import Runner

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
    studies = {each.arm.name: _Study(each, runner, journal, stale, clock) for each in searches}
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
    ended = replace(runner, progress=progress).run(settings, configs)
    for (study, trial), result in zip(asked, ended, strict=True):
        study.tell(trial, result)


class _Study:
    """The trials of one arm in Optuna's storage."""

    def __init__(self, search: Search, runner: Runner, journal: str | None, stale: float, clock: Callable[[], float]):
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.name, self.config, self.wanted, self.runner = search.arm.name, search.arm.config, search.trials, runner
        self.stale, self.clock, self.space, how = stale, clock, search.space, search.method
        first = max(3, search.trials // 3)  # at random, before the model of good settings begins
        sampler = optuna.samplers.TPESampler(seed=0, n_startup_trials=first) if how == "tpe" else None
        question = _question(self.config, self.space, how)
        self.study = optuna.create_study(storage=storage(journal, runner.store, runner.tell), sampler=sampler,
                                         study_name=f"{self.name} {question}", load_if_exists=True)
        self.distributions = {key: _distribution(each) for key, each in self.space.items()}
        for point in [search.arm.own(self.space)] if how == "tpe" else search.points():
            self.study.enqueue_trial(point, skip_if_exists=True)

    def ask(self, most: int) -> list:
        """Up to `most` trials for this process: of dead processes first, then new ones."""
        from optuna.trial import TrialState

        for trial in self._states(TrialState.RUNNING):
            if self.clock() - trial.user_attrs.get("beat", trial.datetime_start.timestamp()) <= self.stale:
                continue
            try:
                self.study.tell(trial.number, state=TrialState.FAIL)
            except (ValueError, RuntimeError):  # another process was faster
                continue
            self.runner.tell(f"trial {trial.number} of {self.name} has given no sign of life for more than "
                             f"{self.stale:g} s; it is taken over")
            if params := trial.params or trial.system_attrs.get("fixed_params"):
                self.study.enqueue_trial(params, user_attrs={"takes_over": trial.number})
        asked = []
        while len(asked) < most and self.taken < self.wanted:
            trial = self.study.ask(self.distributions)
            self.beat(trial)
            asked.append(trial)
        return asked

    def beat(self, trial) -> None:
        trial.set_user_attr("beat", self.clock())

    @property
    def taken(self) -> int:
        from optuna.trial import TrialState

        return len(self._states(TrialState.RUNNING, TrialState.COMPLETE))

    @property
    def is_over(self) -> bool:
        from optuna.trial import TrialState

        return len(self._states(TrialState.COMPLETE)) >= self.wanted

    def settings(self, trial) -> dict:
        return {key: trial.params[key] for key in self.space}

    def tell(self, trial, result: Trial) -> None:
        trial.set_user_attr("status", result.status)
        trial.set_user_attr("runs", list(result.runs))
        self.study.tell(trial, DIVERGED if result.tune_nll is None else result.tune_nll, skip_if_finished=True)

    def trials(self) -> list[Trial]:
        """All that ended, read from their run folders, in the order of their numbers."""
        from optuna.trial import TrialState

        ended = sorted(self._states(TrialState.COMPLETE), key=lambda trial: trial.number)[: self.wanted]
        settings = [self.settings(trial) for trial in ended]
        return self.runner.run(settings, [applied(self.config, each) for each in settings])

    def _states(self, *states) -> list:
        return self.study.get_trials(deepcopy=False, states=states)


def storage(journal: str | None, store: Path, tell: Callable[[str], None]):
    """Optuna's storage: a journal file, or what a URL names."""
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    if journal is not None and "://" in journal:
        tell("a storage other than a journal file is passed on to Optuna; losslab is not tested with it")
        return optuna.storages.get_storage(journal)
    path = Path(journal) if journal is not None else store / "journal.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    return optuna.storages.JournalStorage(JournalFileBackend(str(path), lock_obj=JournalFileOpenLock(str(path))))


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
