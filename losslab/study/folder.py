"""The folder of a study: its file, its runs, its trials, its looks, its verdict and its page.

A study folder is a store. `study.toml` holds the study as it was begun; the same file continues it, and seeds, arms and
trials may be added. Everything else that decides a verdict stays.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from losslab.config import flatten, outside, to_dict
from losslab.config.numbers import shown
from losslab.study.file import Study, read

NAME = "study.toml"
VERDICT = "verdict.json"
MOST_TOLD = 5  # arms or seeds that a sentence names
SAME = ("name", "margin", "race", "match")  # the question, tasks, scales and published figures change no verdict


def check(folder: str | Path, study: Study) -> bool:
    """Whether this very study was begun in the folder; False where nothing was, or less of it.

    Raises:
        ValueError: naming the field in which the study differs from the one that was begun; for a damaged file.
    """
    path = Path(folder) / NAME
    if not os.path.lexists(path):
        return False
    try:
        begun = read(path)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}, the study as it was begun, cannot be read ({error}); put back a copy of it, or "
                         "begin anew under another --name or --store") from None
    if changed := difference(begun, study):
        raise ValueError(f"{path} was begun with {changed}; go on with the study as it was, or begin anew under "
                         "another --name or --store")
    return begun == study


def begin(folder: str | Path, study: Study) -> str:
    """Write the study into its folder; returns a sentence on what was added to one that was begun, else nothing.

    Raises:
        ValueError: as `check`; for a place that cannot be written.
    """
    if check(folder, study):
        return ""
    path = Path(folder) / NAME
    added = growth(read(path), study) if os.path.lexists(path) else ""
    study.write(path)
    if not added:
        return ""
    at = "" if Path(folder) == Path("runs", study.name) else f" --store {folder}"
    return (f"{path} now has {added} too: what is done is kept, only what is missing is run, and `losslab compare "
            f"{path}{at}` goes on with all of it")


def growth(begun: Study, now: Study) -> str:
    """What a study has that it was not begun with: arms, seeds and trials; nothing where it has no more of them."""
    arms = [shown(name) for name in now.configs if name not in begun.configs]
    seeds = [str(seed) for seed in now.seeds if seed not in begun.seeds]
    told = [f"{what}{'s' * (len(each) > 1)} {_and(each)}" for what, each in (("the arm", arms), ("seed", seeds))
            if each]
    if begun.tune and now.tune.get("trials") != begun.tune.get("trials"):
        told.append(f"{now.tune['trials'] - begun.tune['trials']} more trials of each arm")
    return _and(told)


def _and(words: list[str]) -> str:
    if len(words) > MOST_TOLD:
        words = [*words[: MOST_TOLD - 1], f"{len(words) - MOST_TOLD + 1:,} others"]
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)


def difference(begun: Study, now: Study) -> str:
    """The first thing in which `now` does not continue what was begun, with both values; nothing where it does.

    What arms are trained with is compared, not how it is said: `preset = "tiny"` is the size, the recipe and the data
    that it names.
    """
    for name in SAME:
        if getattr(begun, name) != getattr(now, name):
            return _told(name, getattr(begun, name), getattr(now, name))
    if begun.reference != now.reference:
        return _told("baseline", begun.reference, now.reference)
    before, after = ({name: _settings(config) for name, config in study.configs.items()} for study in (begun, now))
    if gone := [name for name in before if name not in after]:
        return f"the arm {shown(gone[0])}, and is now asked without it"
    for key in dict.fromkeys(key for settings in before.values() for key in settings):
        pairs = {name: (before[name].get(key), after[name].get(key)) for name in before}
        if other := [name for name, (old, new) in pairs.items() if old != new]:
            where = f" in the arm {shown(other[0])}" if len(other) < len(pairs) else ""
            return _told(key, *pairs[other[0]], where)
    if missing := [seed for seed in begun.seeds if seed not in now.seeds]:
        return f"seed {missing[0]}, and is now asked without it"
    for name in begun.spaces.keys() | now.spaces.keys():
        if name in before and begun.spaces.get(name) != now.spaces.get(name):
            return _table("space", begun.spaces.get(name, {}), now.spaces.get(name, {}), f" in the arm {shown(name)}")
    return _tuning(begun.tune, now.tune)


def _settings(config) -> dict[str, object]:
    """Those that decide what a run is."""
    return {key: value for key, value in flatten(to_dict(config)).items() if key not in outside()}


def _tuning(begun: Mapping, now: Mapping) -> str:
    """Trials may be added; nothing else of tuning may change."""
    begun, now = dict(begun), dict(now)
    if bool(begun) == bool(now):
        old, new = begun.pop("trials", None), now.pop("trials", None)
        if old != new and (type(old) is not int or type(new) is not int or new < old):
            return _told("tune.trials", old, new)
    return _table("tune", begun, now)


def _table(prefix: str, begun: Mapping, now: Mapping, where: str = "") -> str:
    for key in dict.fromkeys([*begun, *now]):
        if begun.get(key) != now.get(key):
            return _told(f"{prefix}.{key}", begun.get(key), now.get(key), where)
    return ""


def _told(name: str, begun: object, now: object, where: str = "") -> str:
    old, new = ("none" if value in (None, "", ()) else shown(value) for value in (begun, now))
    return f"{name} {old}{where}, and is now asked with {new}"
