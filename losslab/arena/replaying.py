"""A transcript, played again in a new workspace."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from losslab import untrusted
from losslab.arena import game, home, workspace
from losslab.arena.challenge import names, read

MOST_BYTES = 50_000_000
CLOSE = 1e-9  # nats/token; beyond it the difference of a test is another one


def replay(transcript: Path, place: Path, tell: Callable[[str], None]) -> dict:
    """Make the same edits and tests in `place`, and compare what the tests gave.

    Args:
        transcript: what `losslab arena log DIR --json` printed.
        place: a new folder.
        tell: takes sentences for people.

    Returns:
        `same`, whether every test ended alike; `tests`, each with what it gave `then` and `now`; `told`, sentences.

    Raises:
        ValueError: for what is no transcript, or one of another challenge.
    """
    entries, challenge = _read(transcript)
    with_tests = {entry["test"]: entry for entry in entries if entry["verb"] == "tested"}
    made = workspace.made(home.board(challenge, fresh=True), place)
    tests = []
    with workspace.opened(place, tell) as found:
        for entry in entries[1:]:
            match entry["verb"]:
                case "edit":
                    found.edit(entry["how"], lambda old, text=entry["text"]: text)
                case "undo":
                    found.undo(entry["steps"])
                case "test":
                    then = with_tests.get(entry["test"], {"status": "broken off", "reason": ""})
                    tests.append({"test": entry["test"], "then": _brief(then), "now": _brief(game.test(found, tell))})
    told = [f"test {one['test']}: {_said(one['then'])} then, {_said(one['now'])} now" for one in tests]
    same = all(_alike(one["then"], one["now"]) for one in tests)
    told.append("every test ended as it did then" if same else "a test ended differently; on other seeds or another "
                                                                "machine the numbers differ")
    return {"same": same, "tests": tests, "told": told, "folder": str(made.place)}


def _read(path: Path) -> tuple[list[dict], object]:
    found = untrusted.read_object(path, MOST_BYTES)
    entries, name = found.get("entries"), found.get("challenge")
    try:
        good = entries[0]["verb"] == "new" and all(_is_entry(entry) for entry in entries)
    except (TypeError, KeyError, IndexError, AttributeError):
        good = False
    if not good or not isinstance(name, str):
        raise ValueError(f"{path} is no transcript; `losslab arena log DIR --json` prints one")
    if name not in names():
        raise ValueError(f"{path} is of the challenge {name}, which does not come with losslab")
    challenge = read(name)
    if challenge.digest != found.get("digest"):
        raise ValueError(f"{path} is of another version of {name} ({found.get('digest')}); this one is "
                         f"{challenge.digest}")
    return entries, challenge


def _is_entry(entry: dict) -> bool:
    match entry["verb"]:
        case "new" | "edit":
            text = entry["text"]
            return isinstance(entry.get("how", ""), str) and hashlib.sha256(text.encode()).hexdigest() == entry["after"]
        case "undo":
            return type(entry["steps"]) is int
        case "test":
            return type(entry["test"]) is int
        case "tested":
            return isinstance(entry["status"], str) and type(entry["test"]) is int
    return isinstance(entry["verb"], str)


def _brief(entry: dict) -> dict:
    return {key: entry[key] for key in ("status", "reason", "difference") if key in entry}


def _alike(then: dict, now: dict) -> bool:
    if then["status"] != now["status"]:
        return False
    values = [one.get("difference", {}).get("value", 0.0) for one in (then, now)]
    return abs(values[0] - values[1]) <= CLOSE


def _said(one: dict) -> str:
    if "difference" not in one:
        return one["status"]
    return f"{one['difference']['value']:+.6f} {one['difference']['unit']}"
