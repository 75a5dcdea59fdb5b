"""Arms at equal tokens and at equal cost, next to each other."""

from losslab.report import words
from losslab.report.arm_tables import LOSS
from losslab.tables import Column, Table


def table(matching: dict) -> Table:
    """What each arm scored with the baseline's tokens, and with the baseline's time (or flops)."""
    by = matching["by"]

    def half(told: dict) -> tuple[str, str]:
        return f"{told['tokens']:,}", words.score(told["nll"]) if told["nll"] else told["status"]

    rows = [(arm["name"], words.ratio(arm["cost"]), *half(arm["equal"]), *half(arm["matched"]))
            for arm in matching["arms"]]
    each = [Column(title, unit) for kind in ("tokens", by) for title, unit in
            ((f"tokens at equal {kind}", ""), (f"nll at equal {kind}", "nats/token"))]
    return Table((LOSS, Column(f"{by} of an update / baseline's"), *each), rows)
