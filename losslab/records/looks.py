"""The ledger of a store: which looks at its runs there were, what each spent of the error rate, and what it found.

It stands in `STORE/looks.json`, apart for each baseline and score. Its family is every arm that was ever judged
there; an arm with other settings has another condition, and is another arm. A store that is
copied or deleted loses its ledger.
"""

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from losslab.records import files
from losslab.records.record import Record
from losslab.stats.looks import Judged, Look, next_level
from losslab.untrusted import is_number

NAME = "looks.json"
FORMAT = 2  # 1 had conditions and seeds alone
ALPHA = 0.05

Names = Mapping[str, str]  # the condition of a run under an earlier losslab -> its condition now


def looks(store: str | Path, runs: Iterable[Record], baseline: str, score: str) -> list[Look]:
    """The looks at the arms of a store, oldest first; their arms are conditions.

    Args:
        store: the folder of runs.
        runs: those that are compared now, by which the conditions of an earlier losslab are known.
        baseline: the condition that others were compared with.
        score: what was compared, such as `nll`.

    Raises:
        ValueError: for a ledger that is not as it was written: without it no error rate can be kept.
    """
    now = _renamed(runs)
    ledgers, earlier = _read(Path(store) / NAME)
    if own := _own(ledgers, now, baseline, score):
        return [_look(row, now) for row in own["looks"]]
    return _converted(earlier, now, baseline) if score == "nll" else []


def note_look(store: str | Path, runs: Iterable[Record], baseline: str, score: str, look: Look) -> None:
    """Write a look into the ledger.

    Raises:
        OSError: if the store cannot be written.
        ValueError: for a damaged ledger.
    """
    runs, path = list(runs), Path(store) / NAME
    rows = [_row(each) for each in looks(store, runs, baseline, score)]
    ledgers, earlier = _read(path)
    own = _own(ledgers, _renamed(runs), baseline, score)
    if own is None:
        own = {"baseline": baseline, "score": score, "looks": rows}
        ledgers.append(own)
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    own["looks"] = [*own["looks"], {"at": at} | _row(look)]
    files.write_sealed(path, {"format": FORMAT, "ledgers": ledgers, "looks": earlier})


def _renamed(runs: Iterable[Record]) -> Names:
    return {run.spec["earlier"]: run.condition for run in runs if isinstance(run.spec.get("earlier"), str)}


def _own(ledgers: Sequence[dict], now: Names, baseline: str, score: str) -> dict | None:
    """The ledger of a baseline and a score."""
    return next((ledger for ledger in ledgers
                 if (now.get(ledger["baseline"], ledger["baseline"]), ledger["score"]) == (baseline, score)), None)


def _row(look: Look) -> dict:
    return {"level": look.level, "arms": {name: _plain(judged) for name, judged in look.arms.items()}}


def _plain(judged: Judged) -> dict:
    """Fields as JSON has them: an interval that is not known has no ends."""
    return {key: None if isinstance(value, float) and math.isinf(value) else value
            for key, value in asdict(judged).items()}


def _look(row: dict, now: Names) -> Look:
    arms = {}
    for name, found in row["arms"].items():
        ends = {"low": -math.inf, "high": math.inf} if found["low"] is None else {}
        arms[now.get(name, name)] = Judged(**(found | ends | {"seeds": tuple(found["seeds"])}))
    return Look(row["level"], arms)


def _converted(rows: Sequence[dict], now: Names, baseline: str) -> list[Look]:
    """Looks that an earlier losslab noted; they count as having spent what the rule of today lets them."""
    found: list[Look] = []
    for row in rows:
        conditions = [now.get(name, name) for name in row["conditions"]]
        if baseline in conditions and len(row["seeds"]) > 1:
            judged = Judged(tuple(row["seeds"]), "", 1.0, -math.inf, math.inf, shown=False, within=None)
            arms = {name: judged for name in conditions if name != baseline}
            found.append(Look(next_level([look.level for look in found], ALPHA), arms))
    return found


# --- reading -----------------------------------------------------------------------------------

def _read(path: Path) -> tuple[list[dict], list[dict]]:
    """The ledgers, and the looks that an earlier losslab noted."""
    try:
        found = files.read_sealed(path, FORMAT)
    except FileNotFoundError:
        return [], []
    ledgers, earlier = found.get("ledgers", []), found.get("looks", [])
    if not (isinstance(ledgers, list) and all(map(_is_ledger, ledgers))):
        raise files.damaged(path, "its ledgers are not what a ledger holds")
    if not (isinstance(earlier, list) and all(map(_is_earlier, earlier))):
        raise files.damaged(path, "its looks are not what a look holds")
    return ledgers, earlier


def _is_ledger(row: object) -> bool:
    if not (isinstance(row, dict) and isinstance(row.get("baseline"), str) and isinstance(row.get("score"), str)):
        return False
    rows = row.get("looks")
    return (isinstance(rows, list) and all(map(_is_look, rows))
            and math.fsum(each["level"] for each in rows) <= ALPHA * (1 + 1e-9))


def _is_look(row: object) -> bool:
    arms = row.get("arms") if isinstance(row, dict) else None
    return (isinstance(arms, dict) and all(map(_is_judged, arms.values())) and is_number(row.get("level"))
            and 0 < row["level"] <= ALPHA)


def _is_judged(judged: object) -> bool:
    if not isinstance(judged, dict) or judged.keys() != Judged.__dataclass_fields__.keys():
        return False
    low, high, within = judged["low"], judged["high"], judged["within"]
    known = is_number(low) and is_number(high) and low <= high or low is None and high is None
    return (known and _are_seeds(judged["seeds"]) and isinstance(judged["results"], str)
            and isinstance(judged["shown"], bool) and is_number(judged["p_holm"])
            and 0 <= judged["p_holm"] <= 1 and (within is None or is_number(within) and within > 0))


def _is_earlier(row: object) -> bool:
    conditions = row.get("conditions") if isinstance(row, dict) else None
    return isinstance(conditions, list) and all(isinstance(name, str) for name in conditions) and \
        _are_seeds(row.get("seeds"))


def _are_seeds(seeds: object) -> bool:
    return isinstance(seeds, list) and all(type(seed) is int for seed in seeds)
