"""The folder of a study: its file, its runs, its trials, its looks, its verdict and its page.

A study folder is a store. `study.toml` holds the study as it was begun; the same file continues it, and seeds, arms and
trials may be added. Everything else that decides a verdict stays.
"""

from pathlib import Path

from losslab.config.numbers import shown
from losslab.study.file import Arm, Study, read

NAME = "study.toml"
VERDICT = "verdict.json"
SAME = ("name", "preset", "size", "recipe", "data", "corpus", "tokenizer", "start", "baseline", "margin", "race",
        "final", "match")  # the question, tasks, scales and published figures change no verdict


def begin(folder: str | Path, study: Study) -> None:
    """Write the study into its folder, or check that it is the one that was begun there.

    Raises:
        ValueError: naming the field in which the study differs from the one that was begun; for a damaged file.
    """
    path = Path(folder) / NAME
    if path.exists():
        try:
            begun = read(path)
        except ValueError as error:
            raise ValueError(f"{path}, the study as it was begun, cannot be read ({error}); put back a copy of it, or "
                             "begin anew under another name") from None
        if changed := difference(begun, study):
            raise ValueError(f"{path} was begun with {changed}; go on with the study as it was, or begin anew under "
                             "another name or --store")
    study.write(path)


def difference(begun: Study, now: Study) -> str:
    """The first field in which `now` does not continue what was begun, with both values; nothing where it does."""
    for name in SAME:
        if getattr(begun, name) != getattr(now, name):
            return f"{name} {shown(getattr(begun, name))}, and is now asked with {shown(getattr(now, name))}"
    if told := _table("settings.", begun.settings, now.settings):
        return told
    arms = {arm.name: arm for arm in now.arms}
    for arm in begun.arms:
        if arm.name not in arms:
            return f"the arm {shown(arm.name)}, and is now asked without it"
        if told := _arm(arm, arms[arm.name]):
            return told
    missing = [seed for seed in begun.seeds if seed not in now.seeds]
    if missing:
        return f"seed {missing[0]}, and is now asked without it"
    return _tuning(dict(begun.tune), dict(now.tune))


def _arm(begun: Arm, now: Arm) -> str:
    where = f"the arm {shown(begun.name)} with"
    if begun.loss != now.loss:
        return f"{where} loss {shown(begun.loss)}, and is now asked with {shown(now.loss)}"
    return _table(f"{where} ", begun.settings, now.settings) or _table(f"{where} space ", begun.space, now.space)


def _tuning(begun: dict, now: dict) -> str:
    """Trials may be added; nothing else of tuning may change."""
    trials = begun.pop("trials", None), now.pop("trials", None)
    if None not in trials and trials[1] < trials[0]:
        return f"tune.trials {trials[0]}, and is now asked with {trials[1]}"
    return _table("tune.", begun, now)


def _table(prefix: str, begun, now) -> str:
    for key in dict.fromkeys([*begun, *now]):
        if begun.get(key) != now.get(key):
            told = [shown(table[key]) if key in table else "nothing" for table in (begun, now)]
            return f"{prefix}{key} {told[0]}, and is now asked with {told[1]}"
    return ""
