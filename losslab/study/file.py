"""The TOML file that holds a study.

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

import tomllib
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from losslab import config as configuration
from losslab.config.numbers import shown
from losslab.study import checks
from losslab.study.definition import BASE, Arm, Study

SCALED = ("preset", "size", "recipe", "data", "corpus", "tokenizer", "seeds", "race", "settings", "tasks", "tune",
          "ladder")  # in a scale
SECTIONS = {"data": configuration.DataConfig, "model": configuration.ModelConfig, "train": configuration.TrainConfig,
            "evaluate": configuration.EvaluateConfig}


def read(path: str | Path) -> Study:
    """The study in a TOML file.

    Raises:
        ValueError: one sentence that names the file and the field.
        OSError: for a file that is not there.
    """
    return from_dict(configuration.read_table(path, "study"), source=Path(path).name)


def parse(text: str, source: str) -> Study:
    """The study that a text of losslab's own writes."""
    return from_dict(tomllib.loads(text), source)


def from_dict(values: Mapping, source: str = "the study") -> Study:
    """A study from the tables of its file; the reverse of `Study.to_dict`.

    Raises:
        ValueError: naming `source` and the field, for what cannot be.
    """
    if not values:
        raise ValueError(f"{source} is empty; a study has [[arm]] tables with a loss each")
    checks.depth(values, source)
    readers = {
        **dict.fromkeys((*BASE, "question", "baseline", "match", "benchmarks"), checks.text),
        "name": checks.name, "settings": _settings, "seeds": checks.seeds, "margin": checks.number,
        "race": checks.whole_numbers, "final": checks.switch, "tasks": checks.texts, "tune": checks.table,
        "ladder": checks.table, "published": checks.published, "arm": _arms,
        "scales": partial(_scales, readers=lambda key: readers[key]),
    }
    found: dict[str, object] = {}
    for key, value in values.items():
        if key not in readers:
            _unknown(key, list(readers), source)
        found[key] = readers[key](value, key, source)
    try:
        return Study(arms=found.pop("arm", ()), **found)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def _settings(value: object, field: str, source: str) -> dict[str, object]:
    found = checks.flat(value, field, source)
    for key, own in (("loss", "in an [[arm]] table"), ("seed", "as seeds, for the whole study")):
        if key in found:
            raise ValueError(f"{key} in {field} of {source} is no setting of all arms; give it {own}")
    return found


def _arms(value: object, field: str, source: str) -> tuple[Arm, ...]:
    return tuple(_arm(table, f"arm {number} in {source}") for number, table in
                 enumerate(checks.tables(value, field, source), 1))


def _arm(table: Mapping, where: str) -> Arm:
    loss = checks.text(table.get("loss", ""), "loss", where)
    if not loss:
        raise ValueError(f'{where} needs a loss, such as loss = "squentropy"')
    if "seed" in table:
        raise ValueError(f"seed in {where} is not its own: all arms have the seeds of the study; leave it out")
    rest = {key: value for key, value in table.items() if key not in ("loss", "label", "space")}
    return Arm(loss, checks.text(table.get("label", ""), "label", where), checks.flat(rest, "settings", where),
               checks.table(table.get("space", {}), "space", where))


def _scales(value: object, field: str, source: str, readers) -> dict[str, dict]:
    found = checks.table(value, field, source)
    checks.known(found, checks.SCALES, f"{field}.", source)
    told = {}
    for name, over in found.items():
        over = checks.table(over, f"{field}.{name}", source)
        checks.known(over, SCALED, f"{field}.{name}.", source)
        told[name] = {key: readers(key)(one, f"{field}.{name}.{key}", source) for key, one in over.items()}
    return told


def _unknown(key: str, names: list[str], source: str) -> None:
    """A setting at the top belongs into `[settings]`; else the nearest key."""
    section, _, last = (configuration.synonym(key) or key).replace("-", "_").rpartition(".")
    for each, owner in SECTIONS.items():
        if key == each:
            raise ValueError(f"unknown key {shown(key)} in {source}; settings of all arms stand in [settings.{key}]")
        if section in ("", each) and last in owner.__dataclass_fields__:
            raise ValueError(f"unknown key {shown(key)} in {source}; a setting of all arms stands in [settings], as "
                             f"{each}.{last}")
    checks.known({key: None}, names, "", source)
