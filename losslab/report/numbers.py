"""The numbers of a comparison as they are computed, one row for each arm: for a program, a data frame, or a plot."""

import csv as files
import io

from losslab.escaping import cell


def rows(document: dict) -> list[dict[str, object]]:
    """A dictionary of plain values for each arm, in the order of the document, all with the same keys.

    `nll` and other scores are means over seeds, with `_stderr`; `difference`, its interval `low` and `high`, and
    `p_holm` are in nats/token from the baseline; costs are medians over seeds, in seconds and bytes. What is not known
    is None.
    """
    every = [*document["arms"], *document["others"]]
    scores = list(dict.fromkeys(name for arm in every for name in arm["scores"]))
    return [_row(arm, scores, document["baseline"]) for arm in every]


def _row(arm: dict, scores: list[str], baseline: str) -> dict[str, object]:
    found: dict[str, object] = {
        "loss": arm["name"], "is_baseline": arm["name"] == baseline, "status": arm["status"],
        "outcome": arm["outcome"], "seeds": len(arm["seeds"])}
    for name in scores:
        score = arm["scores"].get(name, {})
        found |= {name: score.get("value"), f"{name}_stderr": score.get("stderr")}
    difference = arm["difference"] or {}
    found |= {"difference": difference.get("value"), **{key: difference.get(key) for key in ("low", "high", "p_holm")}}
    return found | {"condition": arm["condition"], **arm["cost"]}


def csv(document: dict) -> str:
    """The rows as comma-separated values, every digit of them; a name of somebody's is no formula."""
    out, found = io.StringIO(), rows(document)
    files.writer(out, lineterminator="\n").writerows(map(cell, row) for row in [found[0], *map(dict.values, found)])
    return out.getvalue()
