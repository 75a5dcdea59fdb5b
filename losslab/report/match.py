"""Arms at equal tokens and at equal cost, side by side."""

from collections.abc import Mapping, Sequence

from losslab.report import words
from losslab.report.arm_tables import LOSS
from losslab.tables import Column, Table


def table(
    equal: dict, matched: dict, conditions: Sequence[tuple[str, str]], costs: Mapping[str, float], by: str = "time",
) -> Table:
    """What each arm scored with the baseline's tokens, and with the baseline's time (or flops).

    Args:
        equal: the document of the comparison at equal tokens.
        matched: that of the matched arms. An arm that matching leaves as it was has the same runs in both.
        conditions: for each arm its condition in `equal` and in `matched`.
        costs: condition in `equal` -> cost of an update; shown as a multiple of the baseline's.
        by: `time` or `flops`.
    """
    first, second = ({arm["condition"]: arm for arm in document["arms"]} for document in (equal, matched))
    names = {arm["name"]: arm["condition"] for arm in equal["arms"]}
    own = costs[names[equal["baseline"]]]

    def half(arm: dict | None, document: dict) -> tuple[str, ...]:
        if arm is None:
            return "–", "–", "–"
        shown = words.score(arm["scores"].get(document["measure"])) if arm["scores"] else arm["status"]
        baseline = arm["name"] == document["baseline"]
        return f"{arm['tokens']:,}", shown, "baseline" if baseline else words.difference(arm["difference"])

    rows = []
    for before, after in conditions:
        arm = first.get(before)
        rows.append((arm["name"] if arm else before, words.ratio(costs[before] / own), *half(arm, equal),
                     *half(second.get(after), matched)))
    each = [Column(f"{title} at equal {kind}", unit) for kind in ("tokens", by) for title, unit in
            (("tokens", ""), ("nll", "nats/token"), ("difference", ""))]
    return Table((LOSS, Column(f"{by} of an update / baseline's"), *each), rows)
