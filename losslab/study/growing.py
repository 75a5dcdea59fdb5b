"""How a study that was begun continues: with all that it has, and with what is asked besides.

Seeds, arms and trials may be added or left out of what is asked; everything else that decides a verdict stays.
"""

from collections.abc import Mapping
from dataclasses import replace

from losslab.config import ExperimentConfig, flatten, outside, to_dict
from losslab.config.numbers import shown
from losslab.study.definition import BASE, Study

MOST_TOLD = 5  # arms or seeds that a sentence names
SAME = ("name", "margin", "race", "match")  # the question, tasks, scales and published figures change no verdict


def joined(begun: Study, now: Study) -> Study:
    """What is asked now, with the arms, seeds and trials that the study was begun with.

    Raises:
        ValueError: for arms that cannot be in one study.
    """
    own = dict(zip(_configs(now, begun), now.arms, strict=True))
    before = dict(zip(begun.configs, begun.arms, strict=True))
    seeds = now.seeds if set(begun.seeds) <= set(now.seeds) else tuple(dict.fromkeys(begun.seeds + now.seeds))
    found = replace(now, seeds=seeds, tune=_more_trials(begun.tune, now.tune))
    if before.keys() <= own.keys():
        return found
    options = {"arms": tuple((before | own).values()), "baseline": now.baseline or begun.reference}
    wanted = list(map(_settings, (begun.configs | _configs(now, begun)).values()))
    for base in (found, replace(found, **{key: getattr(begun, key) for key in BASE})):  # what arms are laid over
        whole = replace(base, **options)
        if list(map(_settings, whole.configs.values())) == wanted:
            return whole
    gone = next(name for name in before if name not in own)
    raise ValueError(f"the arm {shown(gone)} over other settings of all arms, and is now asked without it but with new "
                     "arms")


def growth(begun: Study, now: Study) -> str:
    """What a study has more than another: arms, seeds and trials; nothing where it has no more of them."""
    arms = [shown(name) for name in _configs(now, begun) if name not in begun.configs]
    seeds = [str(seed) for seed in now.seeds if seed not in begun.seeds]
    told = [f"{what}{'s' * (len(each) > 1)} {_and(each)}" for what, each in (("the arm", arms), ("seed", seeds))
            if each]
    if begun.tune and now.tune and (more := now.tune["trials"] - begun.tune["trials"]) > 0:
        told.append(f"{more} more trial{'s' * (more > 1)} of each arm")
    return _and(told)


def difference(begun: Study, now: Study) -> str:
    """The first thing in which `now` does not continue what was begun, with both values; nothing where it does.

    What arms are trained with is compared, not how it is said: `preset = "tiny"` is the size, the recipe and the data
    that it names.
    """
    for name in SAME:
        if getattr(begun, name) != getattr(now, name):
            return _told(name, getattr(begun, name), getattr(now, name))
    before, after = ({name: _settings(config) for name, config in configs.items()}
                     for configs in (begun.configs, _configs(now, begun)))
    for old, settings in before.items():
        new = next((name for name, other in after.items() if other == settings), old)
        if old not in after and new not in before:
            return f"the arm {shown(old)}, and is now asked with it under the name {shown(new)}"
    reference = next(name for name, config in _configs(now, begun).items() if config is now.configs[now.reference])
    if begun.reference != reference and (now.baseline or begun.reference in after):
        return _told("baseline", begun.reference, now.reference)
    spaces = dict(zip(after, (arm.space for arm in now.arms), strict=True))
    both = [name for name in before if name in after]
    for key in dict.fromkeys(key for name in both for key in before[name]):
        pairs = {name: (before[name].get(key), after[name].get(key)) for name in both}
        if other := [name for name, (old, new) in pairs.items() if old != new]:
            where = f" in the arm {shown(other[0])}" if len(other) < len(pairs) else ""
            return _told(key, *pairs[other[0]], where)
    for name in both:
        if told := _table("space", begun.spaces.get(name, {}), spaces[name], f" in the arm {shown(name)}"):
            return told
    return _tuning(begun.tune, now.tune)


def _configs(now: Study, begun: Study) -> dict[str, ExperimentConfig]:
    """The arms of a study under the names that they have in another: without a label, a name depends on other arms."""
    known = {name: _settings(config) for (name, config), arm in zip(begun.configs.items(), begun.arms, strict=True)
             if not arm.label and name not in now.configs}
    found = {}
    for (name, config), arm in zip(now.configs.items(), now.arms, strict=True):
        if not arm.label and name not in begun.configs:
            name = next((old for old, settings in known.items() if settings == _settings(config)), name)
        found[name] = config
    return found


def _settings(config: ExperimentConfig) -> dict[str, object]:
    """Those that decide what a run is."""
    return {key: value for key, value in flatten(to_dict(config)).items() if key not in outside()}


def _more_trials(begun: Mapping, now: Mapping) -> Mapping:
    trials = [table.get("trials") for table in (begun, now)]
    return {**now, "trials": max(trials)} if begun and now else now


def _tuning(begun: Mapping, now: Mapping) -> str:
    """The number of trials may be another; nothing else of tuning may."""
    begun, now = dict(begun), dict(now)
    if bool(begun) == bool(now):
        old, new = begun.pop("trials", None), now.pop("trials", None)
        if old != new and (type(old) is not int or type(new) is not int):
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


def _and(words: list[str]) -> str:
    if len(words) > MOST_TOLD:
        words = [*words[: MOST_TOLD - 1], f"{len(words) - MOST_TOLD + 1:,} others"]
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)
