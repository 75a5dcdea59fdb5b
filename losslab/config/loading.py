"""Settings from files and from nested values, checked against their fields."""

import dataclasses
import hashlib
import json
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path

from losslab import untrusted
from losslab.config import rates
from losslab.config.numbers import shown, whole
from losslab.config.sections import ExperimentConfig
from losslab.config.synonyms import RENAMED, synonym
from losslab.words import nearest

Errors = (ValueError, OSError)  # what a user's mistake raises; everything else is a bug of losslab
MAX_FILE_BYTES = 100_000  # a specification has a few hundred
MAX_DOTS = 300  # in a line of TOML: a key of 45,000 parts takes tomllib a minute
EXAMPLES = {"specification": "spec.toml", "study": "study.toml", "challenge": "challenge.toml"}
WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}


def override(config, values: dict, *, source: str = "the configuration", prefix: str = ""):
    """`config` with nested `values` laid over it; unknown fields and wrong types are errors."""
    if prefix == "train.":
        values = rates.converted(values, config.learning_rate)
    known = {f.name: f for f in fields(config)}
    hints = typing.get_type_hints(type(config))
    changed = {}
    for key, value in values.items():
        name = key.replace("-", "_") if isinstance(key, str) else ""
        name = RENAMED.get(name, name)
        if name not in known:
            raise ValueError(f"unknown field {prefix}{_bare(key)} in {source}{_hint(key, prefix, known)}")
        if name in changed:
            raise ValueError(f"{prefix}{name} stands twice in {source}, in two spellings")
        current = getattr(config, name)
        if dataclasses.is_dataclass(current):
            if not isinstance(value, dict):
                raise ValueError(f"{prefix}{name} in {source} is a table of settings, got {shown(value)}")
            changed[name] = override(current, value, source=source, prefix=f"{prefix}{name}.")
        else:
            changed[name] = _typed(value, hints[name], f"{prefix}{name}", source)
    if "num_tokens" in changed and "num_steps" not in changed:  # the horizon given last wins over a preset's
        changed["num_steps"] = 0
    elif "num_steps" in changed and "num_tokens" not in changed:
        changed["num_tokens"] = 0
    return replace(config, **changed)


def _bare(key) -> str:
    return shown(key).strip("'\"")


def _hint(key, prefix: str, known: dict) -> str:
    """What an unknown field may have meant: another section's field, another program's name, or a near one."""
    name = str(key)[:100].replace("-", "_")
    sections = {section: getattr(f.default_factory, "__annotations__", ()) for section, f in known.items()}
    inner = [section for section, names in sections.items() if name in names]
    if inner:
        return f"; did you mean {inner[0]}.{name}?"
    if full := synonym(name):
        return f"; did you mean {full}?"
    return nearest(name, known)


def _typed(value, hint, name: str, source: str):
    if isinstance(hint, types.UnionType):  # int | None
        (hint,) = (each for each in typing.get_args(hint) if each is not types.NoneType)
        if value is None:
            return None
    if isinstance(hint, types.GenericAlias):  # tuple[float, float]
        wanted = typing.get_args(hint)
        if not isinstance(value, list | tuple) or len(value) != len(wanted):
            raise ValueError(f"{name} in {source} takes {len(wanted)} numbers, got {shown(value)}")
        return tuple(_typed(v, h, name, source) for v, h in zip(value, wanted, strict=True))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise ValueError(f"{name} in {source} must be a finite number, got {shown(value)}") from None
    if hint is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if hint is int and isinstance(value, str):
        try:
            return whole(value)
        except ValueError as error:
            raise ValueError(f"{name} in {source} must be a whole number: {error}") from None
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ValueError(f"{name} in {source} must be {WORDS[hint]}, got {shown(value)}")
    return value


def read_table(path: str | Path, what: str = "specification") -> dict:
    """The table in a TOML file, or the object in a JSON file.

    Raises:
        ValueError: for a file that cannot be read as one.
        OSError: for a file that is not there.
    """
    path = Path(path)
    text = _text(path, what)
    try:
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(_shallow(text))
    except RecursionError:
        raise ValueError(f"{path} is not a readable {what}: its lists or tables are nested too deep") from None
    except ValueError as error:
        raise ValueError(f"{path} is not a readable {what}: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold one table of settings, got {shown(values)}")
    return values


def _shallow(text: str) -> str:
    if any(line.count(".") > MAX_DOTS for line in text.split("\n")):
        raise ValueError(f"a line has more than {MAX_DOTS} dots")
    return text


def _text(path: Path, what: str) -> str:
    """The text of a regular file of bounded size; a pipe or a device is refused before it can block."""
    try:
        raw = untrusted.read_whole(untrusted.descriptor(path, follow=True), MAX_FILE_BYTES)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no {what} {path}; give the path of a {EXAMPLES[what]}") from None
    except untrusted.NoFile:
        raise ValueError(f"{path} is not a file with a {what}, but a folder, a pipe or a device") from None
    except untrusted.TooLarge:
        raise ValueError(f"{path} has more than {MAX_FILE_BYTES:,} bytes; a {what} has a few hundred") from None
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text in utf-8 ({error.reason} at byte {error.start})") from None


def from_dict(values: dict, source: str = "spec.json") -> ExperimentConfig:
    """A configuration from what `to_dict` gave.

    Raises:
        ValueError: naming the field, for a value that cannot be.
    """
    if not isinstance(values, dict):
        raise ValueError(f"the configuration in {source} is a table of settings, got {shown(values)}")
    return override(ExperimentConfig(), values, source=source)


def to_dict(config) -> dict:
    return dataclasses.asdict(config)


def flatten(settings: Mapping, prefix: str = "") -> dict:
    """`{"train": {"learning_rate": 1}}` as `{"train.learning_rate": 1}`."""
    flat = {}
    for key, value in settings.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def digest(value) -> str:
    """Twelve hexadecimal digits that name any JSON-able value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=list)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
