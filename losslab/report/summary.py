"""One row for each arm of a comparison: what it is worth, how sure that is, and what it costs."""

from collections.abc import Sequence

from losslab.report import words
from losslab.report.arm_tables import LOSS
from losslab.tables import Column, Table

MANY = 6  # arms; from more on a terminal shows this table and leaves the costs to the page
TITLES = ("difference [95 % interval]", "could show", "lost x2", "lost x4", "time", "equal time")
CAPTION = (
    "Nats/token, best arm first. Could show: the smallest true difference that the seeds of this arm show with a "
    "chance of 0.9, at the level of its look; an effect below that is out of their reach. Lost x2, x4: what is lost at "
    "most with a learning rate up to a factor 2 or 4 from the chosen one (> where less far off was tried). Time: of "
    "training, by the baseline's. Equal time: nll if the arm had only the baseline's time, estimated from its time and "
    "from how fast the baseline's curve falls; --match time trains it")


def table(document: dict, arms: Sequence[dict] | None = None) -> Table:
    """Every arm, also those that are not drawn, unless `arms` are given; arms without a mean stand last."""
    shown = rows(document) if arms is None else arms
    return Table((LOSS, Column("nll"), *map(Column, TITLES)), [_row(arm, document) for arm in shown])


def rows(document: dict) -> list[dict]:
    """All arms by their nll, then those that have none, in their order."""
    def place(arm: dict) -> tuple[bool, float]:
        value = _nll(arm, document)
        return value is None, value or 0.0

    return sorted([*document["arms"], *document["others"]], key=place)


def is_long(document: dict) -> bool:
    return len(document["arms"]) + len(document["others"]) > MANY


def _nll(arm: dict, document: dict) -> float | None:
    return (arm["scores"].get(document["measure"]) or {}).get("value")


def _row(arm: dict, document: dict) -> tuple[str, ...]:
    found, nll, equal = arm["difference"] or {}, _nll(arm, document), arm["equal_time"]
    lost = arm.get("tuning", {}).get("sensitivity", {})
    is_baseline = arm["name"] == document["baseline"]
    shown = "baseline" if is_baseline else words.difference(arm["difference"])
    return (arm["name"], arm["status"] if nll is None else words.number(nll),
            "did not learn" if arm["learned"] is False and nll is not None else shown,
            words.number(found.get("detectable"), 2), _lost(lost.get("2")), _lost(lost.get("4")),
            words.ratio(equal["time"]), words.number(equal["nll"]))


def _lost(found: float | str | None) -> str:
    return found.replace("more than", ">") if isinstance(found, str) else words.number(found, 2)
