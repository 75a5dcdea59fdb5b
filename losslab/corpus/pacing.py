"""In which order a curriculum admits the documents of a corpus, and how many of them at which update."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from losslab.config import DataConfig

LINEAR_STAIRS = 100  # rises that stand for a line: windows are shuffled between two of them, which needs some updates


@dataclass(frozen=True)
class Pacing:
    """The share of the documents that is admitted at each update of a run.

    With `x` the updates done as a share of the updates until all are admitted, `s` the share at first, and `n` stairs:

    $$c(x) = s + (1 - s) \\lfloor n x \\rfloor / n, \\qquad c(x) = 1 \\text{ from } x = 1 \\text{ on}.$$

    Args:
        num_steps: updates of the whole run; every share of it is counted in whole updates.
        start: share of the documents that is admitted at first.
        end: share of the run after which all documents are admitted.
        stairs: equal rises on the way; `LINEAR_STAIRS` of them stand for a line.

    Example:
        >>> pacing = Pacing(num_steps=20, start=0.25, end=0.5, stairs=3)
        >>> [pacing.share(step) for step in (0, 3, 4, 7, 10, 19)]
        [0.25, 0.25, 0.5, 0.75, 1.0, 1.0]

    Reference:
        Bengio et al., Curriculum Learning, ICML 2009; Platanios et al., Competence-based Curriculum Learning for Neural
        Machine Translation, NAACL 2019 (the line); Wu, Dyer and Neyshabur, When Do Curricula Work?, ICLR 2021 (a stair
        is theirs with `stairs=1`).
    """

    num_steps: int
    start: float = 0.1
    end: float = 0.5
    stairs: int = LINEAR_STAIRS

    @classmethod
    def of(cls, config: DataConfig, num_steps: int) -> "Pacing":
        """As the settings say it, for a run of so many updates."""
        stairs = config.pacing_stairs if config.pacing == "step" else LINEAR_STAIRS
        return cls(num_steps, config.pacing_start, config.pacing_end, stairs)

    @property
    def ramp(self) -> int:
        """Updates before all documents are admitted; 0 where they are from the first one on."""
        return 0 if self.start == 1 else round(self.end * self.num_steps)

    def share(self, step: int) -> float:
        """The share of the documents that is admitted when `step` updates are done."""
        if step >= self.ramp:
            return 1.0
        return self.start + (1 - self.start) * (self.stairs * step // self.ramp) / self.stairs

    def stages(self) -> Iterator[tuple[int, int]]:
        """`(first, last)` of the updates of each stair before all are admitted, `last` not included."""
        edges = sorted({-(-k * self.ramp // self.stairs) for k in range(self.stairs + 1)})
        yield from zip(edges[:-1], edges[1:], strict=True)


@dataclass(frozen=True, eq=False)
class Curriculum:
    """The documents of `train` in the order in which they are admitted, and how many are at each update."""

    ranking: np.ndarray  # int64 [documents]: numbers of documents, those that are admitted first at the beginning
    pacing: Pacing


def ranking(difficulty: np.ndarray, *, hardest_first: bool = False) -> np.ndarray:
    """`[documents]` numbers of the documents from the easiest to the hardest, or the other way round.

    Equally hard ones keep the order of the corpus.

    Example:
        >>> ranking(np.array([3, 1, 2, 1])).tolist(), ranking(np.array([3, 1, 2, 1]), hardest_first=True).tolist()
        ([1, 3, 2, 0], [0, 2, 1, 3])
    """
    return np.argsort(-difficulty if hardest_first else difficulty, kind="stable")
