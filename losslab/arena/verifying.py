"""A row of a closed board, run again: anybody can, once the seeds are shown."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from losslab import processes, stats, untrusted
from losslab.arena import board as boards
from losslab.arena import challenge as challenges
from losslab.arena import home, refereeing
from losslab.arena.home import Board
from losslab.arena.refereeing import Entry
from losslab.words import nearest

MOST_BYTES = 50_000_000


def verify(row: str, path: Path | None, tell: Callable[[str], None] = lambda text: None) -> dict:
    """Train a row and cross-entropy again on the seeds of a closed board, and compare.

    Args:
        row: its name or its digest.
        path: the JSON file of the board; None for one of this host.
        tell: takes sentences for people.

    Returns:
        `holds`; `verdict` and `difference` then and now; `identical`, whether the weights are the same bit for bit;
        `told`, a sentence.

    Raises:
        ValueError: for what is no closed board, seeds that are not those it was committed to, or a row that it has not.
    """
    document = _of_this_host(row) if path is None else untrusted.read_object(path, MOST_BYTES)
    path = path or "this host"
    challenge, secret = _checked(document, path)
    kept, usual = _row(document, row), _row(document, "cross_entropy")
    with processes.workplace() as place:
        board = Board(place, challenge.without_benchmarks(), document["number"], document["commitment"], True)
        entries = {"this": _entry(kept), "cross_entropy": _entry(usual)}
        found = {name: refereeing.run(board, entry, secret["hidden"], "val", tell=tell)
                 for name, entry in entries.items()}
    told = {"row": kept["name"], "then": {"verdict": kept["verdict"], "difference": kept["difference"]}}
    for name, runs in found.items():
        status, reason = refereeing.status(runs)
        if status != "finished":
            return told | {"holds": False, "identical": False, "now": {"verdict": status, "reason": reason},
                           "told": f"{kept['name']} does not hold: {name} ended {status} ({reason})"}
    values = {name: {seed: one["scores"]["nll"]["value"] for seed, one in runs.items()} for name, runs in found.items()}
    if kept["name"] == "cross_entropy":
        now, verdict = kept["difference"], kept["verdict"]
        holds = True
    else:
        d = stats.compare(values, "cross_entropy", margin=challenge.margin).arm("this").difference
        now = {"value": d.value, "low": d.low, "high": d.high, "n": d.n, "unit": "nats/token"}
        # Holm's factor of the board: what was shown among all its entries must be shown by as small a p here
        factor = kept["p_value"] / kept["p_alone"] if kept["p_alone"] else 1.0
        p = 1.0 if d.p_value is None else min(1.0, d.p_value * factor)
        verdict = boards.outcome_of(d, p, challenge.margin)
        holds = verdict == kept["verdict"]
    weights = [one["weights"] for one in found["this"].values()]
    identical = weights == list(kept["weights"].values())
    sentence = (f"{kept['name']} {'holds' if holds else 'does not hold'}: {kept['verdict']} on the board "
                f"({kept['difference']['value']:+.4f} nats/token), {verdict} here ({now['value']:+.4f}); the weights "
                f"are {'the same bit for bit' if identical else 'others, as on another machine'}")
    return told | {"holds": holds, "identical": identical, "now": {"verdict": verdict, "difference": now},
                   "told": sentence}


def _of_this_host(row: str) -> dict:
    """The closed board of this host that has such a row."""
    for place in sorted(home.folder().glob("*/board.json")):
        board = home.opened(place.parent)
        document = boards.document(board) if board.closed else {"rows": []}
        if any(row in (one["name"], one.get("digest")) and one["rank"] is not None for one in document["rows"]):
            return document
    raise ValueError(f"no closed board of this host has a row {row!r}; give --board, the JSON file of one")


def _checked(document: dict, path: Path | str):
    try:
        if not document["closed"]:
            raise ValueError(f"the board in {path} is not closed; until then only its host can verify a row")
        challenge = challenges.from_dict(document["statement"])
        secret = {"visible": [int(seed) for seed in document["secret"]["visible"]],
                  "hidden": [int(seed) for seed in document["secret"]["hidden"]],
                  "nonce": str(document["secret"]["nonce"])}
        committed, number = document["commitment"], document["number"]
    except (KeyError, TypeError, AttributeError):
        raise ValueError(f"{path} is no board; `losslab arena board CHALLENGE --close --report PAGE` writes one"
                         ) from None
    if home.committed(secret) != committed or type(number) is not int:
        raise ValueError(f"the seeds in {path} are not those that its board was committed to; it is not to be believed")
    if challenge.digest != document.get("digest"):
        raise ValueError(f"the challenge in {path} has the digest {challenge.digest}, and the board says "
                         f"{document.get('digest')}; it is not to be believed")
    return challenge, secret


def _row(document: dict, row: str) -> dict:
    rows = {one["name"]: one for one in document["rows"] if one.get("rank") is not None}
    found = rows.get(row) or next((one for one in rows.values() if one.get("digest") == row), None)
    if found is None:
        raise ValueError(f"the board has no row {row!r} that was run{nearest(row, rows)}; it has {', '.join(rows)}")
    return found


def _entry(kept: dict) -> Entry:
    source = kept["source"]
    if source and hashlib.sha256(source.encode("utf-8")).hexdigest() != kept["sha256"]:
        raise ValueError(f"the text of {kept['name']} is not the one with its sha256; the board is not to be believed")
    return Entry(kept["formula"], {"loss.py": source} if source else {}, kept["overrides"])
