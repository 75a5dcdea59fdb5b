"""What others found, next to what was found here, and what of it cannot all be true."""

import math

from losslab.report import words
from losslab.tables import Column, Table, left, name

SAME = 0.02  # of a perplexity: further from exp(loss) it is no rounding
LOSSES = ("test loss", "validation loss")


def table(document: dict) -> Table:
    """The published figures, with the same measure of the arm of the same name; without a row where there are none."""
    arms = {arm["name"]: arm for arm in [*document["arms"], *document["others"]]}

    def row(figure: dict) -> tuple[str, ...]:
        own = _own(arms.get(figure["label"]), figure["measure"], document["measure"])
        return (figure["label"], figure["measure"], figure["unit"], words.number(figure["value"], 5), own)

    return Table((name("loss", least=16), left("measure"), left("unit"), Column("published"), Column("here")),
                 [row(figure) for figure in document["published"].get("figures", [])])


def _own(arm: dict | None, measure: str, nll: str) -> str:
    """What an arm has of a measure: the mean over seeds."""
    if arm is None:
        return "–"
    if measure == "train loss":
        return words.number(arm.get("train_nll"))
    return words.score(arm["scores"].get(nll if measure in LOSSES else measure), n=False)


def remarks(document: dict) -> list[str]:
    """The source, and the arithmetic of every arm whose loss and perplexity cannot belong together."""
    found = document["published"]
    by_label: dict[str, dict[str, float]] = {}
    for figure in found.get("figures", []):
        if figure["measure"] == "perplexity" or figure["measure"] in LOSSES and figure["unit"].startswith("nats"):
            by_label.setdefault(figure["label"], {})[figure["measure"]] = figure["value"]
    said = [found["source"]] if found.get("source") else []
    for label, own in by_label.items():
        loss, perplexity = next((own[key] for key in LOSSES if key in own), None), own.get("perplexity")
        if loss is not None and perplexity is not None and loss < 700 and \
                abs(math.exp(loss) / perplexity - 1 if perplexity else 1) > SAME:
            said.append(f"{label}: the perplexity of a loss of {loss:g} nats is exp({loss:g}) = {math.exp(loss):.2f}, "
                        f"and {perplexity:g} was published")
    return said
