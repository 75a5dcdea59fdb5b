"""What an arm's trials say: the setting that is chosen, how sure that is, and what a worse one would lose."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from losslab.config import ExperimentConfig

BOOTSTRAPS = 1_000
RATE = "train.learning_rate"


@dataclass(frozen=True)
class Trial:
    """One setting that was tried for one arm, however many runs it took."""

    settings: Mapping[str, object]
    status: str
    """`finished`, `diverged` (a result: it is worse than any that finished) or `failed`."""
    tune_nll: float | None
    """Plain cross-entropy on `tune` in nats/token, the mean over its runs; None where one did not finish."""
    seeds: tuple[int, ...]
    runs: tuple[str, ...]
    """The folders of its runs."""
    documents: tuple[np.ndarray, np.ndarray] | None = field(default=None, compare=False, repr=False)
    """Nats (added up over its runs) and tokens of each document of `tune`."""

    @property
    def value(self) -> float:
        return math.inf if self.tune_nll is None else self.tune_nll

    def to_dict(self) -> dict:
        return {"settings": dict(self.settings), "status": self.status, "tune_nll": self.tune_nll,
                "seeds": list(self.seeds), "runs": list(self.runs)}


@dataclass(frozen=True)
class Tuned:
    """An arm after tuning."""

    config: ExperimentConfig
    """With the chosen settings."""
    settings: dict[str, object]
    """Dotted name -> chosen value."""
    trials: tuple[Trial, ...]
    edge: bool
    """Whether the chosen value is the lowest or highest that was tried, so that a better one may lie beyond."""
    chosen_again: float | None
    """The share of 1,000 bootstraps of the tune documents in which the same setting wins."""
    sensitivity: dict[str, float | str | None]
    """Factor -> what is lost, in nats/token, with a learning rate that is so far off; None where none was tried, and
    `diverged` where training does."""
    method: str

    def to_dict(self) -> dict:
        return {"tuned": self.settings, "trials": [trial.to_dict() for trial in self.trials],
                "tuning": {"method": self.method, "edge": self.edge, "chosen_again": self.chosen_again,
                           "sensitivity": self.sensitivity, "importance": importance(self.trials)}}


def chosen(name: str, trials: Sequence[Trial]) -> Trial:
    """The trial with the lowest nll on `tune`; of equal ones the first.

    Raises:
        ValueError: where none finished.
    """
    best = min(trials, key=lambda trial: trial.value)
    if best.tune_nll is None:
        statuses = ", ".join(sorted({trial.status for trial in trials}))
        raise ValueError(f"no trial of {name} finished ({statuses}); give a space with smaller learning rates, or see "
                         f"`losslab runs show {best.runs[0]}`")
    return best


def is_edge(best: Trial, trials: Sequence[Trial]) -> bool:
    """Whether a searched number of the best trial is the lowest or highest that was tried."""
    for key, value in best.settings.items():
        tried = sorted({trial.settings[key] for trial in trials if _is_number(trial.settings.get(key))})
        if _is_number(value) and len(tried) > 2 and value in (tried[0], tried[-1]):
            return True
    return False


def chosen_again(best: Trial, trials: Sequence[Trial], seed: int = 0) -> float | None:
    """In how many of 1,000 bootstraps of the tune documents the same setting wins; None where that is not known.

    Every bootstrap draws documents with replacement, the same ones for all settings.
    """
    finished = [trial for trial in trials if trial.documents is not None]
    if best.documents is None or len(finished) < 2 or len({len(trial.documents[0]) for trial in finished}) != 1:
        return None
    nats = np.stack([trial.documents[0] / len(trial.runs) for trial in finished])
    tokens = finished[0].documents[1]
    rng, wins, size = np.random.default_rng(seed), 0, nats.shape[1]
    at = next(number for number, trial in enumerate(finished) if trial is best)
    for _ in range(BOOTSTRAPS):
        counts = np.bincount(rng.integers(size, size=size), minlength=size)
        wins += int(np.argmin(nats @ counts / (tokens @ counts)) == at)
    return wins / BOOTSTRAPS


def sensitivity(trials: Sequence[Trial]) -> dict[str, float | str | None]:
    """What is lost, at most, with the learning rate off by a factor 2 and 4, interpolated on its logarithm.

    Only where the learning rate alone was searched. A factor is None where neither side of it was tried, and `diverged`
    where a rate within it did.
    """
    known = sorted((math.log(trial.settings[RATE]), trial.tune_nll) for trial in trials
                   if trial.settings.keys() == {RATE} and trial.tune_nll is not None)
    if len(known) < 2:
        return {}
    rates, values = map(np.array, zip(*known, strict=True))
    best = int(np.argmin(values))
    wild = [math.log(trial.settings[RATE]) for trial in trials
            if trial.settings.keys() == {RATE} and trial.status == "diverged"]
    found: dict[str, float | str | None] = {}
    for factor in (2, 4):
        if any(abs(rate - rates[best]) <= math.log(factor) + 1e-9 for rate in wild):
            found[str(factor)] = "diverged"
            continue
        sides = [rates[best] + sign * math.log(factor) for sign in (-1, 1)]
        lost = [float(np.interp(side, rates, values) - values[best]) for side in sides
                if rates[0] - 1e-9 <= side <= rates[-1] + 1e-9]
        found[str(factor)] = max(lost, default=None)
    return found


def importance(trials: Sequence[Trial]) -> dict[str, float]:
    """The share of the variance of the trials' ranks that a parabola in the rank of one setting explains, for each.

    Ranks make it free of any scale; a parabola, because an optimum lies between too little and too much. With fewer
    than 6 finished trials a parabola explains too much of anything, and nothing is said; nor where trials ended at
    different horizons, as those of halving do: their nll do not compare.
    """
    finished = [trial for trial in trials if trial.tune_nll is not None]
    if len(finished) < 6 or len({trial.settings.get("train.num_tokens") for trial in finished}) > 1:
        return {}
    y = _ranks([trial.tune_nll for trial in finished])
    found = {}
    for key in finished[0].settings:
        values = [trial.settings[key] for trial in finished]
        if not all(map(_is_number, values)) or len(set(values)) < 3:
            continue
        x = _ranks(values)
        residual = y - np.polyval(np.polyfit(x, y, 2), x)
        found[key] = float(max(0.0, 1 - residual.var() / y.var()))
    return found


def _ranks(values: Sequence[float]) -> np.ndarray:
    from scipy.stats import rankdata

    ranks = rankdata(values)
    return (ranks - ranks.mean()) / len(values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
