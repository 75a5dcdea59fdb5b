"""One condition over its seeds: its runs, what was measured over them, and what became of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from losslab import records
from losslab.comparison import fine_tuned, measured
from losslab.config import flatten
from losslab.records import Record
from losslab.stats import ArmResult, Difference

COSTS = ("tokens_per_second", "peak_memory_bytes", "train_seconds", "loss_seconds", "cross_entropy_seconds",
         "loss_cost_ratio")
STATUSES = ("diverged", "failed", "stopped", "running", "waiting", "finished")  # the first that a run has is the arm's


@dataclass(frozen=True)
class Arm:
    """An arm of a comparison.

    What is measured over seeds is a dictionary of `value`, `stderr`, `n` and `unit`, as `Score.to_dict` gives it; its
    value is None where a seed has none.
    """

    name: str
    runs: tuple[Record, ...]
    """By seed, with the status that counts: see `comparing.compare`."""
    differs: Mapping[str, object]
    """The settings that not all arms share, with the values that this one has."""
    nll: ArmResult | None
    """The statistics of its nll; None where it is not compared."""
    bits_per_byte: ArmResult | None

    @property
    def loss(self) -> str:
        return self.runs[0].loss

    @property
    def condition(self) -> str:
        return self.runs[0].condition

    @property
    def seeds(self) -> list[int]:
        return [run.seed for run in self.runs]

    @property
    def finished(self) -> list[Record]:
        return [run for run in self.runs if run.status == "finished"]

    @property
    def difference(self) -> Difference | None:
        """Of the nll from that of the baseline, in nats per token."""
        return self.nll.difference if self.nll else None

    @property
    def status(self) -> str:
        """`finished`, `2 of 5 diverged`; of an arm that is not compared the gravest status of its runs."""
        found = {run.status for run in self.runs}
        return self.nll.status if self.nll else next(status for status in STATUSES if status in found)

    @property
    def outcome(self) -> str:
        """`ArmResult.outcome`, or `not compared`."""
        return self.nll.outcome if self.nll else "not compared"

    @property
    def verdict(self) -> str:
        return self.nll.verdict if self.nll else f"{self.name} is not compared"

    @cached_property
    def scores(self) -> dict[str, dict]:
        """Means over seeds; empty where a seed was lost, because a mean of those that are left would flatter."""
        if any(run.status in ("diverged", "failed") for run in self.runs):
            return {}
        units = {name: str(score.get("unit", "")) for run in self.finished for name, score in run.scores.items()
                 if isinstance(score, Mapping)}
        return {name: measured.over_seeds([measured.score(run, name) for run in self.finished], unit)
                for name, unit in units.items()}

    @property
    def cost(self) -> dict[str, float | None]:
        """Medians over the seeds that finished."""
        return {key: measured.median([measured.cost(run, key) for run in self.finished]) for key in COSTS}

    @property
    def train_nll(self) -> float | None:
        """Cross-entropy of the training batches of the last tenth of the run, the mean over seeds."""
        return measured.mean([_late(run, "train/nll") for run in self.finished])

    @property
    def tokens(self) -> int:
        """Training tokens of the run that had most."""
        return max((measured.figure(run.result.get("tokens")) or 0 for run in self.runs), default=0)

    @property
    def temperature(self) -> float | None:
        """The mean of the fitted temperatures."""
        return measured.mean([measured.figure(run.result.get("temperature")) for run in self.finished])

    @property
    def document_perplexity(self) -> dict[str, float | None]:
        """Quantile -> perplexity of a document, the mean over seeds."""
        found = [run.result["document_perplexity"] for run in self.finished if run.result.get("document_perplexity")]
        return {q: measured.mean([run.get(q) for run in found]) for q in found[0]} if found else {}

    @property
    def fine_tuning(self) -> list[dict]:
        """Scores before and after, where runs started from weights: see `fine_tuned.rows`."""
        return fine_tuned.rows(self.finished)

    @property
    def distance_to_floor(self) -> dict | None:
        """Bits per byte above the entropy of the corpus, ends included on both sides; None where it is not known."""
        distances = [_above_floor(run) for run in self.finished]
        return measured.over_seeds(distances, "bits/byte") if distances and None not in distances else None


def _late(run: Record, key: str) -> float | None:
    """The mean of a logged number over the last tenth of the tokens."""
    points = [(tokens, measured.figure(value)) for tokens, value in run.curve(key)]
    last = max((tokens for tokens, _ in points), default=0)
    return measured.mean([value for tokens, value in points if tokens > 0.9 * last])


def _above_floor(run: Record) -> float | None:
    floor = measured.known_floor(run)
    value = measured.score(run, records.score_name([run], "bits_per_byte_with_eot"))
    return None if floor is None or value is None else value - floor


def differing(arms: Mapping[str, Sequence[Record]]) -> tuple[dict, dict[str, dict]]:
    """The settings that all arms share, and for each arm those in which it has its own."""
    flat = {name: flatten(runs[0].spec["config"]) for name, runs in arms.items()}
    keys = dict.fromkeys(key for settings in flat.values() for key in settings if key not in ("loss", "seed"))
    shared, own = {}, {name: {} for name in arms}
    for key in keys:
        values = [settings.get(key) for settings in flat.values()]
        if all(value == values[0] for value in values):
            shared[key] = values[0]
        else:
            for name, settings in flat.items():
                own[name][key] = settings.get(key)
    return shared, own
