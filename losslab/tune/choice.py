"""What an arm's trials say: the setting that is chosen, how sure that is, and what a worse one would lose."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from losslab.config import ExperimentConfig

BOOTSTRAPS = 1_000
RATE = "train.learning_rate"
GAP = math.log(4)  # between two rates; what lies between those that are further apart is not known
CLOSE = 1e-9  # of logarithms


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
    """Factor -> what is lost, in nats/token, with a learning rate that is so far off; see `sensitivity`."""
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
    """What is lost, at most, with any learning rate within a factor 2 and 4 of the best, in nats/token.

    Of several settings, those trials count that differ from the best in the learning rate alone. Between two rates that
    both finished and are at most a factor 4 apart, what is lost is taken to be straight over the logarithm; nothing is
    said across a rate that diverged, a wider gap, or beyond the last rate that was tried.

    Returns:
        factor -> a number; or `more than X`, where on a side no rate was tried so far off, and X is lost at one that
        was; or `diverged`, where a rate within the factor did; or None, where nothing is known. Empty, where no other
        learning rate was tried.
    """
    finished = [trial for trial in trials if trial.tune_nll is not None and RATE in trial.settings]
    if not finished:
        return {}
    best = min(finished, key=lambda trial: trial.tune_nll)
    others = {**best.settings, RATE: None}
    lost = {math.log(trial.settings[RATE] / best.settings[RATE]): trial.value - best.value for trial in trials
            if {**trial.settings, RATE: None} == others and trial.status in ("finished", "diverged")}
    if len(lost) < 2:
        return {}
    return {str(factor): _lost_within(math.log(factor), lost) for factor in (2, 4)}


def _lost_within(reach: float, lost: Mapping[float, float]) -> float | str | None:
    """What is lost within `reach` of 0, from what is lost at some distances; infinite where training diverged."""
    within = [value for distance, value in lost.items() if abs(distance) <= reach + CLOSE]
    if math.inf in within:
        return "diverged"
    ends = [_lost_at(reach, {sign * distance: value for distance, value in lost.items()}) for sign in (-1, 1)]
    most = max(value for value in (*within, *ends) if value is not None)
    if None not in ends:
        return most
    return f"more than {most:.3f}" if most > 0 else None


def _lost_at(distance: float, lost: Mapping[float, float]) -> float | None:
    """What is lost at one distance; None where it is not between two that finished, no more than `GAP` apart."""
    below = max(each for each in lost if each <= distance + CLOSE)  # 0 is one of them
    if below >= distance - CLOSE:
        return lost[below]
    above = min((each for each in lost if each > distance), default=math.inf)
    if above - below > GAP + CLOSE or math.inf in (lost[above], lost[below]):
        return None
    return lost[below] + (distance - below) / (above - below) * (lost[above] - lost[below])


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
    """Ranks around 0; equal values share the mean of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return (ranks - ranks.mean()) / len(values)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
