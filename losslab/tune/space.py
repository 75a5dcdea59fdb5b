"""What tuning searches: settings, their ranges, how many trials, and by which method."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from losslab import config as configuration
from losslab import formula
from losslab.config import ExperimentConfig
from losslab.config.numbers import check, shown
from losslab.words import nearest

METHODS = ("ladder", "grid", "random", "tpe", "halving")
MOST_TRIALS, MOST_SEEDS, MOST_SETTINGS = 1_000, 100, 20
FIXED = ("train.num_tokens", "train.num_steps", "train.device", "train.dtype", "model.init_seed")
LOSS = "loss."  # begins the name of a parameter that belongs to the loss of an arm


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`; without bounds, around the arm's own value."""

    low: float | None = None
    high: float | None = None
    log: bool = True
    whole: bool = False
    """Whether the setting takes whole numbers."""

    def at(self, share: float) -> float:
        """The value at a share of the way from low to high."""
        value = self.low + share * (self.high - self.low)
        if self.log:
            value = math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))
        return round(value) if self.whole else value


Choice = Range | tuple


@dataclass(frozen=True)
class Tuning:
    """One budget and one search for every arm alike."""

    trials: int
    """Of each arm."""
    space: Mapping[str, Choice] = field(default_factory=dict)
    """Dotted setting -> what is searched, shared by all arms."""
    seeds: int = 1
    """Runs of each trial, whose mean counts."""
    method: str = ""
    """`ladder` (three values a factor 4 apart, then closer to the best or outward; several numbers take turns), `grid`,
    `random`, `tpe` or `halving`; where it is empty: a ladder for numbers, a grid for lists, random for both."""

    def __post_init__(self):
        check("tune.trials", self.trials, 1, MOST_TRIALS, "trials of one arm")
        check("tune.seeds", self.seeds, 1, MOST_SEEDS, "runs of one trial")
        if self.method and self.method not in METHODS:
            raise ValueError(f"unknown method of tuning {shown(self.method)}{nearest(self.method, METHODS)}; the "
                             f"methods are {', '.join(METHODS)}")
        check("the number of settings that are tuned", len(self.space), 0, MOST_SETTINGS)

    @classmethod
    def parse(cls, text: str) -> "Tuning":
        """`learning_rate=5` (five trials of it), or `learning_rate=5; method=random; seeds=2`.

        Raises:
            ValueError: for a text that says something else.
        """
        names: dict[str, dict] = {}
        rest: dict[str, object] = {}
        for part in filter(None, (part.strip() for part in text.split(";"))):
            key, equals, value = (piece.strip() for piece in part.partition("="))
            if not key or not equals or not value:
                raise ValueError(f"--tune takes a setting and a number of trials, such as learning_rate=5, got "
                                 f"{shown(text)}")
            key = key.replace("-", "_")
            if key in ("method", "seeds"):
                rest[key] = value if key == "method" else _whole(key, value)
            else:
                names[key] = {}
                rest["trials"] = _whole(key, value)
        if len(names) > 1:
            raise ValueError(f"--tune takes one setting, got {', '.join(names)}; a study file can search several")
        if not names:
            raise ValueError(f"--tune names no setting, got {shown(text)}; learning_rate=5 is usual")
        return cls.from_dict({**rest, "space": names}, source="--tune")

    @classmethod
    def from_dict(cls, table: Mapping, source: str = "[tune]") -> "Tuning":
        """From the `[tune]` table of a study; the reverse of `to_dict`.

        Raises:
            ValueError: naming what cannot be.
        """
        known = {each.name for each in dataclasses.fields(cls)}
        unknown = next((key for key in table if key not in known), None)
        if unknown is not None:
            raise ValueError(f"unknown key {shown(unknown)} in {source}{nearest(str(unknown), known)}; it has "
                             f"{', '.join(sorted(known))}")
        trials, seeds, method = table.get("trials"), table.get("seeds", 1), table.get("method", "")
        if type(trials) is not int or type(seeds) is not int or not isinstance(method, str):
            raise ValueError(f"{source} needs trials, a whole number, and may have seeds, a whole number, and method, "
                             f"a text; got {shown(trials)}, {shown(seeds)} and {shown(method)}")
        return cls(trials, _space(table.get("space", {}), source), seeds, method)

    def to_dict(self) -> dict:
        """The `[tune]` table of a study file."""
        rest = {"seeds": self.seeds} if self.seeds != 1 else {}
        return {"trials": self.trials, **rest, **({"method": self.method} if self.method else {}),
                "space": {name: _table(choice) for name, choice in self.space.items()}}


def _whole(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{name} in --tune takes a whole number, got {shown(text)}") from None


def _table(choice: Choice):
    if isinstance(choice, tuple):
        return list(choice)
    ends = {key: value for key, value in (("low", choice.low), ("high", choice.high)) if value is not None}
    return ends | ({} if choice.log else {"log": False})


def _space(table: object, source: str) -> dict[str, Choice]:
    if not isinstance(table, Mapping):
        raise ValueError(f"space in {source} is a table of settings, got {shown(table)}")
    flat, found = configuration.flatten(configuration.to_dict(ExperimentConfig())), {}
    for name, value in _flat(table).items():
        full, each = setting(name), choice(value, f"{name} in {source}")
        is_whole = isinstance(each, Range) and type(flat[full]) is int
        found[full] = dataclasses.replace(each, whole=True) if is_whole else each
    return found


def _flat(table: Mapping, prefix: str = "") -> dict:
    """`{"train": {"learning_rate": {}}}` as `{"train.learning_rate": {}}`; a table of a range stays one."""
    found = {}
    for key, value in table.items():
        is_range = not isinstance(value, Mapping) or not value or value.keys() & {"low", "high", "log"}
        found |= {f"{prefix}{key}": value} if is_range else _flat(value, f"{prefix}{key}.")
    return found


def setting(name: str) -> str:
    """The dotted name of a setting; its last part alone will do where it belongs to training.

    Raises:
        ValueError: for a name that is no setting.
    """
    flat = configuration.flatten(configuration.to_dict(ExperimentConfig()))
    full = name.replace("-", "_") if "." in name else f"train.{name.replace('-', '_')}"
    if full not in flat or full in ("loss", "seed", "start"):
        hint = configuration.synonym(name)
        hint = f"; did you mean {hint}?" if hint else nearest(full, flat)
        raise ValueError(f"{shown(name)} is not a setting that can be tuned{hint}")
    if full.startswith(("data.", "evaluate.")) or full in FIXED or full in configuration.outside():
        raise ValueError(f"{shown(name)} cannot be tuned: trials with other values of it would not be comparable, or "
                         "would be the same run")
    return full


def choice(value: object, where: str) -> Choice:
    """What is searched of one setting, from `{low, high, log}` or a list of values.

    Raises:
        ValueError: for an empty list, or bounds that are none.
    """
    if isinstance(value, list | tuple):
        if not value or len(set(map(str, value))) < len(value):
            raise ValueError(f"{where} is an empty list, or holds a value twice, got {shown(list(value))}; give values")
        return tuple(value)
    if not isinstance(value, Mapping) or value.keys() - {"low", "high", "log"}:
        raise ValueError(f"{where} takes low and high, or a list of values, got {shown(value)}")
    low, high, log = value.get("low"), value.get("high"), value.get("log", True)
    if low is None and high is None:
        return Range()
    numbers = (isinstance(end, int | float) and not isinstance(end, bool) and math.isfinite(end) for end in (low, high))
    if not all(numbers):
        raise ValueError(f"{where} takes two finite numbers, low and high, got {shown(low)} and {shown(high)}")
    if not low < high or (log and low <= 0) or not isinstance(log, bool):
        raise ValueError(f"{where} needs low below high, and low above 0 on a logarithmic scale (log = false for "
                         f"another), got {shown(low)} and {shown(high)}")
    return Range(float(low), float(high), log)


def applied(config: ExperimentConfig, settings: Mapping[str, object]) -> ExperimentConfig:
    """A configuration with the settings of a trial; `loss.NAME` sets a parameter of its loss.

    Raises:
        ValueError: for a value that cannot be, or a loss that has no such parameter.
    """
    nested: dict = {}
    for name, value in settings.items():
        if name.startswith(LOSS):
            nested["loss"] = with_parameter(nested.get("loss", config.loss), name.removeprefix(LOSS), value)
        else:
            section, _, inner = name.rpartition(".")
            nested.setdefault(section, {})[inner] = value
    return configuration.override(config, nested, source="the space of tuning")


def with_parameter(text: str, name: str, value: object) -> str:
    """A formula with one parameter of one of its terms set: `epsilon`, or `label_smoothing.epsilon` if several have it.

    Example:
        >>> with_parameter("label_smoothing + 0.001*z_loss", "label_smoothing.epsilon", 0.2)
        'label_smoothing(epsilon=0.2) + 0.001*z_loss'
    """
    parsed = formula.parse(text)
    at, parameter = owner(parsed, name)
    terms = list(parsed.terms)
    weight, call = terms[at]
    keywords = {**dict(call.keywords), parameter: value}
    positional = call.positional if call.name == "file" else ()
    terms[at] = (weight, formula.Call(call.name, positional, tuple(keywords.items())))
    return str(formula.Formula(tuple(terms), parsed.transforms))


def owner(parsed: formula.Formula, name: str) -> tuple[int, str]:
    """Which term of a formula has the parameter `name` (`epsilon` or `label_smoothing.epsilon`), and its bare name.

    Raises:
        ValueError: where none has it, or several.
    """
    loss, _, parameter = name.rpartition(".")
    at = [number for number, (_, call) in enumerate(parsed.terms) if _has(call, loss, parameter)]
    if len(at) != 1:
        known = sorted({each for _, call in parsed.terms for each in _parameters(call)})
        many, hint = ("several parameters", "; write it as LOSS.NAME") if at else ("no parameter", nearest(name, known))
        raise ValueError(f"{shown(str(parsed))} has {many} {shown(name)}{hint}; its losses have "
                         f"{', '.join(known) or 'none'}")
    return at[0], parameter


def _has(call: formula.Call, owner: str, parameter: str) -> bool:
    return owner in ("", call.name) and (call.name == "file" or parameter in _parameters(call))


def _parameters(call: formula.Call) -> list[str]:
    import inspect

    if call.name == "file":  # only the process that trains reads it
        return []
    return list(inspect.signature(formula.load("losslab.losses", call.name)).parameters)[1:]
