"""What fine-tuning changed in an arm: nll and perplexity before and after, on the new text and on the old one."""

from collections.abc import Mapping, Sequence

from losslab.comparison import measured
from losslab.records import Record

TEXTS = ("new", "old")
OF = {"": "answers", "_all_tokens": "all tokens"}  # what the name of a score ends in -> what it is of


def rows(runs: Sequence[Record]) -> list[dict]:
    """A row for each text and for what of it is scored; empty where the runs started from no weights.

    Args:
        runs: those of an arm that finished. What is in their results is checked, and left out where it is no number.

    Returns:
        `text` (its name), `which` (`new` or `old`), `of` (`answers` or `all tokens`), and for `nll` and `perplexity`
        `before` (a number) and `after` (over seeds, as `Score.to_dict` gives it).
    """
    given = [run.result.get("fine_tuning") for run in runs]
    if not given or not all(isinstance(found, Mapping) for found in given):
        return []
    found = []
    for which in TEXTS:
        for suffix, of in OF.items():
            row = {name: _both(given, which, f"{name}{suffix}") for name in ("nll", "perplexity")}
            if row["nll"]["before"] is None or row["nll"]["after"]["value"] is None:
                continue
            is_example = _at(given[0], which, "instructions") is True
            found.append({"text": str(_at(given[0], which, "corpus", "name"))[:80], "which": which,
                          "of": of if is_example else "all tokens", **row})
    return found


def _both(given: Sequence[Mapping], which: str, name: str) -> dict:
    before, after = ([_score(_at(found, which, time), name) for found in given] for time in ("before", "after"))
    unit = "nats/token" if name.startswith("nll") else "per token"
    return {"before": measured.mean(before), "after": measured.over_seeds(after, unit)}


def _score(scores, name: str) -> float | None:
    """A score by its name, with or without a stride in it."""
    if not isinstance(scores, Mapping):
        return None
    own = next((key for key in scores if key == name or str(key).startswith(f"{name}_stride_")), None)
    return measured.figure(_at(scores, own, "value"))


def _at(found, *path):
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found
