"""Runs folded by condition: what a list says of the seeds of an arm, how far they are, how long they still take."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from losslab import config as configuration
from losslab import records, stats
from losslab.records import Record
from losslab.records.index import Row
from losslab.serve.catalog import address
from losslab.serve.folder import Folder, spoken
from losslab.serve.logs import Logs, Watched

ORDER = ("running", "waiting", "stopped", "finished", "diverged", "failed", "imported", "unreadable")
RECENT = 20  # lines of a log of which the speed is taken


@dataclass(frozen=True)
class Condition:
    """The runs of one condition in one store."""

    store: Folder
    key: str
    """The digest of the condition; of a run that cannot be read its folder."""
    name: str
    rows: tuple[Row, ...]
    """By seed."""

    @cached_property
    def addresses(self) -> list[str]:
        return [address(self.store, row) for row in self.rows]

    @property
    def place(self) -> str:
        """The store with the condition, which other stores may hold, too."""
        return f"{spoken(self.store)}/{self.key}"

    @cached_property
    def names(self) -> tuple[str, str, str]:
        """What an address may call it."""
        return self.key, self.name, self.place

    @cached_property
    def statuses(self) -> dict[str, int]:
        """Status -> how many runs have it, those at work first."""
        count = Counter(row.status for row in self.rows)
        return {status: count[status] for status in sorted(count, key=ORDER.index)}

    @property
    def tags(self) -> list[str]:
        return sorted({tag for row in self.rows for tag in row.tags})

    @cached_property
    def nll(self) -> stats.Score | None:
        """The mean over the seeds that finished; None where none has."""
        values = [row.nll for row in self.rows if row.status == "finished" and row.nll is not None]
        return stats.mean_score(values, "nats/token") if values else None

    @cached_property
    def is_at_work(self) -> bool:
        return any(row.status == "running" for row in self.rows)


def fold(rows: Iterable[tuple[Folder, Row]]) -> list[Condition]:
    """Conditions in the order in which their first run stands."""
    groups: dict[tuple[str, str], list[Row]] = {}
    stores: dict[str, Folder] = {}
    for store, row in rows:
        stores[store.name] = store
        groups.setdefault((store.name, row.condition or row.path), []).append(row)
    names = _names(row for group in groups.values() for row in group[:1])
    return [Condition(stores[store], key, names.get(key) or row_name(group[0]),
                      tuple(sorted(group, key=lambda row: (row.seed or 0, row.path))))
            for (store, key), group in groups.items()]


def row_name(row: Row) -> str:
    return row.loss or Path(row.path).name


def _names(rows: Iterable[Row]) -> dict[str, str]:
    """Condition -> its name: the formula, with the settings that tell it from others of the same formula."""
    first = {row.condition: row for row in rows if row.condition and not row.problem}
    return records.labels(Record(Path(row.path), {
        "config": {**row.settings, "loss": row.loss, "seed": row.seed or 0}, "condition": row.condition,
        "corpus": {"digest": row.digest}}, {}, {}, row.status) for row in first.values())


# --- how far a run is --------------------------------------------------------------------------

@dataclass(frozen=True)
class Progress:
    """How far a run is, by its log."""

    step: int
    num_steps: int
    tokens: int
    seconds_left: float | None
    """Of training; None while the speed is not known, and once it is trained."""
    tokens_per_second: float | None

    @property
    def share(self) -> float:
        return min(1.0, self.step / self.num_steps) if self.num_steps else 0.0


def progress(lines: Sequence[Mapping], num_steps: int) -> Progress:
    """What the last lines of a log say of its run."""
    if not lines:
        return Progress(0, num_steps, 0, None, None)
    last = lines[-1]
    timed = [line for line in lines[-RECENT:] if isinstance(line.get("seconds"), int | float)]
    first = timed[0] if len(timed) > 1 else {"step": 0, "tokens": 0, "seconds": 0.0}
    took = timed[-1]["seconds"] - first["seconds"] if timed else 0.0
    steps, tokens = last["step"] - first["step"], last["tokens"] - first["tokens"]
    known = took > 0 and steps > 0
    left = (num_steps - last["step"]) * took / steps if known and last["step"] < num_steps else None
    return Progress(last["step"], num_steps, last["tokens"], left, tokens / took if known and tokens > 0 else None)


def num_steps(row: Row) -> int:
    """The steps that a run is to take; 0 where its settings do not say."""
    try:
        return configuration.from_dict(_nested(row.settings) | {"loss": row.loss, "seed": row.seed or 0}).num_steps
    except (ValueError, TypeError, AttributeError, ZeroDivisionError):
        return 0


def watched(row: Row, logs: Logs) -> Watched:
    """The run of a row as far as curves need it."""
    spec = {"config": {"loss": row.loss, "seed": row.seed or 0}, "condition": row.condition}
    return Watched(Path(row.path), spec, {}, {}, row.status, tuple(logs.lines(row.path)))


def _nested(settings: Mapping[str, object]) -> dict:
    found: dict = {}
    for key, value in settings.items():
        section, _, name = key.rpartition(".")
        place = found
        for part in filter(None, section.split(".")):
            place = place.setdefault(part, {})
        place[name] = value
    return found
