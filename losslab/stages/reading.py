"""The TOML file of a study in stages, as `losslab.stages.file` shows one."""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields

from losslab.config.numbers import shown
from losslab.stages.file import KINDS, Stage, Staged
from losslab.study import checks
from losslab.words import nearest


def tables(text: str) -> dict:
    """The tables of a file, as they stand there."""
    return tomllib.loads(text)


def parse(text: str, source: str) -> Staged:
    """The study in stages that a text of losslab's own writes."""
    return from_dict(tomllib.loads(text), source)


def from_dict(values: Mapping, source: str = "the study") -> Staged:
    """A study in stages from the tables of its file.

    Raises:
        ValueError: naming `source` and the field, for what cannot be.
    """
    checks.depth(values, source)
    checks.known(values, ("name", "question", "stage", "scales", "published", "notes"), "", source)
    stages = tuple(_stage(table, number, source) for number, table in
                   enumerate(checks.tables(values.get("stage", []), "stage", source), 1))
    found = {"scales": _scales(values.get("scales", {}), {stage.name: type(stage) for stage in stages}, source)}
    for key, reader in {"name": checks.name, "question": checks.text, "published": checks.published,
                        "notes": checks.texts}.items():
        if key in values:
            found[key] = reader(values[key], key, source)
    try:
        return Staged(stages, **found)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def _stage(table: Mapping, number: int, source: str) -> Stage:
    where = f"stage {number} in {source}"
    name, kind = (checks.text(table.get(key, ""), key, where) for key in ("name", "kind"))
    if not name or not checks.NAME.fullmatch(name):
        raise ValueError(f'{where} needs a name that a folder may have, such as name = "pretrain", got {shown(name)}')
    if kind not in KINDS:
        raise ValueError(f"kind of {where} must be {', '.join(KINDS)}, got {shown(kind)}{nearest(kind, KINDS)}")
    rest = {key: value for key, value in table.items() if key not in ("name", "kind")}
    return KINDS[kind](name, **_values(rest, KINDS[kind], "", where))


def _values(table: Mapping, kind: type, prefix: str, where: str) -> dict:
    """The keys of a stage, each as what its default is."""
    known = {each.name: each for each in fields(kind) if each.name != "name"}
    checks.known(table, list(known), prefix, where)
    return {key: _reader(known[key])(value, f"{prefix}{key}", where) for key, value in table.items()}


def _reader(one) -> Callable:
    default = one.default if one.default is not MISSING else one.default_factory()
    return {str: checks.text, float: checks.number, tuple: checks.texts, dict: checks.flat, int: _whole}[type(default)]


def _whole(value: object, field: str, source: str) -> int:
    if type(value) is not int or not 0 <= value < 2**32:
        raise ValueError(f"{field} in {source} must be a whole number from 0 on, got {shown(value)}")
    return value


def _scales(value: object, kinds: Mapping[str, type], source: str) -> dict[str, dict]:
    found = checks.table(value, "scales", source)
    checks.known(found, checks.SCALES, "scales.", source)
    told = {}
    for scale, over in found.items():
        where = f"scales.{scale}"
        over = checks.table(over, where, source)
        checks.known(over, ("stage",), f"{where}.", source)
        told[scale] = {}
        for name, table in checks.table(over.get("stage", {}), f"{where}.stage", source).items():
            if name not in kinds:
                raise ValueError(f"{where}.stage in {source} names {shown(name)}, which is no stage"
                                 f"{nearest(name, kinds)}; the stages are {', '.join(kinds)}")
            told[scale][name] = _values(checks.table(table, f"{where}.stage.{name}", source), kinds[name],
                                        f"{where}.stage.{name}.", source)
    return told
