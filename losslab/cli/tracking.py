"""`--track`: the numbers of runs go to a tracker, too."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from losslab import trackers
from losslab.cli.speech import tell
from losslab.config import flatten, to_dict

Take = Callable[[dict], None]


@contextlib.contextmanager
def tracker(name: str | None, store: Path, project: str = "") -> Iterator[Callable[[object, Path], Take] | None]:
    """What gives, for an experiment or a record and its folder, that which takes the lines of its log; None for none.

    Raises:
        ValueError: for a tracker that does not exist.
        ModuleNotFoundError: for one that is not installed; both before anything is trained.
    """
    if name is None:
        yield None
        return
    opened = trackers.Tracker(name, store, tell=tell)

    def of(run, folder: Path) -> Take:
        settings = flatten(to_dict(run.config))
        group = folder.name.removesuffix(f"-seed{run.config.seed}")
        return opened.takes(trackers.Run(folder.name, group, run.config.seed, project or "losslab", settings))

    try:
        yield of
    finally:
        opened.close()


def both(one: Take, other: Take | None) -> Take:
    """Both take each line."""
    if other is None:
        return one

    def take(line: dict) -> None:
        one(line)
        other(line)

    return take
