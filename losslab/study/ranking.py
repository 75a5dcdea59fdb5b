"""How a finished study ranks its arms: the best of them as a study of its own, and agreement with another study."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

from losslab import records
from losslab.config.numbers import shown
from losslab.stats.agreement import agreement
from losslab.study import folder as folders
from losslab.study.definition import Study

SEEDS = 4  # of a study that is made of the best


class Ranking(NamedTuple):
    """The arms of a study that was compared."""

    name: str
    baseline: str
    nll: Mapping[str, float]
    """Name of an arm -> its mean nll in nats/token, best first."""
    lost: tuple[str, ...]
    """The arms without a mean, since a seed diverged or failed."""


def ranking(folder: str | Path) -> Ranking:
    """How the last verdict of a study ranks its arms.

    Raises:
        ValueError: for a folder without the verdict of a study, or a damaged one.
    """
    path = Path(folder) / folders.VERDICT
    try:
        found = records.files.parse(records.files.read_bytes(path))
        values = {str(arm["name"]): (arm["scores"].get(found["measure"]) or {}).get("value")
                  for arm in [*found["arms"], *found["others"]]}
        known = {name: float(value) for name, value in values.items() if value is not None}
        lost = tuple(name for name in values if name not in known)
        ranked = dict(sorted(known.items(), key=lambda pair: pair[1]))
        return Ranking(str(found["name"]), str(found["baseline"]), ranked, lost)
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"{folder} has no {folders.VERDICT}; give the folder of a study that was run, such as "
                         "runs/NAME") from None
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{path} is not the verdict of a study ({error}); `losslab compare {folder}/{folders.NAME} "
                         f"--store {folder}` writes it again") from None


def best(folder: str | Path, count: int) -> Study:
    """The best arms of a study, its baseline and its worst arm, to be run again under other settings.

    Args:
        folder: of a study that was compared.
        count: how many of the best, besides the baseline.

    Returns:
        a study named NAME-best with four seeds, one look and the same tuning; without scales and published figures.

    Raises:
        ValueError: for a folder that is none, or fewer than 1 or more arms than it has.
    """
    ranked, begun = ranking(folder), folders.kept(folder)
    others = [name for name in ranked.nll if name != ranked.baseline]
    if not 1 <= count <= len(others):
        raise ValueError(f"--best takes how many of the {len(others)} arms of {folder} that have a mean, besides the "
                         f"baseline, are run again; got {count}")
    kept = {*others[:count], others[-1], ranked.baseline}
    if gone := [name for name in kept if name not in begun.configs]:
        raise ValueError(f"the verdict of {folder} has the arm {shown(gone[0])} and its {folders.NAME} does not; "
                         f"`losslab compare {folder}/{folders.NAME} --store {folder}` writes the verdict again")
    arms = tuple(arm for name, arm in zip(begun.configs, begun.arms, strict=True) if name in kept)
    return replace(begun, arms=arms, name=f"{begun.name[:75]}-best", baseline=ranked.baseline,
                   seeds=tuple(range(SEEDS)), race=(), final=False, scales={}, published={})


def agree(first: str | Path, second: str | Path) -> dict:
    """Whether two studies rank the arms that both have alike, JSON-able.

    Returns:
        `studies`, `arms` (name, and `nll` and `rank` in each study, best in the first one first), `left_out` (names
        that only one of them has, or that lost a seed in one), and what `stats.agreement` finds.

    Raises:
        ValueError: for folders that are no studies, or studies with fewer than 3 arms in common.
    """
    one, two = ranking(first), ranking(second)
    common = [name for name in one.nll if name in two.nll]
    if len(common) < 3:
        raise ValueError(f"{first} and {second} share too few arms that finished, {len(common)}; rank agreement takes "
                         "3 or more of the same name")
    after = sorted(common, key=two.nll.__getitem__)
    every = dict.fromkeys([*one.nll, *one.lost, *two.nll, *two.lost])
    return {
        "studies": [one.name or str(first), two.name or str(second)],
        "arms": [{"name": name, "nll": [one.nll[name], two.nll[name]], "rank": [rank, after.index(name) + 1]}
                 for rank, name in enumerate(common, 1)],
        "left_out": [name for name in every if name not in common],
        **asdict(agreement([one.nll[name] for name in common], [two.nll[name] for name in common])),
    }
