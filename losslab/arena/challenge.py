"""A challenge is a file: what is trained, what may be edited and spent, what is measured, how strong the jail is."""

import re
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache
from importlib import resources
from pathlib import Path

from losslab import config as configuration
from losslab import formula
from losslab.arena import tiers
from losslab.arena.overrides import ranges, settings
from losslab.config import ExperimentConfig
from losslab.config.loading import read_table
from losslab.config.numbers import shown
from losslab.words import nearest

METRICS = ("nll", "bits_per_byte", "bits_per_byte_with_eot", "perplexity", "word_perplexity", "nll_calibrated")
BENCHMARKS = ("word_order", "blimp", "arc_easy", "arc_challenge", "commonsense_qa", "copa", "hellaswag", "openbookqa",
              "piqa", "social_i_qa", "winogrande")  # accuracies, asked of the weights; hidden metrics alone
CHOICES = ("preset", "size", "recipe", "data")
SECTIONS = ("model", "train", "evaluate")
LISTS = ("baselines", "visible", "hidden", "rungs")
GRADIENTS = ("of the loss", "any")


@dataclass(frozen=True)
class Budget:
    """What one workspace may spend, and one run may take."""

    actions: int = 20
    """Edits, undos and tests."""
    tests: int = 3
    """Trainings on the visible seeds."""
    submissions: int = 1
    """Entries on the board."""
    tokens: int = 400_000
    """Training tokens of one run."""
    seconds: int = 3600
    """Wall time of one run, and processor time of its jail."""
    call_seconds: float = 20.0
    """Wall time of one micro-batch."""
    memory_bytes: int = 2_000_000_000
    """Memory of a jail, beyond Python and torch."""
    scratch_bytes: int = 10_000_000
    """Files in the folder of a jail."""
    source_bytes: int = 50_000
    """Length of the loss file."""


@dataclass(frozen=True)
class Challenge:
    """What a challenge file says; `read` makes one."""

    name: str
    about: str
    config: ExperimentConfig
    tier: str = "plain"
    baselines: tuple[str, ...] = ("cross_entropy",)
    visible: tuple[str, ...] = ("nll", "bits_per_byte")
    hidden: tuple[str, ...] = ("nll", "bits_per_byte", "nll_calibrated")
    visible_seeds: int = 3
    hidden_seeds: int = 5
    margin: float = 0.002
    gradient: str = "of the loss"
    budget: Budget = field(default_factory=Budget)
    overrides: dict = field(default_factory=dict)
    rungs: tuple[dict, ...] = ()

    def to_dict(self) -> dict:
        """Plain values; `from_dict` reads them back."""
        return asdict(self) | {name: list(getattr(self, name)) for name in LISTS}

    @property
    def digest(self) -> str:
        """Names everything that a result depends on; the sentence about it does not count, nor what is at its default:
        a setting that losslab has one day must not make this another challenge."""
        usual = Challenge("", self.about, ExperimentConfig()).to_dict()
        return configuration.digest(_unlike(self.to_dict(), usual))

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Those of the hidden metrics that are asked of the weights when a run is over."""
        return tuple(name for name in self.hidden if name in BENCHMARKS)

    def without_benchmarks(self) -> "Challenge":
        """The same for runs of which nll alone counts."""
        return replace(self, hidden=tuple(name for name in self.hidden if name not in BENCHMARKS))

    def run(self, loss: str, seed: int, split: str, overrides: dict | None = None) -> ExperimentConfig:
        """The configuration of one run."""
        train = replace(self.config.train, **self.settings(overrides or {}))
        return replace(self.config, loss=loss, seed=seed, train=train,
                       evaluate=replace(self.config.evaluate, split=split))

    def settings(self, given: dict) -> dict:
        """Fields of training from what a loss file sets, each within the range that the challenge states.

        Raises:
            ValueError: naming what may not be set, or is out of range.
        """
        return settings(given, self.overrides, self.config.train, self.name)


def _unlike(values: dict, usual: dict) -> dict:
    """What differs from `usual`, at any depth."""
    found = {}
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(usual.get(key), dict):
            value = _unlike(value, usual[key])
            found |= {key: value} if value else {}
        elif key not in usual or value != usual[key]:
            found[key] = value
    return found


# --- reading -----------------------------------------------------------------------------------

@cache
def names() -> tuple[str, ...]:
    """The challenges that come with losslab."""
    return tuple(sorted(each.name.removesuffix(".toml") for each in _folder().iterdir() if each.name.endswith(".toml")))


def read(name: str | Path) -> Challenge:
    """A challenge by the name of one that comes with losslab, or by the path of its file.

    Raises:
        ValueError: for an unknown name, or a file that is no challenge.
        OSError: for a file that is not there.

    Example:
        >>> read("loss-laptop").baselines[0]
        'cross_entropy'
    """
    if str(name) in names():
        with resources.as_file(_folder().joinpath(f"{name}.toml")) as path:
            return parse(str(name), read_table(path, "challenge"))
    path = Path(name)
    if path.suffix != ".toml":
        raise ValueError(f"unknown challenge {shown(str(name))}{nearest(str(name), names())}; the challenges are "
                         f"{', '.join(names())}, or the path of a .toml file")
    return parse(path.stem, read_table(path, "challenge"))


def parse(name: str, values: dict) -> Challenge:
    """A challenge from the table in its file.

    Raises:
        ValueError: naming what cannot be.
    """
    values, source = dict(values), f"{name}.toml"
    budget = _budget(values.pop("budget", {}), source)
    return _built(name, configured(values, budget.tokens, source), budget, values, source)


def _built(name: str, config: ExperimentConfig, budget: Budget, values: dict, source: str) -> Challenge:
    """A challenge whose other fields are `values`, all of them checked."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}", name):
        raise ValueError(f"{shown(name)} cannot be the name of a challenge; it takes letters, digits, - and _")
    known = {each.name for each in fields(Challenge)} - {"name", "config", "budget"}
    for key in values:
        if key not in known:
            raise ValueError(f"unknown field {shown(key)} in {source}{nearest(key, known)}")
    lists = {key: _texts(key, values[key], source) for key in ("baselines", "visible", "hidden") if key in values}
    found = {"about": "", **values, **lists}
    found["overrides"] = ranges(found.get("overrides", {}), source)
    found["rungs"] = _rungs(found.get("rungs", []), source)
    return _checked(Challenge(name=name, config=config, budget=budget, **found), source)


def configured(values: dict, tokens: int, source: str):
    """The configuration that a table asks for; what is of it is taken out of `values`."""
    chosen = {key: values.pop(key) for key in CHOICES if key in values and not isinstance(values[key], dict)}
    sections = {key: values.pop(key) for key in (*SECTIONS, "data") if isinstance(values.get(key), dict)}
    config = configuration.override(configuration.chosen(**chosen), sections, source=source)
    return configuration.override(config, {"train": {"num_tokens": tokens}}, source=source)


def from_dict(values: dict, source: str = "the board") -> Challenge:
    """A challenge from what `to_dict` gave.

    Raises:
        ValueError: naming what cannot be.
    """
    values = dict(values)
    config = configuration.from_dict(values.pop("config", None), source)
    return _built(values.pop("name", None), config, _budget(values.pop("budget", {}), source), values, source)


def _budget(values: dict, source: str) -> Budget:
    known = {each.name: each.type for each in fields(Budget)}
    if not isinstance(values, dict):
        raise ValueError(f"budget in {source} is a table, got {shown(values)}")
    for key, value in values.items():
        if key not in known:
            raise ValueError(f"unknown field budget.{key} in {source}{nearest(key, known)}")
        if type(value) not in (int, float) or not 0 < value < 1e15 or known[key] is int and type(value) is not int:
            raise ValueError(f"budget.{key} in {source} must be a {'whole ' * (known[key] is int)}number above 0, got "
                             f"{shown(value)}")
    return Budget(**values)


def _texts(key: str, value, source: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
        raise ValueError(f"{key} in {source} must be a list of texts, got {shown(value)}")
    return tuple(value)


def _rungs(tables, source: str) -> tuple[dict, ...]:
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ValueError(f"rungs in {source} are tables, [[rungs]], got {shown(tables)}")
    for number, table in enumerate(tables, 2):
        rest, where = dict(table), f"rung {number} of {source}"
        tokens = rest.pop("tokens", None)
        if type(tokens) is not int or tokens <= 0:
            raise ValueError(f"{where} needs tokens, a whole number above 0, got {shown(tokens)}")
        configured(rest, tokens, where)
        if rest:
            raise ValueError(f"unknown field {shown(next(iter(rest)))} in {where}")
    return tuple(tables)


def _checked(challenge: Challenge, source: str) -> Challenge:
    for name, kind, low, high in (("visible_seeds", int, 1, 1000), ("hidden_seeds", int, 2, 1000),
                                  ("margin", float, 1e-9, 100)):
        value = getattr(challenge, name)
        if type(value) not in (int, kind) or not low <= value <= high:
            raise ValueError(f"{name} in {source} must be between {low:g} and {high}, got {shown(value)}")
    for name, known in (("tier", tiers.WEAKEST_FIRST), ("gradient", GRADIENTS)):
        if (value := getattr(challenge, name)) not in known:
            raise ValueError(f"{name} in {source} must be {', '.join(known[:-1])} or {known[-1]}, got {shown(value)}"
                             f"{nearest(str(value), known)}")
    for kind, known in (("visible", METRICS), ("hidden", (*METRICS, *BENCHMARKS))):
        for metric in getattr(challenge, kind):
            if metric in BENCHMARKS and metric not in known:
                raise ValueError(f"{metric} in {source} is a benchmark, and those are hidden metrics; move it there")
            if metric not in known:
                raise ValueError(f"unknown {kind} metric {shown(metric)} in {source}{nearest(metric, known)}; they are "
                                 f"{', '.join(known)}")
    if challenge.baselines[0] != "cross_entropy" or challenge.visible[0] != "nll" or challenge.hidden[0] != "nll":
        raise ValueError(f"the first of the baselines in {source} must be cross_entropy, and the first visible and "
                         "hidden metric nll: a submission is judged by its difference in nll from cross-entropy")
    for text in challenge.baselines:
        if any(call.name == "file" for _, call in formula.parse(text).terms):
            raise ValueError(f"the baseline {text} in {source} is a file; baselines are formulas of known losses")
    if not isinstance(challenge.about, str):
        raise ValueError(f"about in {source} must be a text, got {shown(challenge.about)}")
    return challenge


def _folder():
    return resources.files("losslab").joinpath("arena", "challenges")
