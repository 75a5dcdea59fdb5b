"""Signs of trouble in a training: found from its numbers as they come, kept as numbers, and put into words by readers.

A `Detector` is fed in order what a training measures and answers with events. An event goes into the log of a run as
numbers with names that are known here (`Event.numbers`). Whoever reads a log takes these names and finite numbers from
it, and nothing else (`events`): a training process may have run a stranger's loss file, and writes no sentence that
anybody is shown. The rules, with their reasons, are in docs/signals.md.
"""

from losslab.signals.detector import Detector
from losslab.signals.kinds import (
    COMPUTE_OPTIMAL,
    DEVIATION,
    KINDS,
    LARGEST,
    MOST_TOLD,
    UTILIZATION,
    Event,
    Teller,
    events,
    tokens_per_parameter,
    utilization,
)
from losslab.signals.spikes import Usual

__all__ = [
    "COMPUTE_OPTIMAL", "DEVIATION", "KINDS", "LARGEST", "MOST_TOLD", "UTILIZATION", "Detector", "Event", "Teller",
    "Usual", "events", "tokens_per_parameter", "utilization",
]  # fmt: skip
