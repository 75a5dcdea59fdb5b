"""Signs of trouble on a page and on a terminal: what each arm showed, in which of its runs, and what to try."""

from collections.abc import Sequence

from losslab import signals
from losslab.records import Record
from losslab.report import words
from losslab.report.arm_tables import LOSS
from losslab.tables import Column, Table, left

MOST_SHOWN = 40  # rows of the table of all events
MOST_OF_A_RUN = 5
COMPUTE_OPTIMAL = f"{signals.COMPUTE_OPTIMAL:g}"


def of_runs(runs: Sequence[Record], tokens: int, num_params: int | None) -> dict:
    """What a document says of the signs of an arm.

    Args:
        runs: of the arm; their logs are read, numbers alone.
        tokens: of a run.
        num_params: of the model; None where nobody measured it.
    """
    found = [(run, signals.events(run.log)) for run in runs]
    skipped = [run.result["skipped_steps"] for run in runs if "skipped_steps" in run.result]
    return {
        "tokens_per_parameter": tokens / num_params if num_params and tokens else None,
        "skipped_steps": sum(skipped) if skipped else None,
        "count": sum(len(events) for _, events in found),
        "runs": {kind: sum(any(event.kind == kind for event in events) for _, events in found)
                 for kind in signals.KINDS if any(event.kind == kind for _, events in found for event in events)},
        "events": [{"seed": run.seed, "kind": event.kind, "step": event.step, "said": event.sentence}
                   for run, events in found for event in events[:MOST_OF_A_RUN]],
    }


def summary(document: dict) -> Table:
    """Each arm: how long it was trained for its size, the signs of its runs, and the updates that were left out."""
    titles = [Column("tokens per parameter"), left("signs")]
    skips = any(arm["signals"]["skipped_steps"] is not None for arm in document["arms"])
    rows = []
    for arm in document["arms"]:
        told = arm["signals"]
        rows.append((arm["name"], words.number(told["tokens_per_parameter"], 3), signs(arm),
                     *([words.value(told["skipped_steps"] or 0)] if skips else [])))
    return Table((LOSS, *titles, *([Column("updates left out")] if skips else [])), rows)


def signs(arm: dict) -> str:
    """`plateau in 2 of 5 runs, gap in 1 of 5`; `none`."""
    total = len(arm["runs"])
    return ", ".join(f"{kind} in {count} of {words.plural(total, 'run')}"
                     for kind, count in arm["signals"]["runs"].items()) or "none"


def events(document: dict) -> Table:
    """The first events of each run, at most forty in all."""
    rows = [(arm["name"], str(event["seed"]), f"{event['step']:,}", event["said"])
            for arm in document["arms"] for event in arm["signals"]["events"]]
    return Table((LOSS, Column("seed"), Column("step"), left("sign")), rows[:MOST_SHOWN])


def advice(document: dict) -> list[tuple[str, str]]:
    """(sign, what to try) for each kind of sign that there was."""
    seen = {kind for arm in document["arms"] for kind in arm["signals"]["runs"]}
    return [(kind, about.advice) for kind, about in signals.KINDS.items() if kind in seen]


def brief(document: dict) -> list[str]:
    """For a terminal: a sentence for each arm with a sign, and for one that left out updates."""
    said = [f"signs of trouble in {arm['name']}: {signs(arm)}" for arm in document["arms"] if arm["signals"]["count"]]
    for arm in document["arms"]:
        if arm["signals"]["skipped_steps"] is not None:
            said.append(f"{arm['name']}: {words.plural(arm['signals']['skipped_steps'], 'update')} left out as spikes")
    return said
