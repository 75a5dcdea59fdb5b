"""A study: a question, arms, seeds, a tuning budget."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path

from losslab import config as configuration
from losslab import formula
from losslab.config import ExperimentConfig
from losslab.config.numbers import check, check_margin, shown
from losslab.objective import label as text_of
from losslab.stats.race import declared
from losslab.study import checks, toml
from losslab.study.names import names_of
from losslab.words import nearest

MATCHES, MOST_ARMS = ("tokens", "time", "flops"), 1_000
BASE = ("preset", "size", "recipe", "data", "corpus", "tokenizer", "start")  # what settings are laid over


@dataclass(frozen=True)
class Arm:
    """One loss and the settings in which it differs from the other arms."""

    loss: str
    label: str = ""
    """Its name in tables; nothing: its formula."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """Dotted setting -> value; `recipe` is one, too."""
    space: Mapping[str, object] = field(default_factory=dict)
    """Own parameters of its loss, to be searched while tuning."""


@dataclass(frozen=True)
class Study:
    """What a study asks; `configs` are the arms as they are trained."""

    arms: tuple[Arm, ...]
    name: str = ""
    """Of its folder; nothing for a comparison that shares a store with others."""
    question: str = ""
    preset: str = ""
    """A size, a recipe and data in one word; `tiny` where none of the four is given."""
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
    """The name of an arm; nothing: `cross_entropy` if it is one, else the first."""
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
    ladder: Mapping[str, object] = field(default_factory=dict)
    """The table of `ladder.Ladder`: sizes and budgets at each of which the arms are compared; nothing: no ladder."""
    scales: Mapping[str, Mapping] = field(default_factory=dict)
    """`smoke`, `laptop`, `full` -> what `at` lays over the study."""
    published: Mapping[str, object] = field(default_factory=dict)
    """What others found: `source`, and `figures` with `label`, `measure`, `value` and `unit`."""

    def __post_init__(self):
        if not self.arms:
            raise ValueError('a study needs at least one arm; give each loss an [[arm]] table, loss = "squentropy"')
        check("the number of arms", len(self.arms), 1, MOST_ARMS, "as many as a page can list")
        for arm in self.arms:
            checks.text(arm.label, "label", "an arm")
        names = tuple(self.configs)
        if self.baseline and self.baseline not in names:
            raise ValueError(f"the baseline {shown(self.baseline)} is no arm{nearest(self.baseline, names)}; the arms "
                             f"are {', '.join(names)}")
        checks.name(self.name, "name", "the study")
        checks.seeds(self.seeds, "seeds", "the study")
        if self.match not in MATCHES:
            raise ValueError(f"match is {', '.join(MATCHES[:-1])} or {MATCHES[-1]}, got {shown(self.match)}")
        check_margin("margin", self.margin)
        if self.race:
            declared(self.race)
            if self.final:
                raise ValueError("final declares one look and race several; give one of them")
        checks.every_scale(self)

    @cached_property
    def configs(self) -> dict[str, ExperimentConfig]:
        """Name of an arm -> its configuration; the seed in it is not used.

        The name is the label; else the formula, with its own settings where another arm has this formula, too.
        """
        made = []
        for arm in self.arms:
            where = f"the arm {shown(arm.label or arm.loss)}" if arm.settings else "the study"
            values = checks.nested(arm.settings, where) | {"loss": arm.loss}
            base = self._base(values.pop("recipe", ""))
            made.append(configuration.override(base, values, source=where))
        found: dict[str, ExperimentConfig] = {}
        same: dict[ExperimentConfig, str] = {}
        for name, config in zip(names_of(self.arms), made, strict=True):
            asked = replace(config, loss=text_of(formula.parse(config.loss)))
            if asked in same:
                raise ValueError(f"the arms {shown(same[asked])} and {shown(name)} are the same; leave one out")
            if name in found:
                raise ValueError(f"two arms are named {shown(name)}; give one of them another label")
            found[name], same[asked] = config, name
        return found

    def _base(self, recipe: str) -> ExperimentConfig:
        """What all arms share; an arm may have its own recipe."""
        named = {"preset": self.preset, "size": self.size, "recipe": self.recipe, "data": self.data}
        base = configuration.chosen(**configuration.laid_over(named, recipe=recipe))
        given = {"data": {key: getattr(self, key) for key in ("corpus", "tokenizer") if getattr(self, key)}}
        given |= {"start": self.start} if self.start else {}
        base = configuration.override(base, given, source="the study")
        return configuration.override(base, checks.nested(self.settings, "settings"), source="the study's settings")

    @property
    def reference(self) -> str:
        """The name of the arm that others are compared with."""
        plain = (name for name, config in self.configs.items() if config.loss == "cross_entropy")
        return self.baseline or next(plain, next(iter(self.configs)))

    @property
    def spaces(self) -> dict[str, Mapping]:
        """Name of an arm -> own parameters of its loss to be searched, where it has any."""
        return {name: arm.space for name, arm in zip(self.configs, self.arms, strict=True) if arm.space}

    def at(self, scale: str) -> "Study":
        """The study as large as one of its scales says, under the name NAME-SCALE.

        Raises:
            ValueError: for a scale that it does not have.
        """
        over, name = checks.at_scale(self, scale)
        over["settings"] = checks.laid(self.settings, over.get("settings", {}))
        over |= {key: {**getattr(self, key), **over.get(key, {})} for key in ("tune", "ladder")}
        if over.keys() & {"preset", "size", "recipe", "data"}:  # one way of saying it takes the place of the other
            over = dict.fromkeys(("size", "recipe", "data") if "preset" in over else ("preset",), "") | over
        return replace(self, **over, name=name, scales={})

    def to_dict(self) -> dict:
        """The tables of a TOML file; what is as it would be anyway is left out."""
        told = {}
        for each in fields(self):
            value = getattr(self, each.name)
            default = each.default if each.default_factory is MISSING else each.default_factory()
            if each.name != "arms" and (value != default or each.name == "seeds"):
                told[each.name] = checks.written(each.name, value)
        told["scales"] = {name: {key: checks.written(key, value) for key, value in over.items()}
                          for name, over in self.scales.items()}
        arms = [{"loss": arm.loss, **({"label": arm.label} if arm.label else {}),
                 **checks.nested(checks.plain(arm.settings), "an arm"),
                 **({"space": checks.plain(arm.space)} if arm.space else {})} for arm in self.arms]
        told = {key: value for key, value in told.items() if value != {}}
        return dict(sorted(told.items(), key=lambda item: isinstance(item[1], dict))) | {"arm": arms}  # tables last

    def write(self, path: str | Path, *, sealed: bool = False) -> None:
        """Write the study as TOML, whole or not at all; `read` gives an equal one. `sealed`: with a checksum.

        Raises:
            ValueError: for a place that cannot be written.
        """
        from losslab import records

        path = Path(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            text = toml.text(self.to_dict())
            records.files.write_whole(path, (toml.sealed(text) if sealed else text).encode())
        except OSError as error:
            raise ValueError(f"cannot write the study {path}: {error.strerror}; give a writable place") from None
