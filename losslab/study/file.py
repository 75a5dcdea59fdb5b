"""A study: a question, arms, seeds, a tuning budget; and the TOML file that holds one.

Example:
    name = "squentropy"
    question = "Does squentropy train a better small model than cross-entropy?"
    corpus = "tales"
    preset = "tiny"
    seeds = 5

    [[arm]]
    loss = "cross_entropy"

    [[arm]]
    loss = "squentropy"
    label = "squentropy, half the rate"
    train.learning_rate = 2e-3
"""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from losslab import config as configuration
from losslab.config import ExperimentConfig, flatten
from losslab.config.numbers import MAX_MARGIN, MAX_SEEDS, TRIAL_SEEDS, check, shown
from losslab.stats.race import declared
from losslab.words import nearest

MATCHES = ("tokens", "time", "flops")
MOST_ARMS = 200
NAMES = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


@dataclass(frozen=True)
class Arm:
    """One loss and the settings in which it differs from the other arms."""

    loss: str
    label: str = ""
    """Its name in tables; the formula, with the settings that it has, unless given."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """Dotted setting -> value."""
    space: Mapping[str, object] = field(default_factory=dict)
    """Own parameters of its loss, to be searched while tuning."""

    @property
    def name(self) -> str:
        if self.label or not self.settings:
            return self.label or self.loss
        told = ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in self.settings.items())
        return f"{self.loss} ({told})"


@dataclass(frozen=True)
class Study:
    """What a study asks; `configs` are the arms as they are trained."""

    arms: tuple[Arm, ...]
    name: str = ""
    """Of its folder; nothing for a comparison that shares a store with others."""
    question: str = ""
    preset: str = ""
    """A size, a recipe and data in one word; `tiny` where neither this nor `size` is given."""
    size: str = ""
    recipe: str = ""
    data: str = ""
    corpus: str = ""
    tokenizer: str = ""
    start: str = ""
    """The run or imported model whose weights all arms start from."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """Dotted setting -> value, for all arms."""
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    baseline: str = ""
    """The name of an arm; `cross_entropy` where it is one, else the first."""
    margin: float = 0.002
    """The difference in nats/token that would matter."""
    race: tuple[int, ...] = ()
    """Numbers of seeds at which looks are declared; nothing: one look."""
    final: bool = False
    """Whether this look spends all of the error rate that is left."""
    match: str = "tokens"
    """What all arms are given alike: `tokens`, `time` or `flops`."""
    tasks: tuple[str, ...] = ()
    benchmarks: str = ""
    tune: Mapping[str, object] = field(default_factory=dict)
    """The table of `tune.Tuning`; nothing: no tuning."""
    scales: Mapping[str, Mapping] = field(default_factory=dict)
    """`smoke`, `laptop`, `full` -> what is laid over the study by `losslab reproduce`."""
    published: Mapping[str, object] = field(default_factory=dict)
    """Figures of the publication that asked first, with its source."""

    def __post_init__(self):
        if self.name and not NAMES.fullmatch(self.name):
            raise ValueError(f"the name of a study is up to 80 letters, digits, dots, dashes and underscores, got "
                             f"{shown(self.name)}")
        if not self.arms:
            raise ValueError("a study needs at least one arm; give [[arm]] tables with a loss each")
        check("the number of arms", len(self.arms), 1, MOST_ARMS)
        names = [arm.name for arm in self.arms]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two arms are named {shown(twice)}; give one of them a label")
        if self.baseline and self.baseline not in names:
            raise ValueError(f"the baseline {shown(self.baseline)} is not an arm{nearest(self.baseline, names)}; the "
                             f"arms are {', '.join(names)}")
        if self.preset and (self.size or self.recipe or self.data):
            raise ValueError("a preset is a size, a recipe and data; give the preset or these")
        if self.match not in MATCHES:
            raise ValueError(f"match is {', '.join(MATCHES[:-1])} or {MATCHES[-1]}, got {shown(self.match)}")
        _check_seeds(self.seeds)
        if self.margin == 0:
            raise ValueError("margin must be more than 0, got 0: it is the smallest difference that would matter")
        check("margin", self.margin, 0, MAX_MARGIN, "nats/token")
        if self.race:
            declared(self.race)
            if self.final:
                raise ValueError("final declares one look and race several; give one of them")

    @property
    def configs(self) -> dict[str, ExperimentConfig]:
        """Name of an arm -> its configuration; the seed in it is not used.

        Raises:
            ValueError: for a setting that is none, or a value that cannot be.
        """
        if self.size or self.recipe or self.data:
            base = configuration.combined(self.size or "tiny", self.recipe or "classic", self.data or "tales-small")
        else:
            base = configuration.preset(self.preset or "tiny")
        given = {"data.corpus": self.corpus, "data.tokenizer": self.tokenizer, "start": self.start}
        shared = {name: value for name, value in given.items() if value} | dict(self.settings)
        found = {}
        for arm in self.arms:
            source = f"the arm {shown(arm.name)}" if arm.settings else "the study"
            values = _nested(shared | dict(arm.settings) | {"loss": arm.loss})
            found[arm.name] = configuration.override(base, values, source=source)
        return found

    def to_dict(self) -> dict:
        """The tables of a TOML file; what is as it would be anyway is left out."""
        told = {}
        for each in fields(self):
            value = getattr(self, each.name)
            default = each.default if each.default_factory is dataclasses.MISSING else each.default_factory()
            if each.name != "arms" and value != default:
                told[each.name] = _plain(value)
        arms = [{"loss": arm.loss} | ({"label": arm.label} if arm.label else {}) | _plain(arm.settings)
                | ({"space": _plain(arm.space)} if arm.space else {}) for arm in self.arms]
        simple = {key: value for key, value in told.items() if not isinstance(value, dict)}
        return {**simple, **{key: value for key, value in told.items() if key not in simple}, "arm": arms}

    def write(self, path: str | Path) -> None:
        """Write the study as TOML, whole or not at all.

        Raises:
            ValueError: for a place that cannot be written.
        """
        import tomli_w

        from losslab import records

        try:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            records.files.write_whole(Path(path), tomli_w.dumps(self.to_dict()).encode())
        except OSError as error:
            raise ValueError(f"cannot write the study {path}: {error.strerror}; give a writable place") from None


def read(path: str | Path) -> Study:
    """The study in a TOML file.

    Raises:
        ValueError: naming the file and the field, for what cannot be.
        OSError: for a file that is not there.
    """
    return from_dict(configuration.read_table(path, "study"), source=Path(path).name)


def from_dict(values: Mapping, source: str = "the study") -> Study:
    """A study from the tables of its file; the reverse of `Study.to_dict`.

    Raises:
        ValueError: naming the field, for what cannot be.
    """
    known = {each.name: each for each in fields(Study) if each.name != "arms"} | {"arm": None}
    found: dict[str, object] = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in known:
            raise ValueError(f"unknown key {shown(key)} in {source}{_hint(name, known)}")
        found[name] = _arms(value, source) if name == "arm" else _value(name, value, source)
    found["arms"] = found.pop("arm", ())
    try:
        return Study(**found)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def seeds_of(value: object, source: str) -> tuple[int, ...]:
    """A number of seeds (5 is 0 to 4), or the list of them."""
    if type(value) is int and 0 < value <= MAX_SEEDS:
        return tuple(range(value))
    if isinstance(value, list | tuple) and value and all(type(seed) is int for seed in value):
        return tuple(value)
    raise ValueError(f"seeds in {source} is a number from 1 to {MAX_SEEDS:,} or a list of seeds, got {shown(value)}")


# --- tables ------------------------------------------------------------------------------------

def _value(name: str, value: object, source: str):
    if name == "seeds":
        return seeds_of(value, source)
    if name in ("settings", "tune", "scales", "published"):
        if not isinstance(value, dict):
            raise ValueError(f"{name} in {source} is a table, got {shown(value)}")
        return flatten(value) if name == "settings" else value
    if name in ("tasks", "race"):
        kind, told = (str, "names") if name == "tasks" else (int, "whole numbers")
        if not isinstance(value, list) or not all(type(one) is kind for one in value):
            raise ValueError(f"{name} in {source} is a list of {told}, got {shown(value)}")
        return tuple(value)
    wanted = {"margin": (float, int), "final": (bool,)}.get(name, (str,))
    if type(value) not in wanted:
        told = {"margin": "a number", "final": "true or false"}.get(name, "a text")
        raise ValueError(f"{name} in {source} must be {told}, got {shown(value)}")
    return float(value) if name == "margin" else value


def _arms(tables: object, source: str) -> tuple[Arm, ...]:
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ValueError(f"arm in {source} is a list of [[arm]] tables, got {shown(tables)}")
    return tuple(_arm(table, number, source) for number, table in enumerate(tables, 1))


def _arm(table: dict, number: int, source: str) -> Arm:
    loss, label, space = table.get("loss"), table.get("label", ""), table.get("space", {})
    if not isinstance(loss, str) or not loss.strip():
        raise ValueError(f"arm {number} in {source} needs a loss, such as loss = \"squentropy\", got {shown(loss)}")
    if not isinstance(label, str) or not isinstance(space, dict):
        raise ValueError(f"arm {number} in {source}: label is a text and space a table, got {shown(label)} and "
                         f"{shown(space)}")
    rest = {key: value for key, value in table.items() if key not in ("loss", "label", "space")}
    return Arm(loss.strip(), label.strip(), flatten(rest), space)


def _hint(name: str, known: Mapping) -> str:
    """A setting at the top belongs into `[settings]`; else the nearest key."""
    full = configuration.synonym(name) or name
    section, _, inner = full.rpartition(".")
    sections = {each.name: each.default_factory for each in fields(ExperimentConfig)
                if each.default_factory is not dataclasses.MISSING}
    for each, made in sections.items():
        if (section in ("", each)) and inner in {f.name for f in fields(made)}:
            return f"; a setting of all arms stands in [settings], as {each}.{inner}"
    return nearest(name, known) or f"; a study has {', '.join(known)}"


def _check_seeds(seeds: tuple[int, ...]) -> None:
    if not seeds or len(set(seeds)) < len(seeds):
        raise ValueError(f"the seeds {shown(list(seeds))} hold none, or one twice; each is one replicate")
    check("the number of seeds", len(seeds), 1, MAX_SEEDS, "replicates of one arm")
    wrong = next((seed for seed in seeds if not 0 <= seed < TRIAL_SEEDS), None)
    if wrong is not None:
        raise ValueError(f"seeds of a verdict are from 0 to {TRIAL_SEEDS - 1:,}, got {shown(wrong)}; those from "
                         f"{TRIAL_SEEDS:,} on are kept for the trials of tuning")


def _nested(flat: Mapping[str, object]) -> dict:
    """`{"train.learning_rate": 1}` as `{"train": {"learning_rate": 1}}`; a key stays where its table is a value."""
    found: dict = {}
    for key, value in flat.items():
        *tables, last = key.split(".") if key.count(".") < 10 else [key]
        inner = found
        for table in tables:
            inner = inner.setdefault(table, {})
            if not isinstance(inner, dict):
                raise ValueError(f"{shown(key)} stands in a table that is also a value")
        inner[last] = value
    return found


def _plain(value):
    """As TOML has it: lists for tuples, dictionaries for mappings."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, tuple | list) else value
