"""The board of a challenge: a row for each submission and baseline, and what is computed of them."""

import re
import time
from collections.abc import Iterable
from pathlib import Path

import losslab
from losslab import stats
from losslab.arena import editing, ladder, refereeing, scoring
from losslab.arena.home import Board
from losslab.arena.refereeing import Entry
from losslab.arena.rows import not_a_row
from losslab.records import files
from losslab.stats.inference import holm, paired_p

FORMAT = 1
ALPHA = 0.05
NOTHING = {"value": 0.0, "low": 0.0, "high": 0.0, "n": 0, "unit": "nats/token"}


# --- rows as they are kept ---------------------------------------------------------------------

def row(name: str, entry: Entry, runs: dict[int, dict], *, kind: str = "submission", text: str = "",
        visible: dict | None = None, sha256: str = "", searched: int = 0) -> dict:
    """What is kept of an entry on the hidden seeds; `searched` formulas were tried before it was chosen."""
    status, reason = refereeing.status(runs)
    return {
        "format": FORMAT, "name": name, "kind": kind, "formula": entry.formula, "overrides": entry.overrides,
        "source": text, "sha256": sha256, "digest": entry.digest, "status": status, "reason": reason,
        "tier": refereeing.weakest(runs), "lines": editing.code_lines(text) if text else 1,
        "runs": {str(seed): {key: one[key] for key in ("scores", "cost", "weights", "tier", "calls", "repeated")
                             if key in one} for seed, one in runs.items() if one["status"] == "finished"},
        "visible": {key: (visible or {})[key] for key in ("test", "difference", "metrics") if key in (visible or {})},
        "searched": searched, "submitted": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "losslab": losslab.__version__,
    }


def write_row(board: Board, value: dict) -> None:
    files.write_sealed(_place(board, value["name"]), value)


def rows(board: Board) -> list[dict]:
    """Every row that was written, ended and withdrawn ones too, in the order of their names."""
    return [_read(path) for path in sorted((board.path / "rows").glob("*.json"))]


def has_row(board: Board, name: str) -> bool:
    return _place(board, name).exists()


def free_name(board: Board, name: str) -> str:
    """`name`, with a number behind it where the board has it already or a baseline is called so."""
    taken = {one["name"] for one in rows(board)} | set(board.challenge.baselines)
    places = {_place(board, one) for one in taken}
    tries = (name, *(f"{name}-{number}" for number in range(2, 10_000)))
    return next(one for one in tries if one not in taken and _place(board, one) not in places)


def withdraw(board: Board, name: str) -> bool:
    """Mark a row as withdrawn; whether it was not before."""
    try:
        value = _read(_place(board, name))
    except FileNotFoundError:
        return False
    if value["status"] != "finished":
        return False
    write_row(board, value | {"status": "withdrawn"})
    return True


def _read(path: Path) -> dict:
    """A row as it was written.

    Raises:
        ValueError: for a damaged one; `FileNotFoundError` where there is none.
    """
    value = files.read_sealed(path, FORMAT, always=True)
    if why := not_a_row(value):
        raise files.damaged(path, why)
    return value


def _place(board: Board, name: str):
    return board.path / "rows" / (re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-").lower() + ".json")


# --- the board ---------------------------------------------------------------------------------

def document(board: Board) -> dict:
    """Everything that a page, a table or a program is told of a board.

    Returns:
        `challenge`, `digest`, `commitment`, `closed`; `rows`, best first, each with `name`, `rank`, `difference`
        (`value`, `low`, `high`), `p_value` (Holm's), `metrics`, `cost`, `lines`, `tier`, `status`; `ended`, those that
        got no row, with their reasons; once it is closed, `seeds` and `nonce`.
    """
    with_nothing = [name for name in board.challenge.baselines if not has_row(board, name)]
    found = computed(rows(board), board.challenge)
    found["rows"] += [_not_run(name) for name in with_nothing]
    secret = {"secret": board.secret} if board.closed else {}
    return {
        "format": FORMAT, "challenge": board.challenge.name, "about": board.challenge.about,
        "digest": board.challenge.digest, "number": board.number, "commitment": board.commitment,
        "closed": board.closed, **secret, **found, "statement": board.challenge.to_dict(),
    }


def computed(kept: list[dict], challenge) -> dict:
    """Rows, best first, and what is said of all of them; a pure function of what was written down."""
    finished = [one for one in kept if one["status"] in ("finished", "withdrawn")]
    values = {one["name"]: {int(seed): run["scores"]["nll"]["value"] for seed, run in one["runs"].items()}
              for one in finished}
    if "cross_entropy" not in values:
        return {"rows": [], "ended": _ended(kept), "family": 0, "note": "cross_entropy was not run yet"}
    compared = stats.compare(values, "cross_entropy", margin=challenge.margin, alpha=ALPHA)
    others = [one for one in finished if one["name"] != "cross_entropy"]
    alone = {one["name"]: _p_alone(compared.arm(one["name"]).difference) for one in others}
    lost = [one for one in kept if one["status"] not in ("finished", "withdrawn")]
    adjusted = dict(zip(alone, holm([*alone.values(), *[1.0] * len(lost)]), strict=False))
    usual = next(one for one in finished if one["name"] == "cross_entropy")
    shown = [_shown(one, compared, adjusted, usual, challenge) for one in finished if one["status"] == "finished"]
    ranked = _ranked(shown, values)
    scoring.add_scores(ranked, challenge)
    family = len(alone) + len(lost)
    return {
        "rows": ranked, "ended": _ended(kept), "family": family, "agreements": ladder.agreements(ranked),
        "withdrawn": [one["name"] for one in finished if one["status"] == "withdrawn"],
        "note": f"differences from cross_entropy in nll on val, nats/token, paired over {len(usual['runs'])} hidden "
                f"seeds; 95 % t intervals, not adjusted; p by Holm over {family} entries, withdrawn and ended ones "
                "counted; rows that one test cannot tell from the best of their group share its rank",
    }


def _p_alone(difference) -> float:
    """An entry that equals cross-entropy on every seed shows nothing; one without spread shows nothing either."""
    return difference.p_value if difference is not None and difference.p_value is not None else 1.0


def _shown(one: dict, compared, adjusted: dict, usual: dict, challenge) -> dict:
    arm, runs = compared.arm(one["name"]), one["runs"]
    is_usual = one["name"] == "cross_entropy"
    d = arm.difference
    ends = (d.value, d.low, d.high, d.n) if d is not None else (0.0, 0.0, 0.0, len(runs))
    outcome = arm.outcome if is_usual else outcome_of(d, adjusted[one["name"]], challenge.margin)
    return {
        "name": one["name"], "kind": one["kind"], "status": one["status"], "rank": 0,
        "difference": dict(zip(("value", "low", "high", "n"), ends, strict=True)) | {"unit": "nats/token"},
        "p_value": 1.0 if is_usual else adjusted[one["name"]], "p_alone": 1.0 if is_usual else _p_alone(d),
        "verdict": outcome, "metrics": metrics(runs, challenge.hidden), "cost": _cost(runs, usual["runs"]),
        "lines": one["lines"], "tier": one["tier"], "tests": one.get("visible", {}).get("test", 0),
        "seeds": len(runs), "formula": one["formula"],
        "overrides": one["overrides"], "sha256": one["sha256"], "digest": one["digest"], "source": one["source"],
        "weights": {str(place): run["weights"] for place, run in enumerate(runs.values())},
        "nll": [run["scores"]["nll"]["value"] for run in runs.values()], "submitted": one["submitted"],
        "losslab": one["losslab"], "rungs": one.get("rungs", []), "searched": one.get("searched", 0),
    }


def outcome_of(d, p: float, margin: float) -> str:
    if d.identical:
        return "identical"
    if p < ALPHA:
        return "better" if d.value < 0 else "worse"
    return "equivalent" if d.low is not None and -margin < d.low and d.high < margin else "open"


def _ranked(shown: list[dict], values: dict) -> list[dict]:
    """Best first; rows that a paired test does not tell from the best of their group are ties, and share its rank.

    Among ties the shorter stands first, then the cheaper.
    """
    groups: list[list[dict]] = []
    for one in sorted(shown, key=lambda one: one["difference"]["value"]):
        if groups and _is_tie(values[groups[-1][0]["name"]], values[one["name"]]):
            groups[-1].append(one)
        else:
            groups.append([one])
    ranked = []
    for group in groups:
        rank = len(ranked) + 1
        for one in sorted(group, key=lambda one: (one["lines"], one["cost"]["time_ratio"], one["name"])):
            ranked.append(one | {"rank": rank, "tied": len(group) > 1})
    return ranked


def _is_tie(first: dict[int, float], second: dict[int, float]) -> bool:
    differences = [first[seed] - second[seed] for seed in first if seed in second]
    if len(differences) < 2 or not any(differences):
        return True
    return max(differences) - min(differences) == 0 or paired_p(differences) >= ALPHA


def metrics(runs: Iterable | dict, names: Iterable[str], prefix: str = "") -> dict[str, dict]:
    """The mean of each metric over the seeds, with its standard error."""
    found = {}
    for name in names:
        scores = [one["scores"][prefix + name] for one in runs.values() if prefix + name in one["scores"]]
        if scores:
            mean = stats.mean_score([score["value"] for score in scores], scores[0]["unit"])
            found[name] = mean.to_dict()
    return found


def visible_difference(board: Board, runs: dict[int, dict], usual: dict[int, dict]) -> dict:
    """The difference from cross-entropy on the visible seeds, on `tune`."""
    values = {name: {seed: one["scores"]["tune_nll"]["value"] for seed, one in found.items()}
              for name, found in (("this", runs), ("cross_entropy", usual))}
    d = stats.compare(values, "cross_entropy", margin=board.challenge.margin).arm("this").difference
    return {"value": d.value, "low": d.low, "high": d.high, "p_value": d.p_value, "n": d.n, "unit": "nats/token"}


def _cost(runs: dict, usual: dict) -> dict:
    """Of a micro-batch, from hidden states to their gradients through the jail; next to it that of cross-entropy."""
    own, plain = (_median([one["cost"]["loss_seconds"] for one in every.values() if "loss_seconds" in one["cost"]])
                  for every in (runs, usual))
    return {"milliseconds": 1e3 * own, "time_ratio": own / plain if plain else 1.0,
            "train_seconds": _median([one["cost"]["train_seconds"] for one in runs.values()])}


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2] if values else 0.0


def _ended(kept: list[dict]) -> list[dict]:
    return [{key: one[key] for key in ("name", "status", "reason", "sha256", "submitted")} for one in kept
            if one["status"] not in ("finished", "withdrawn")]


def _not_run(name: str) -> dict:
    return {"name": name, "kind": "baseline", "status": "not run", "rank": None, "difference": NOTHING | {
        "value": None, "low": None, "high": None}, "p_value": None, "tier": "", "metrics": {}, "verdict": "not run",
        "formula": name, "lines": 1}
