"""What a page says of the texts that the arms were trained and measured on."""

from collections.abc import Iterable, Mapping, Sequence

from losslab.comparison import measured
from losslab.records import Record


def corpus(runs: Sequence[Record]) -> dict:
    """The facts of the corpus of one arm, and what a reader must know of how it was cut."""
    given = runs[0].spec["corpus"]
    kept = {key: given.get(key) for key in ("name", "digest", "tokenizer", "vocab_size", "splits", "split_rule")}
    floors = [floor for floor in map(measured.known_floor, runs) if floor is not None]
    kept["splits"] = {name: {key: counts.get(key) for key in ("documents", "tokens", "bytes")}
                      for name, counts in (kept["splits"] or {}).items()}
    return {**kept, "floor_bits_per_byte": floors[0] if floors else None, "notes": [*_cut(given), *_dropped(given)]}


def several(runs: Iterable[Record]) -> list[dict]:
    """Name, digest and tokenizer of every corpus of the runs."""
    found = {}
    for run in runs:
        one = {key: run.spec["corpus"].get(key) for key in ("name", "digest", "tokenizer")}
        found.setdefault((one["digest"], one["tokenizer"]), one)
    return list(found.values())


def _cut(given: Mapping) -> list[str]:
    """Said of a text that was one document: its validation "document" is a piece, cut where it was long enough."""
    documents = ((given.get("splits") or {}).get("val") or {}).get("documents")
    if documents != 1:
        return []
    return [
        f"the text of {given.get('name')} has no marks between documents, so it was cut by position: what counts as "
        "the one validation document is a piece of the same text that was trained on, and nothing says how much "
        "another text would change the scores"
    ]


def _dropped(given: Mapping) -> list[str]:
    """How many documents were left out, and why where the run knows it."""
    reasons = given.get("dropped")
    if isinstance(reasons, Mapping):
        told = [f"{count:,} ({reason})" for reason, count in reasons.items() if isinstance(count, int) and count > 0]
        return [f"documents left out: {', '.join(told)}"] if told else []
    count = reasons if reasons is not None else given.get("dropped_documents")
    if isinstance(count, int) and not isinstance(count, bool) and count > 0:
        return [f"documents left out: {count:,}; this run does not say why (usually because val or tune hold the same "
                "text)"]
    return []
