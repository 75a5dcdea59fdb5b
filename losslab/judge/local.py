"""A model on this machine as judge: how likely it finds each grade after the text.

A small language model answers no questions, but it gives every grade word a probability. That it writes 8 more often
than 3, whatever stands before, is taken out: the log-probability of a grade without any text is subtracted from that
after the text (contextual calibration, Zhao et al. 2021). The grade is the mean of the scale under what is left.
"""

import math
from collections.abc import Sequence

import numpy as np

from losslab.evaluate.requests import Request, answers, num_cut
from losslab.judge.grading import Outcome, Task
from losslab.judge.models import Loaded
from losslab.judge.protocols import Protocol, Scale
from losslab.progress import Progress, silent

NOTHING = "N/A"  # in place of the text, for what a grade is worth without one
QUESTIONS = {  # what stands before a grade word; short, since small models have short contexts
    "grammar": "The grammar of this text is graded from 1 to 10. Grammar:",
    "creativity": "The creativity of this text is graded from 1 to 10. Creativity:",
    "consistency": "How well this text fits its beginning is graded from 1 to 10. Consistency:",
    "plot": "How much sense the plot makes is graded from 1 to 10. Plot:",
    "age_group": "Age groups: A 3 or under, B 4-5, C 6-7, D 8-9, E 10-12, F 13-16. The writer is in group",
    "better": "The better of the two texts (A the first, B the second, C neither) is",
}


class Likelihood:
    """Grades by the likelihood of grade words.

    Args:
        loaded: the judge.
    """

    def __init__(self, loaded: Loaded):
        self.loaded, self.num_cut = loaded, 0

    def run(self, protocol: Protocol, tasks: Sequence[Task], *, progress: Progress = silent) -> list[Outcome]:
        """One outcome for each task; repeated grades would be the same.

        Raises:
            ValueError: if the model's context is too short for a question and a grade.
        """
        asked = [(*task.texts, scale) for task in tasks for scale in protocol.scales]
        blank = [(*(NOTHING for _ in protocol.parts), scale) for scale in protocol.scales]
        rows = [self._requests(*one) for one in [*blank, *asked]]
        self.num_cut = sum(num_cut(row[0], self.loaded.model.config.num_positions) > 0 for row in rows[len(blank) :])
        found = answers(self.loaded.model, [request for row in rows for request in row],
                        progress=lambda done, total: progress("judging", done, total, "grade words"))
        nats, at = [], 0
        for row in rows:
            nats.append(np.array([answer.nats.sum() for answer in found[at : at + len(row)]]))
            at += len(row)
        prior = dict(zip((scale.name for scale in protocol.scales), nats, strict=False))
        outcomes, at = [], len(blank)
        for task in tasks:
            grades = {scale.name: graded(scale, prior[scale.name] - nats[at + i])
                      for i, scale in enumerate(protocol.scales)}
            at += len(protocol.scales)
            failure = "" if all(map(math.isfinite, grades.values())) else "a likelihood that is not finite"
            outcomes.append(Outcome(task, None if failure else grades, failure))
        return outcomes

    def _requests(self, *parts) -> list[Request]:
        *texts, scale = parts
        encode, eot = self.loaded.tokenizer.encode, self.loaded.tokenizer.eot
        before = "\n\n".join([*texts, QUESTIONS.get(scale.name, f"{scale.label} from 1 to 10:")])
        context = [eot, *encode(before).tolist()]
        return [Request(context, encode(ending(scale, value)).tolist()) for value in scale.values]


def ending(scale: Scale, value: str) -> str:
    """How a grade is written behind its question; ` 1` alone would begin ` 10`, too."""
    return f" {value}." if scale.letters else f" {value}/10"


def graded(scale: Scale, log_ratios: np.ndarray) -> float:
    """The mean of a scale; of names, which have no mean, the likeliest."""
    if scale.name == "better" and np.isfinite(log_ratios).all():
        return float(log_ratios.argmax() + 1)
    return mean_grade(log_ratios)


def mean_grade(log_ratios: np.ndarray) -> float:
    """The mean grade where each counts as much as the exponential of its number.

    Example:
        >>> mean_grade(np.log([1.0, 1.0, 2.0]))  # 1, 2 and 3
        2.25
    """
    if not np.isfinite(log_ratios).all():
        return math.nan
    weights = np.exp(log_ratios - log_ratios.max())
    return float((weights * np.arange(1, len(weights) + 1)).sum() / weights.sum())
