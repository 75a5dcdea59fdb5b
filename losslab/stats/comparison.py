"""What a comparison is made of: differences, arms, and the whole."""

from dataclasses import asdict, dataclass

from losslab.stats.looks import Look
from losslab.stats.score import Score
from losslab.words import nearest


@dataclass(frozen=True)
class Difference:
    """Candidate - baseline, paired by seed."""

    value: float
    low: float | None
    """Lower end of the interval of t, not adjusted for other arms: at 1 - level, intersected over the looks, which
    together cover with 1 - alpha. None where there is no spread."""
    high: float | None
    p_value: float | None
    """Two-sided paired t test of the present seeds, on its own."""
    p_holm: float | None
    """After Holm over all arms of the look that the verdict follows."""
    n: int
    """Seeds paired."""
    stderr: float | None
    equivalent: bool
    """Whether two one-sided tests put the true difference within the margin."""
    seeds_needed: int | None
    """Seeds in all that show a true difference of the margin with a power of 0.9: the present ones and more where
    there are looks, else those of a fresh comparison. The uncertainty of the spread, Holm and the level of the next
    look are counted. None where it takes more than 10,000, or nothing is left to spend."""
    seeds_for_observed: int | None
    """The same for a true difference as large as the one observed."""
    detectable: float | None
    """The smallest true difference that as many seeds show with a power of 0.9."""
    identical: bool = False
    """Whether the two values are exactly equal on every seed."""
    shown: bool = False
    """Whether a look showed a difference; what the verdict follows."""
    look: int = 0
    """The look that judged these seeds, from 1; 0 where no looks are counted."""
    shown_at: int | None = None
    """The look that showed the difference."""
    level: float | None = None
    """The error rate that this look spent."""


@dataclass(frozen=True)
class ArmResult:
    """The results of one arm."""

    name: str
    rank: int
    """1 is best; arms with a lost seed come last."""
    seeds: tuple[int, ...]
    diverged: tuple[int, ...]
    """Those of `seeds` whose training diverged: they gave no value, or none that is finite."""
    failed: tuple[int, ...]
    """Those of `seeds` whose run failed."""
    mean: Score | None
    """Over all seeds; None where one was lost, because a mean of survivors flatters."""
    difference: Difference | None
    """None for the baseline, and where this arm or the baseline lost a seed."""
    outcome: str
    """For programs: `baseline`, `better`, `worse`, `equivalent`, `open`, `identical`, `one seed`, `no spread`,
    `diverged`, `failed` (no seed diverged), `baseline diverged` or `baseline failed`."""
    verdict: str

    @property
    def lost(self) -> tuple[int, ...]:
        """The seeds without a value, diverged or failed."""
        return tuple(sorted((*self.diverged, *self.failed)))

    @property
    def status(self) -> str:
        """`finished`, `2 of 5 diverged`, `1 of 5 failed`, or both."""
        parts = [f"{len(seeds)} of {len(self.seeds)} {word}"
                 for seeds, word in ((self.diverged, "diverged"), (self.failed, "failed")) if seeds]
        return ", ".join(parts) or "finished"


@dataclass(frozen=True)
class Terms:
    """What a comparison was asked; `compare` explains each."""

    baseline: str
    margin: float
    alpha: float
    unit: str
    higher_is_better: bool
    looks: int | None
    """How many looks there were, this one included; None where they are not counted."""
    level: float
    """The error rate that the last of them spent; `alpha` where they are not counted."""
    next_level: float
    """What the next look may spend; `alpha` where looks are not counted: then a plan is for a fresh comparison."""


@dataclass(frozen=True)
class PairedComparison(Terms):
    """All arms, best first, and what is to be said about them."""

    arms: tuple[ArmResult, ...]
    baseline_sd: float | None
    """Standard deviation of the baseline over its seeds."""
    noise_band: float | None
    """Half-width in which the baseline itself, run again with as many other seeds, would differ from itself with
    probability 1 - alpha: t * baseline_sd * sqrt(2 / n). Pairing can show differences smaller than this."""
    verdict: str
    note: str
    """What the intervals, p-values and seeds needed are."""
    new_look: Look | None = None
    """The look that judged results which none before had; None where there are none, or looks are not counted."""

    def arm(self, name: str) -> ArmResult:
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise unknown("arm", name, [arm.name for arm in self.arms])

    def to_dict(self) -> dict:
        """Plain values for JSON; the arms with their `status`."""
        return asdict(self) | {"arms": [asdict(arm) | {"status": arm.status} for arm in self.arms]}


def unknown(what: str, name: str, known: list[str]) -> ValueError:
    return ValueError(f"unknown {what} {name!r}, the arms are {', '.join(known) or 'none'}{nearest(name, known)}")
