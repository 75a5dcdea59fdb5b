"""What a value in a study file may be: each check names the field, the file, what came and what would do."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from losslab.config import RENAMED
from losslab.config.numbers import MAX_SEEDS, TRIAL_SEEDS, check, shown
from losslab.words import nearest

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
LONGEST = {"label": 80, "unit": 40, "measure": 80, "loss": 4096, "source": 1000}  # characters; others 500
MOST_DEPTH = 6  # of tables in tables
SCALES = ("smoke", "laptop", "full")
FIGURE = ("label", "measure", "value", "unit")


def text(value: object, field: str, source: str) -> str:
    """One line of text that a terminal can show."""
    most = LONGEST.get(field.rpartition(".")[2], 500)
    if not isinstance(value, str):
        raise ValueError(f"{field} in {source} must be a text, got {shown(value)}")
    if not value.isprintable():
        raise ValueError(f"{field} in {source} must be one line of plain text, got {shown(value)}")
    if len(value) > most:
        raise ValueError(f"{field} in {source} has {len(value):,} characters; at most {most} are read")
    return value.strip()


def name(value: object, field: str, source: str) -> str:
    """The name of a study, which is that of its folder; nothing for none."""
    if not isinstance(value, str) or value and not NAME.fullmatch(value):
        raise ValueError(f"{field} in {source} is the name of a folder: up to 80 letters, digits, dots, dashes and "
                         f"underscores, such as squentropy-rates; got {shown(value)}")
    return value


def name_of(path: Path) -> str:
    """The name of a study whose file gives none: that of the file, as far as a folder may have it."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("._-")[:80] or "study"


def table(value: object, field: str, source: str) -> dict:
    if not isinstance(value, Mapping):
        raise ValueError(f"{field} in {source} is a table, got {shown(value)}")
    return dict(value)


def tables(value: object, field: str, source: str) -> list[dict]:
    """What `[[field]]` writes."""
    if not isinstance(value, list | tuple) or not all(isinstance(one, Mapping) for one in value):
        raise ValueError(f"{field} in {source} is written as [[{field}]] tables, got {shown(value)}")
    return list(value)


def known(values: Mapping, names: Sequence[str], prefix: str, source: str) -> None:
    """An error for a key that is none of `names`, with the nearest one."""
    for key in values:
        if key not in names:
            raise ValueError(f"unknown key {shown(prefix + key)} in {source}"
                             f"{nearest(key, names) or '; there may be ' + ', '.join(names)}")


def seeds(value: object, field: str, source: str) -> tuple[int, ...]:
    """A number of seeds (5 is 0 to 4), or a list of them."""
    if type(value) is int:
        check(f"{field} in {source}", value, 1, MAX_SEEDS, "replicates of one arm")
        return tuple(range(value))
    if not isinstance(value, list | tuple) or not value or not all(type(seed) is int for seed in value):
        raise ValueError(f"{field} in {source} is a number of seeds, such as 5, or a list of them, such as [3, 5, 8]; "
                         f"got {shown(value)}")
    check(f"the number of {field} in {source}", len(value), 1, MAX_SEEDS, "replicates of one arm")
    for seed in value:
        if not 0 <= seed < TRIAL_SEEDS:
            raise ValueError(f"{field} in {source} are from 0 to {TRIAL_SEEDS - 1:,}, because those from "
                             f"{TRIAL_SEEDS:,} on are kept for trials of tuning; got {shown(seed)}")
    if len(set(value)) < len(value):
        raise ValueError(f"{field} in {source} hold one twice, and each is one replicate; got {shown(list(value))}")
    return tuple(value)


def whole_numbers(value: object, field: str, source: str) -> tuple[int, ...]:
    if not isinstance(value, list | tuple) or not all(type(one) is int for one in value):
        raise ValueError(f"{field} in {source} is a list of whole numbers, got {shown(value)}")
    return tuple(value)


def texts(value: object, field: str, source: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{field} in {source} is a list of names, got {shown(value)}")
    return tuple(text(one, field, source) for one in value)


def number(value: object, field: str, source: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e300:
        raise ValueError(f"{field} in {source} must be a finite number, got {shown(value)}")
    return float(value)


def switch(value: object, field: str, source: str) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{field} in {source} must be true or false, got {shown(value)}")
    return value


def published(value: object, field: str, source: str) -> dict:
    """What others found: a source, and figures with a label, a measure, a value and a unit each."""
    found = table(value, field, source)
    if not found:
        return {}
    known(found, ("source", "figures"), f"{field}.", source)
    told = {"source": text(found.get("source", ""), f"{field}.source", source), "figures": []}
    for row in tables(found.get("figures", []), f"{field}.figures", source):
        known(row, FIGURE, f"{field}.figures.", source)
        if missing := [key for key in FIGURE if key not in row]:
            raise ValueError(f"a figure of {field} in {source} has no {missing[0]}; it has {', '.join(FIGURE)}")
        told["figures"].append({key: (number if key == "value" else text)(row[key], f"{field}.figures.{key}", source)
                                for key in FIGURE})
    return told


# --- settings ----------------------------------------------------------------------------------

def depth(values: Mapping, source: str) -> None:
    """An error for tables or lists so deep that nothing in them can be a setting."""
    level: list = [values]
    for _ in range(MOST_DEPTH + 2):
        level = [inner for value in level for inner in (value.values() if isinstance(value, Mapping) else value)
                 if isinstance(inner, Mapping | list | tuple)]
    if level:
        raise ValueError(f"{source} is nested deeper than any setting is; a setting is written as train.num_steps")


def flat(value: object, field: str, source: str) -> dict[str, object]:
    """Nested and dotted settings as dotted ones, in today's spelling; each may stand there once."""
    found: dict[str, object] = {}
    for key, one in _leaves(table(value, field, source), ""):
        section, dot, last = key.replace("-", "_").rpartition(".")
        key = f"{section}{dot}{RENAMED.get(last, last)}"
        if key in found:
            raise ValueError(f"{key} stands twice in {field} in {source}, in two spellings")
        found[key] = plain(one)
    return found


def _leaves(settings: Mapping, prefix: str) -> Iterator[tuple[str, object]]:
    for key, value in settings.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def nested(settings: Mapping[str, object], source: str) -> dict:
    """Dotted settings as tables in tables, which is how a configuration takes them."""
    found: dict = {}
    for key, value in settings.items():
        *path, last = key.split(".", MOST_DEPTH)
        inner = found
        for step in path:
            inner = inner.setdefault(step, {})
            if not isinstance(inner, dict):
                raise ValueError(f"{shown(key)} in {source} stands in a table that is also a value")
        if last in inner:
            raise ValueError(f"{shown(key)} in {source} is a value and also a table")
        inner[last] = value
    return found


def every_scale(study) -> None:
    """That a study can be had at each of its scales, which `at` gives."""
    for scale in study.scales:
        try:
            study.at(scale)
        except ValueError as error:
            raise ValueError(f"at the scale {scale}, {error}") from None


def at_scale(study, scale: str) -> tuple[dict, str]:
    """What a scale lays over a study, and the name that it has there.

    Raises:
        ValueError: for a scale that it does not have.
    """
    if scale not in study.scales:
        raise ValueError(f"the study {study.name} has no scale {shown(scale)}{nearest(scale, study.scales)}; its "
                         f"scales are {', '.join(study.scales) or 'none'}")
    return dict(study.scales[scale]), f"{study.name}-{scale}" if study.name else ""


def laid(settings: Mapping[str, object], over: Mapping[str, object]) -> dict[str, object]:
    """Dotted settings with others laid over them; of two ways to say how long a run is, the later one holds."""
    horizon = ("train.num_tokens", "train.num_steps")
    dropped = horizon if set(horizon) & over.keys() else ()
    return {key: value for key, value in settings.items() if key not in dropped} | dict(over)


def plain(value):
    """As TOML has it: lists for tuples, dictionaries for mappings."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, tuple | list) else value


def written(key: str, value):
    """A field of a study as its file has it: the first seeds by their number, and settings in tables."""
    if key == "seeds" and tuple(value) == tuple(range(len(value))):
        return len(value)
    return plain(nested(value, key) if key == "settings" else value)
