"""A study from what somebody asks: losses by name, or the file of a study with other values laid over it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from losslab import formula, lossfile
from losslab.config import laid_over
from losslab.study import checks
from losslab.study.definition import Arm, Study
from losslab.study.file import read
from losslab.study.ranking import best as best_of


def of_losses(losses: Sequence[str], *, arms: Sequence[Arm] = (), values: Mapping[str, object] = {},
              settings: Mapping[str, object] = {}) -> Study:
    """The study of these losses, of size `tiny` unless the values say otherwise.

    Args:
        losses: formulas and paths of loss files.
        arms: more arms, behind them.
        values: fields of a `Study`.
        settings: dotted setting -> value, for all arms.

    Raises:
        ValueError: for what no study can be.
    """
    named = {"preset", "size", "recipe", "data"} & values.keys()
    told = {**({} if named else {"preset": "tiny"}), **values}
    if "race" in told and "seeds" not in told:
        told["seeds"] = tuple(range(told["race"][-1]))
    return Study(arms=(*map(Arm, losses), *arms), settings=checks.plain(settings), **told)


def of_file(path: str, *, arms: Sequence[Arm] = (), values: Mapping[str, object] = {},
            settings: Mapping[str, object] = {}, best: int | None = None) -> Study:
    """The study in a file, with other values laid over what it says.

    Args:
        path: of a study file; with `best`, of the folder of a study that was run.
        arms: more arms, behind those of the file. Their loss files may run: the user names them.
        values: fields of a `Study`, in the place of the file's.
        settings: dotted setting -> value, for all arms, over the file's.
        best: how many arms of the study that was run, besides the baseline and the worst.

    Raises:
        ValueError: for what no study can be.
        OSError: for a file that is not there.
    """
    begun, told = read(path) if best is None else best_of(path, best), dict(values)
    if not begun.name and "name" not in told:
        told["name"] = checks.name_of(Path(path))
    if parts := {key: told.pop(key) for key in ("preset", "size", "recipe") if key in told}:
        own = {key: getattr(begun, key) for key in ("preset", "size", "recipe", "data")}
        told |= dict.fromkeys(own, "") | laid_over(own, **parts)
    for arm in arms:
        lossfile.allow((source.sha256, source.path) for source in lossfile.sources(formula.parse(arm.loss)))
    replaced = [f"data.{name}" for name in ("corpus", "tokenizer") if name in told]  # in the settings of the file
    kept = {key: value for key, value in begun.settings.items() if key not in replaced}
    return replace(begun, arms=(*begun.arms, *arms), settings=checks.laid(kept, checks.plain(settings)), **told)
