"""What a row of a board holds, checked when it is read: a board that somebody bent is a sentence."""

from collections.abc import Mapping

from losslab.untrusted import is_number

TEXTS = ("name", "kind", "formula", "source", "sha256", "digest", "status", "reason", "tier", "submitted", "losslab")
KINDS = {"overrides": dict, "visible": dict, "runs": dict, "lines": int, "searched": int, "rungs": list}
CALLED = {dict: "a table", int: "a number", list: "a list"}


def not_a_row(row: Mapping) -> str:
    """Why it is no row; nothing where it is one."""
    for key in TEXTS:
        if not isinstance(row.get(key), str):
            return f"its {key} should be a text"
    row = {"searched": 0, "rungs": []} | row  # which an earlier losslab did not write
    for key, kind in KINDS.items():
        if type(row.get(key)) is not kind:
            return f"its {key} should be {CALLED[kind]}"
    if not all(map(is_number, row["overrides"].values())):
        return "its overrides should be numbers"
    if not all(seed.isdecimal() and len(seed) < 20 and _is_run(run) for seed, run in row["runs"].items()):
        return "a run in it has no scores, cost or weights"
    scored = ["nll" in run["scores"] for run in row["runs"].values()]
    if row["status"] in ("finished", "withdrawn") and not (scored and all(scored)):
        return "it has no run, or one without nll"
    if not all(map(_is_rung, row["rungs"])):
        return "a rung in it is none"
    test = row["visible"].get("test", 0)
    return "" if type(test) is int else "its test should be a number"


def _is_run(run: object) -> bool:
    if not isinstance(run, dict) or not isinstance(run.get("weights"), str):
        return False
    scores, cost = run.get("scores"), run.get("cost")
    return (isinstance(scores, dict) and all(map(_is_score, scores.values())) and isinstance(cost, dict)
            and is_number(cost.get("train_seconds")) and all(map(is_number, cost.values())))


def _is_score(score: object) -> bool:
    return isinstance(score, dict) and is_number(score.get("value")) and isinstance(score.get("unit"), str)


def _is_rung(rung: object) -> bool:
    if not isinstance(rung, dict) or not isinstance(rung.get("status"), str):
        return False
    if type(rung.get("rung")) is not int or type(rung.get("tokens")) is not int:
        return False
    difference = rung.get("difference", {"value": 0.0})
    return isinstance(difference, dict) and is_number(difference.get("value"))
