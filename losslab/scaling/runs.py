"""Runs of a scaling law: how large each model was, how much it read, and its nll."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from losslab.scaling.law import FLOPS_PER_PARAMETER


@dataclass(frozen=True)
class Runs:
    """Runs, a number of each array for each.

    Args:
        num_params: `[runs]`.
        num_tokens: `[runs]`, with repetitions.
        nll: `[runs]`, nats per token.
        arms: `[runs]`, names; empty where the table is of one arm.
        seeds: `[runs]`, as text; empty where there are none.
        more: `unique_tokens` and `other_nll`, where asked for.
        source: what the table is called in sentences.
        notes: sentences on what was found in it.
    """

    num_params: np.ndarray
    num_tokens: np.ndarray
    nll: np.ndarray
    arms: tuple[str, ...] = ()
    seeds: tuple[str, ...] = ()
    more: Mapping[str, np.ndarray] = field(default_factory=dict)
    source: str = "the table"
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.nll)

    @property
    def flops(self) -> np.ndarray:
        return FLOPS_PER_PARAMETER * self.num_params * self.num_tokens

    def only(self, chosen: np.ndarray) -> "Runs":
        """The runs that a mask or a list of numbers chooses."""
        which = np.arange(len(self))[chosen]
        return Runs(
            self.num_params[which], self.num_tokens[which], self.nll[which],
            tuple(self.arms[i] for i in which) if self.arms else (),
            tuple(self.seeds[i] for i in which) if self.seeds else (),
            {name: values[which] for name, values in self.more.items()}, self.source, self.notes,
        )

    def by_arm(self) -> dict[str, "Runs"]:
        """Arm -> its runs, in the order of the table; all under one empty name where there are no arms."""
        if not self.arms:
            return {"": self}
        names = np.array(self.arms, dtype=object)
        return {name: self.only(names == name) for name in dict.fromkeys(self.arms)}

    def without_highest(self, count: int) -> "Runs":
        """Without the `count` runs of the highest nll.

        Raises:
            ValueError: where that many are not there.
        """
        if not 0 <= count < len(self):
            raise ValueError(f"{self.source} has {len(self)} runs, so the {count} of the highest nll cannot be left "
                             "out; choose a smaller number")
        return self.only(np.sort(np.argsort(self.nll, kind="stable")[: len(self) - count]))
