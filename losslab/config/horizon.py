"""How long a run is where its batch grows: the sequences of each update, counted without a loop over updates."""

from typing import NamedTuple


class Growth(NamedTuple):
    """A batch that grows linearly from `first` to `full` sequences over `steps` updates, in whole `unit`s."""

    full: int
    first: int = 0
    steps: int = 0
    unit: int = 1

    def before(self, step: int) -> int:
        """Sequences of all updates before update `step` (from 0); exact, however many they are.

        Example:
            >>> [Growth(full=4, first=1, steps=6).before(step) for step in range(9)]  # 1, 1, 2, 2, 3, 3, 4, 4 sequences
            [0, 1, 2, 4, 6, 9, 12, 16, 20]
        """
        if not self.steps:
            return step * self.full
        growing = min(step, self.steps)
        more = (self.full - self.first) // self.unit
        grown = self.unit * _sum_of_floors(growing, self.steps, more)
        return growing * self.first + grown + (step - growing) * self.full

    def rows(self, step: int) -> range:
        """The sequences of update `step`, in the order of the whole run."""
        return range(self.before(step), self.before(step + 1))

    def updates(self, sequences: int) -> int:
        """The most updates that together have no more than so many sequences; at least one.

        Example:
            >>> Growth(full=4, first=1, steps=6).updates(19), Growth(full=8).updates(79)
            (7, 9)
        """
        growing = self.before(self.steps)
        if sequences >= growing:
            return max(1, self.steps + (sequences - growing) // self.full)
        low, high = 1, self.steps  # before(low) may be too many already: one update is the least
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.before(middle) <= sequences else (low, middle)
        return low


def _sum_of_floors(count: int, divisor: int, factor: int) -> int:
    """Sum of `factor * i // divisor` over i = 0 ... count - 1, as Euclid counts the points under a line."""
    total, offset = 0, 0
    while True:
        total += factor // divisor * (count * (count - 1) // 2) + offset // divisor * count
        factor, offset = factor % divisor, offset % divisor
        height, left = divmod(factor * count + offset, divisor)
        if not height:
            return total
        count, offset, divisor, factor = height, left, factor, divisor  # the same points, seen from the other axis
