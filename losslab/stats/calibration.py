"""The error rates of the verdict itself: many studies whose truth is known, judged as a study is judged."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from losslab.stats.comparison import PairedComparison
from losslab.stats.looks import Look
from losslab.stats.more_seeds import seeds_in_all
from losslab.stats.paired import compare
from losslab.stats.race import open_arms

RULES = ("look", "advice", "race")
SHAPES = ("normal", "heavy", "skewed")
POWER_TOLD = 0.9

Draw = Callable[[np.random.Generator, int], np.ndarray]  # (generator, seeds) -> [arms, seeds] values without any effect


@dataclass(frozen=True)
class Design:
    """How each study is run."""

    arms: int = 2
    """The baseline among them."""
    seeds: int = 5
    """Of the first look."""
    rule: str = "look"
    """`look`: one look. `advice`: where a difference is open, the printed number of seeds for the observed
    difference is added once. `race`: looks at seeds, twice and four times as many; settled arms stop."""
    margin: float = 0.002

    def __post_init__(self):
        if self.arms < 2 or self.seeds < 2:
            raise ValueError(f"a study needs at least 2 arms and 2 seeds, got {self.arms} and {self.seeds}")
        if self.rule not in RULES:
            raise ValueError(f"unknown rule {self.rule!r}, the rules are {', '.join(RULES)}")

    @property
    def most_seeds(self) -> int:
        """In an arm, where nothing else bounds them."""
        return {"look": self.seeds, "advice": 400, "race": 4 * self.seeds}[self.rule]


def simulated(arms: int, sd: float, correlation: float = 0.0, shape: str = "normal") -> Draw:
    """Arms without any difference, whose values on one seed are correlated.

    Args:
        arms: how many.
        sd: standard deviation of an arm over seeds.
        correlation: of two arms on the same seed, from 0 to 1.
        shape: of the distribution: `normal`, `heavy` (Student's t with 3 degrees of freedom) or `skewed` (exponential).
    """
    if not (0 <= correlation < 1 and sd > 0 and shape in SHAPES):
        raise ValueError(f"a simulation takes sd above 0, correlation from 0 to below 1 and a shape of "
                         f"{', '.join(SHAPES)}, got {sd}, {correlation} and {shape!r}")

    def unit(rng: np.random.Generator, size) -> np.ndarray:
        if shape == "heavy":
            return rng.standard_t(3, size) / math.sqrt(3)
        return rng.standard_exponential(size) - 1 if shape == "skewed" else rng.standard_normal(size)

    def draw(rng: np.random.Generator, seeds: int) -> np.ndarray:
        shared, own = unit(rng, (1, seeds)), unit(rng, (arms, seeds))
        return sd * (math.sqrt(correlation) * shared + math.sqrt(1 - correlation) * own)

    return draw


def resampled(values: Sequence[float], arms: int) -> Draw:
    """Arms without any difference, of recorded runs of one condition; no run is taken twice in a study."""
    values = np.asarray(values, dtype=float)

    def draw(rng: np.random.Generator, seeds: int) -> np.ndarray:
        each = min(seeds, len(values) // arms)
        return rng.permutation(values)[: arms * each].reshape(arms, each)

    return draw


def calibrate(draw: Draw, design: Design, *, studies: int, effect: float = 0.0, seed: int = 0,
              progress: Callable[[int, int], None] = lambda done, total: None) -> dict:
    """Judge many studies, and count how often the verdict errs.

    Args:
        draw: values of arms that do not differ.
        design: of each study.
        studies: how many of each kind.
        effect: the true difference of one arm in the studies that measure power, in the unit of the values.
        seed: of all draws.

    Returns:
        `false_verdicts` (no arm differs: studies in which one is called better or worse), `coverage` (the printed
        intervals that hold the true difference 0), `false_equivalent` (every arm differs by the margin: studies in
        which one is called equivalent), `power` (one arm differs by `effect`: studies that show it), and `seeds_run`
        (mean number of seeds of that arm); each with `value`, `low`, `high` (95 %) and `n`.
    """
    rng = np.random.default_rng(seed)
    false = equivalent = shown = covered = intervals = 0
    used = []
    for done in range(studies):
        found = study(draw(rng, design.most_seeds), design)
        false += any(arm.outcome in ("better", "worse") for arm in found.arms)
        known = [arm.difference for arm in found.arms if arm.difference and arm.difference.low is not None]
        covered, intervals = covered + sum(d.low <= 0 <= d.high for d in known), intervals + len(known)
        values = draw(rng, design.most_seeds)
        values[1:] += design.margin
        equivalent += any(arm.outcome == "equivalent" for arm in study(values, design).arms)
        if effect:
            values = draw(rng, design.most_seeds)
            values[1] += effect
            arm = study(values, design).arm("arm 1")
            shown += arm.outcome == ("worse" if effect > 0 else "better")
            used.append(len(arm.seeds))
        progress(done + 1, studies)
    found = {"false_verdicts": rate(false, studies), "coverage": rate(covered, intervals),
             "false_equivalent": rate(equivalent, studies), "power": rate(shown, studies) if effect else None}
    return found | {"seeds_run": float(np.mean(used)) if used else None}


def study(values: np.ndarray, design: Design) -> PairedComparison:
    """One study over drawn values `[arms, seeds]`, judged look by look."""
    names = [f"arm {i}" for i in range(len(values))]
    taken = dict.fromkeys(names, min(design.seeds, values.shape[1]))
    looks: list[Look] = []

    def judge(planned: int = 0) -> PairedComparison:
        arms = {name: dict(enumerate(row[: taken[name]])) for name, row in zip(names, values, strict=True)}
        found = compare(arms, names[0], margin=design.margin, looks=looks, planned=planned, plan=False)
        if found.new_look:
            looks.append(found.new_look)
        return found

    found = judge(3 if design.rule == "race" else 0)
    if design.rule == "advice" and (more := _advised(found, values, taken[names[0]])):
        for name in names:
            taken[name] = more
        found = judge()
    for left in (2, 1) if design.rule == "race" else ():
        going = open_arms(found)
        if not going:
            break
        for name in [names[0], *going]:
            taken[name] = min(2 * taken[names[0]] if name == names[0] else taken[names[0]], values.shape[1])
        found = judge(left)
    return found


def _advised(found: PairedComparison, values: np.ndarray, n: int) -> int | None:
    """Seeds in all that the verdict advises for the most promising open difference, as many as there are."""
    going = [arm for arm in found.arms if arm.outcome == "open"]
    if not going or n >= values.shape[1]:
        return None
    arm = min(going, key=lambda arm: arm.difference.p_value)
    d = values[int(arm.name.split()[1]), :n] - values[0, :n]
    wanted = seeds_in_all(d, abs(arm.difference.value), found.next_level / len(going), power=POWER_TOLD, signed=True)
    return min(wanted or values.shape[1], values.shape[1])


def rate(hits: int, n: int) -> dict:
    """A proportion with its 95 % interval (Clopper and Pearson, exact)."""
    from scipy.special import betaincinv

    low = float(betaincinv(hits, n - hits + 1, 0.025)) if hits else 0.0
    high = float(betaincinv(hits + 1, n - hits, 0.975)) if hits < n else 1.0
    return {"value": hits / n, "low": low, "high": high, "n": n}
