"""Fine-tuning on a page and on a terminal: what was learned of the new text, and what was forgotten of the old one."""

from losslab.report import words
from losslab.report.arm_tables import LOSS
from losslab.tables import Column, Table, left

CAPTION = ("The weights that training started from, and those that it ended with. Answers alone are scored after their "
           "prompts; all tokens are prompts and answers.")


def told(document: dict) -> bool:
    return any(arm["fine_tuning"] for arm in document["arms"])


def table(document: dict) -> Table:
    """A row for each arm, text, and what of it is scored."""
    def row(arm: dict, found: dict) -> tuple[str, ...]:
        text = f"{found['text']} ({'old' if found['which'] == 'old' else 'new'} text)"
        nll, perplexity = found["nll"], found["perplexity"]
        return (arm["name"], text, found["of"], words.number(nll["before"]), words.score(nll["after"], n=False),
                words.number(perplexity["before"]), words.score(perplexity["after"], n=False))

    return Table((LOSS, left("text"), left("scored"), Column("nll before", "nats/token"), Column("nll after"),
                  Column("perplexity before", "per token"), Column("perplexity after")),
                 [row(arm, found) for arm in document["arms"] for found in arm["fine_tuning"]])


def brief(document: dict) -> list[str]:
    """A sentence for each arm."""
    return [f"fine-tuning with {arm['name']}: {sentence(arm['fine_tuning'])}" for arm in document["arms"]
            if arm["fine_tuning"]]


def sentence(found: list[dict]) -> str:
    """What the rows of an arm say, for people."""
    said = []
    for row in found:
        before, after = row["nll"]["before"], row["nll"]["after"]["value"]
        moved = f"nll {words.number(before)} before, {words.number(after)} after"
        if row["which"] == "new":
            said.append(f"{row['of']} of {row['text']}: {moved} (perplexity "
                        f"{words.number(row['perplexity']['after']['value'], 4)})")
        else:
            change = f"{words.number(abs(after - before), 3)} {'forgotten' if after > before else 'gained'}"
            said.append(f"{row['of']} of {row['text']}, its text before: {moved}, {change}")
    return "; ".join(said)
