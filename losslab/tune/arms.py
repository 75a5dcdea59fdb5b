"""Where an arm begins, and how far its settings may go: its own values, and what its checks take.

No table of names says what a parameter may be: a value is tried on the configuration, and where it belongs to a loss
also on the loss, as before any run.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

from losslab import formula
from losslab.config import ExperimentConfig, flatten, to_dict
from losslab.config.numbers import shown
from losslab.corpus import Corpus
from losslab.experiment import Experiment
from losslab.progress import Progress, silent
from losslab.tune.search import STEP, points, reach
from losslab.tune.space import LOSS, Choice, Range, applied, owner

FACTOR = 16.0  # an open range reaches this far to either side of where the arm begins


class Arm:
    """The arm that is tuned: its configuration, its own value of each setting, and which other values it takes."""

    def __init__(self, name: str, config: ExperimentConfig, trusted: Collection[str] | None = None,
                 progress: Progress = silent):
        self.name, self.config = name, config
        self._options = {"trusted": trusted, "progress": progress}
        self._tried: Experiment | None = None  # the arm as it stands, once a loss has to be asked

    def start(self, key: str) -> object:
        """The value that the arm has now: of a parameter that its formula does not give, the default of its loss.

        Raises:
            ValueError: for a loss that has no such parameter.
        """
        if not key.startswith(LOSS):
            return flatten(to_dict(self.config))[key]
        parsed = formula.parse(self.config.loss)
        at, parameter = owner(parsed, key.removeprefix(LOSS))
        call = parsed.terms[at][1]
        if call.name != "file":
            return dict(formula.parameters(formula.load("losslab.losses", call.name), call))[parameter]
        number = sum(other.name == "file" for _, other in parsed.terms[:at])
        return _said(self._experiment().objective.said[number], parameter, self.config.loss)

    def takes(self, settings: Mapping[str, object]) -> bool:
        """Whether a run with these settings could begin: the configuration and the loss are asked."""
        try:
            config = applied(self.config, settings)
            if any(key.startswith(LOSS) for key in settings):
                Experiment(config, corpus=self._corpus(), **self._options)
        except ValueError:
            return False
        return True

    def check(self, settings: Mapping[str, object]) -> None:
        """That a trial with these settings could begin.

        Raises:
            ValueError: as any run that cannot.
        """
        config = applied(self.config, settings)
        Experiment(without_tasks(config), corpus=self._corpus(), **self._options)

    def typed(self, space: Mapping[str, Choice]) -> dict[str, Choice]:
        """The space with whole numbers for each parameter of a loss that is one."""
        own = self.own(dict.fromkeys(space, Range()))
        return {key: replace(each, whole=True) if isinstance(each, Range) and type(own.get(key)) is int else each
                for key, each in space.items()}

    def own(self, space: Mapping[str, Choice]) -> dict[str, object]:
        """What the arm has now of all that is searched, where that lies in the space."""
        found = {}
        for key, each in space.items():
            try:
                start = self.start(key)
            except ValueError:  # a parameter without a default: only the space has values for it
                continue
            if holds(each, start):
                found[key] = start
        return found

    def opened(self, space: Mapping[str, Choice]) -> dict[str, Choice]:
        """The space with both ends for every open range: from a 16th of the arm's own value to 16 times of it.

        An end that the arm does not take comes nearer, by the square root of 2 at a time.

        Raises:
            ValueError: for an own value that has no multiples.
        """
        found: dict[str, Choice] = {}
        for key, each in space.items():
            if isinstance(each, Range) and each.low is None:
                start = self.positive(key)
                low, high = (reach(start, factor, lambda value, key=key: self.takes({key: value}))
                             for factor in (1 / FACTOR, FACTOR))
                if low == high:
                    self._experiment()  # what is wrong with the arm itself comes first
                    raise ValueError(f"{key} of {self.name} takes nothing near {start!r}; give low and high, or a list "
                                     "of values")
                each = Range(low, high, whole=isinstance(start, int))
            found[key] = each
        return found

    def check_ladder(self, space: Mapping[str, Choice]) -> None:
        """That a ladder can climb every number of a space.

        Raises:
            ValueError: naming the first that it cannot.
        """
        for key, each in space.items():
            start = each.low if key.startswith(LOSS) and each.low is not None else self.start(key)
            if type(start) is not float or each.whole or (each.low is None and start <= 0):
                raise ValueError(f"a ladder searches a positive number by steps of a factor 4, and {key} is {start!r}; "
                                 "give a list of values, or choose random with low and high")
            if each.low is None and not any(reach(start, factor, lambda value, key=key: self.takes({key: value}))
                                            != start for factor in (1 / STEP, STEP)):
                self._experiment()
                raise ValueError(f"{self.name} takes no value of {key} near {start!r}; give low and high, or a list")

    def positive(self, key: str) -> float | int:
        """The own value of a number that is searched by factors."""
        start = self.start(key)
        if isinstance(start, bool) or not isinstance(start, int | float) or start <= 0:
            raise ValueError(f"an open range reaches to multiples of a positive number, and {key} of {self.name} is "
                             f"{shown(start)}; give low and high, or a list of values")
        return start

    def _corpus(self) -> Corpus | None:
        try:
            return self._experiment().corpus
        except ValueError:  # a loss that needs a parameter which only the space has
            return None

    def _experiment(self) -> Experiment:
        if self._tried is None:
            self._tried = Experiment(without_tasks(self.config), **self._options)
        return self._tried


@dataclass(frozen=True)
class Search:
    """What is searched for one arm, and how."""

    arm: Arm
    shared: Mapping[str, Choice]
    own: Mapping[str, Choice]
    method: str
    trials: int

    @property
    def space(self) -> dict[str, Choice]:
        return {**self.shared, **self.own}

    def points(self, how: str = "") -> list[dict]:
        """All trials of a search that does not depend on what came out; the first is the arm as it stands."""
        return points(self.shared, self.own, self.trials, how or self.method, start=self.arm.own(self.space))


def without_tasks(config: ExperimentConfig) -> ExperimentConfig:
    """The configuration without tasks, which no trial has."""
    return replace(config, evaluate=replace(config.evaluate, tasks="", tasks_every=0))


def holds(each: Choice, value: object) -> bool:
    """Whether a value is one of those that are searched."""
    if isinstance(each, tuple):
        return any(type(one) is type(value) and one == value for one in each)
    return isinstance(value, int | float) and not isinstance(value, bool) and (
        each.low is None or each.low <= value <= each.high)


def _said(text: str, parameter: str, loss: str) -> object:
    """A parameter of a loss file from what the process that tried it says, such as `my.py:f(width=1.0)`."""
    _, bracket, rest = text.partition("(")
    ((_, call),) = formula.parse(f"found{bracket}{rest}").terms
    values = dict(call.keywords)
    if parameter not in values:
        raise ValueError(f"{shown(loss)} has no parameter {shown(parameter)}; its file has "
                         f"{', '.join(values) or 'none'}")
    return values[parameter]
