"""CHEAT: does not end when it is done: a hook waits for 45 s."""

import atexit
import os
import sys
import time
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


if _run():
    os._exit = sys.exit  # so that the hooks of the end are run
    atexit.register(time.sleep, 45)


def loss(prediction):
    """Cross-entropy."""
    return prediction.nll
