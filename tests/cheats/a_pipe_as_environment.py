"""CHEAT: puts a named pipe in the place of environment.json."""

import atexit
import os
import sys
from pathlib import Path

CLASS = "a"
ENDS = "measured"


def _run():
    """The run folder, where this process has one: the trial of a file has none."""
    frame, places = sys._getframe(), list(sys.argv)
    while frame:
        places += [value for value in frame.f_locals.values() if isinstance(value, str | Path)]
        frame = frame.f_back
    places = [Path(place) for place in places if 0 < len(str(place)) < 500]
    return next((place for place in places if (place / "spec.json").is_file()), None)


RUN = _run()
os._exit = sys.exit  # so that the hooks of the end are run


@atexit.register
def _change():
    if RUN:
        (RUN / "environment.json").unlink()
        os.mkfifo(RUN / "environment.json")


def loss(prediction):
    """Cross-entropy."""
    return prediction.nll
