"""The folder of a ladder: its file, a folder for each rung, its table and its page.

`ladder.toml` holds the ladder as it was begun. The same file continues it; sizes, budgets, arms, seeds and trials may
be added, and everything else that decides a number stays from the first update on.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from losslab import records
from losslab.config.numbers import shown
from losslab.ladder.settings import Ladder, Size, from_dict
from losslab.study import Study
from losslab.study import folder as studies
from losslab.study.growing import difference, growth, joined

NAME = "ladder.toml"
TABLE = "ladder.csv"
PAGE = "report.html"
RUNGS = "rungs"
SAME = ("params", "rate", "base", "tuned_sizes")


def continued(folder: str | Path, study: Study) -> Study:
    """The ladder as it continues in the folder: with all that was begun there, and all that is asked.

    Raises:
        ValueError: naming the setting in which the ladder differs from the one that was begun; for a damaged file.
    """
    path = Path(folder) / NAME
    begun = _begun(path)
    if begun is None or begun == study or not _is_used(Path(folder)):
        return study
    plain = [replace(each, ladder={}) for each in (begun, study)]
    changed = difference(*plain) or _changed(begun.ladder, study.ladder)
    if not changed:
        try:
            return replace(joined(*plain), ladder=_joined(begun.ladder, study.ladder))
        except ValueError as error:
            changed = str(error)
    raise ValueError(f"{path} was begun with {changed}; go on with the ladder as it was, or begin anew under another "
                     "name or --store")


def kept(folder: str | Path) -> Study:
    """The ladder that a folder keeps.

    Raises:
        ValueError: for a damaged file, or none.
    """
    path = Path(folder) / NAME
    if (found := _begun(path)) is None:
        raise ValueError(f"{folder} is no folder of a ladder: it has no {NAME}")
    return found


def begin(folder: str | Path, study: Study) -> str:
    """Write what `continued` gives into the folder.

    Returns:
        a sentence on what it has besides what is asked; else nothing.

    Raises:
        ValueError: as `continued`; for a place that cannot be written.
    """
    whole, path = continued(folder, study), Path(folder) / NAME
    if _begun(path) != whole:
        whole.write(path, sealed=True)
    more = [growth(replace(study, ladder={}), replace(whole, ladder={}))]
    asked, kept = (_rungs(each.ladder) for each in (study, whole))
    more.append(", ".join(f"{name} at {ratio:g} tokens per parameter" for name, ratio in kept if
                          (name, ratio) not in asked))
    told = " and ".join(filter(None, more))
    return f"{path} has {told} besides what is asked: the ladder continues with all of it" if told else ""


def of_rung(folder: str | Path, name: str) -> Path:
    return Path(folder) / RUNGS / name


def has_ended(rung: Path) -> bool:
    """Whether a rung has its verdict, and no run that is still to come.

    Raises:
        ValueError: for a damaged run.
    """
    if not (rung / studies.VERDICT).is_file() or not (runs := records.folders(rung)):
        return False
    return all(records.read(run).status in ("finished", "diverged", "failed") for run in runs)


def _is_used(folder: Path) -> bool:
    rungs = folder / RUNGS
    return rungs.is_dir() and any(studies.is_used(rung) for rung in rungs.iterdir())


def _begun(path: Path) -> Study | None:
    return studies.as_begun(path, what="ladder", anew="another name",
                            check=lambda found: from_dict(found.ladder, NAME))


def _changed(begun: Mapping, now: Mapping) -> str:
    old, new = from_dict(begun, NAME), from_dict(now, "what is asked")
    for key in SAME:
        if getattr(old, key) != getattr(new, key):
            before, after = (shown(getattr(each, key)) if getattr(each, key) != "" else "none" for each in (old, new))
            return f"ladder.{key} {before}, and is now asked with {after}"
    sizes = {size.name: size for size in old.sizes}
    for size in new.sizes:
        if size.name in sizes and _what(sizes[size.name]) != _what(size):
            return f"another shape of the size {shown(size.name)} than is now asked"
    return ""


def _what(size: Size) -> Size:
    return replace(size, tokens_per_param=())


def _joined(begun: Mapping, now: Mapping) -> dict:
    """The table with the sizes and budgets of both, those that are asked now last."""
    if set(_rungs(begun)) <= set(_rungs(now)):
        return dict(now)
    old, new = from_dict(begun, NAME), from_dict(now, "what is asked")
    budgets: dict[str, tuple[Size, tuple[float, ...]]] = {}
    for ladder in (old, new):
        for size in ladder.sizes:
            own = budgets.get(size.name, (size, ()))[1]
            budgets[size.name] = size, tuple(dict.fromkeys(own + ladder.budgets(size)))
    tables = [{"name": size.name, **({"size": size.known} if size.known else {}), **dict(size.shape),
               "tokens_per_param": list(ratios), **({"settings": dict(size.settings)} if size.settings else {})}
              for size, ratios in budgets.values()]
    return {**now, "sizes": tables}


def _rungs(table: Mapping) -> list[tuple[str, float]]:
    ladder: Ladder = from_dict(table, NAME)
    return [(size.name, ratio) for size in ladder.sizes for ratio in ladder.budgets(size)]
