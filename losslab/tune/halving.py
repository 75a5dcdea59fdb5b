"""Successive halving: every setting runs with a part of the tokens, and the better half of them with twice as many.

Each run is whole, with its own schedule. A trial is one setting, however many runs it has: its result is that of the
longest one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from losslab.config import ExperimentConfig
from losslab.tune.choice import Trial

HORIZON = "train.num_tokens"  # which a rung sets


def rungs(trials: int) -> list[tuple[int, int]]:
    """How many settings run on each rung, and the whole horizon divided by its own.

    Example:
        >>> rungs(8)
        [(8, 8), (4, 4), (2, 2), (1, 1)]
        >>> rungs(5)
        [(5, 4), (2, 2), (1, 1)]
    """
    counts = [trials]
    while counts[-1] > 1 and len(counts) < 4:
        counts.append(counts[-1] // 2)
    return [(count, 2 ** (len(counts) - 1 - number)) for number, count in enumerate(counts)]


def told(trials: int) -> str:
    """What halving trains, in one sentence.

    Example:
        >>> told(8)
        '8 trials of each arm are 15 runs: 8 with 1/8 of the tokens, 4 with 1/4, 2 with 1/2, 1 with all of them'
    """
    first, *others = rungs(trials)
    parts = [f"{first[0]} with {_share(first[1])} of the tokens" if others else f"{first[0]} with all tokens"]
    parts += [f"{count} with {_share(divisor)}" for count, divisor in others]
    return (f"{trials} trials of each arm are {sum(count for count, _ in rungs(trials))} runs: {', '.join(parts)}"
            f"{' of them' if others else ''}")


def _share(divisor: int) -> str:
    return "all" if divisor == 1 else f"1/{divisor}"


def rung(config: ExperimentConfig, points: Sequence[dict], runs: Sequence[Trial]) -> list[dict]:
    """The settings of the next rung, each with its horizon; none after the last.

    Args:
        config: the arm.
        points: the settings of its trials.
        runs: what ran so far, rung by rung.
    """
    done, alive = 0, list(range(len(points)))
    for count, divisor in rungs(len(points)):
        if len(runs) == done:
            horizon = {HORIZON: config.num_tokens // divisor}
            return [{**points[number], **horizon} for number in alive[:count]]
        alive, done = _ranked(alive, runs[done : done + count]), done + count
    return []


def merged(runs: Sequence[Trial], trials: int) -> list[Trial]:
    """One trial for each setting: the result of its longest run, and the folders of all."""
    found: dict[int, Trial] = {}
    done, alive = 0, list(range(trials))
    for count, _ in rungs(trials):
        ended = runs[done : done + count]
        for number, trial in zip(alive, ended, strict=False):
            before = found[number].runs if number in found else ()
            found[number] = replace(trial, runs=(*before, *trial.runs))
        alive, done = _ranked(alive, ended), done + count
    return [found[number] for number in sorted(found)]


def without_horizon(settings: Mapping[str, object]) -> dict:
    return {key: value for key, value in settings.items() if key != HORIZON}


def _ranked(alive: Sequence[int], ended: Sequence[Trial]) -> list[int]:
    return [number for number, _ in sorted(zip(alive, ended, strict=False), key=lambda each: each[1].value)]
