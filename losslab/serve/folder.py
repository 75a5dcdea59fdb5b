"""A folder that is served: the rows of its runs, and which of them have not ended."""

from dataclasses import dataclass, field
from pathlib import Path

from losslab.records.index import Row

SERVED = "."  # the name, in an address, of the served folder itself
ENDED = ("finished", "diverged", "failed", "imported")


@dataclass
class Folder:
    """A folder below the served one, which may hold runs."""

    path: Path
    name: str
    """Relative to the served folder, with `/`; empty for that folder itself."""
    depth: int
    changed: int = -1
    """When it last changed, in nanoseconds, as far as its entries are known; -1 before the first look."""
    rows: dict[str, Row] = field(default_factory=dict)
    """Name of a run folder -> its row; changed by `put` and `take` alone."""
    going: set[str] = field(default_factory=set)
    """Of these the names of runs that have not ended: few, and all that a look reads again."""
    stamps: dict[str, str] = field(default_factory=dict)
    inner: set[str] = field(default_factory=set)
    """Names of folders in it that are no runs."""
    kind: str = "store"
    """`store`, `study`, `ladder` or `stages`; `trials` for those of tuning."""

    def put(self, name: str, row: Row) -> bool:
        """Keep a row; whether there is a run more, or one fewer, that has ended."""
        had = name in self.rows and name not in self.going
        self.rows[name] = row
        (self.going.discard if row.status in ENDED else self.going.add)(name)
        return had != (name not in self.going)

    def take(self, name: str) -> None:
        """Forget a row."""
        del self.rows[name]
        self.going.discard(name)
        self.stamps.pop(name, None)


def spoken(folder: Folder) -> str:
    """The name of a store in an address; an empty one would say that none is named."""
    return folder.name or SERVED
