"""Whether an arm, or any arm at some learning rate, learned more than how often each token occurs."""

import math
from collections.abc import Mapping, Sequence

from losslab.comparison import measured
from losslab.comparison.arms import Arm
from losslab.records import Record

RATE = "train.learning_rate"
MOST_NAMED = 6  # in one sentence


def level(runs: Sequence[Record]) -> float | None:
    """The nll of a model that knows nothing but how often each token occurs; of older runs ln V, that of guessing."""
    found = [measured.figure(run.result.get("unigram_nll")) for run in runs]
    sizes = [measured.figure(run.spec["corpus"].get("vocab_size")) for run in runs]
    sizes = [math.log(size) for size in sizes if size and size > 1]
    return next((value for value in found if value is not None), min(sizes, default=None))


def learned(arm: Arm) -> bool | None:
    """Whether its nll, or that after a temperature was fitted, is below the level; None where that is not known.

    Some losses define no probabilities, so that nll alone would be unfair to them.
    """
    least, own = level(arm.runs), arm.finished
    values = [measured.mean([measured.score(run, name) for run in own]) for name in _names(own)]
    values = [value for value in values if value is not None]
    return None if least is None or not values else min(values) < least


def _names(runs: Sequence[Record]) -> list[str]:
    names = dict.fromkeys(name for run in runs for name in run.scores)
    return [name for name in names if name == "nll" or name.startswith(("nll_stride", "nll_calibrated"))]


def told(arms: Sequence[Arm], tuned: Mapping[str, Mapping]) -> list[str]:
    """Sentences on the arms that did not learn, and on the rates at which none did."""
    levels = [each for each in (level(arm.runs) for arm in arms) if each is not None]
    if not levels:
        return []
    names = [arm.name for arm in arms if learned(arm) is False]
    listed = names if len(names) <= MOST_NAMED else [*names[: MOST_NAMED - 1], f"{len(names) - MOST_NAMED + 1} others"]
    said = [f"{', '.join(listed)} did not learn: nll is not below {max(levels):.3f}, what it takes to know how often "
            "each token occurs"] if names else []
    trials = [(arm, trial) for arm, found in tuned.items() for trial in found["trials"] if RATE in trial["settings"]]
    rates = sorted({trial["settings"][RATE] for _, trial in trials})
    for rate in rates:
        here = [(arm, trial["tune_nll"]) for arm, trial in trials if trial["settings"][RATE] == rate]
        at, tried = [value for _, value in here], len({arm for arm, _ in here})
        if all(value is None or value >= max(levels) for value in at):
            diverged = f", and {at.count(None)} of {len(at)} trials ended without one" if None in at else ""
            some = f"none of the {tried} arms that tried it learned" if tried > 1 else (
                "the arm that tried it did not learn")
            who = "no arm learned" if tried == len(tuned) else some
            said.append(f"at learning rate {rate:g} {who}: no nll on tune is below {max(levels):.3f}, what it "
                        f"takes to know how often each token occurs{diverged}")
    return said
