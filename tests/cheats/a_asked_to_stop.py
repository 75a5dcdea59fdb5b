"""CHEAT: sends itself the signal by which a user asks a run to stop."""

import os
import signal
import sys
import traceback
from pathlib import Path

CLASS = "a"
ENDS = "failed"


def _run():
    """The run folder, where this process has one: the trial of a file has none."""
    frame, places = sys._getframe(), list(sys.argv)
    while frame:
        places += [value for value in frame.f_locals.values() if isinstance(value, str | Path)]
        frame = frame.f_back
    places = [Path(place) for place in places if 0 < len(str(place)) < 500]
    return next((place for place in places if (place / "spec.json").is_file()), None)


RUN = _run()


def loss(prediction):
    """Cross-entropy, while it is tried."""
    if RUN and "train" in [frame.name for frame in traceback.extract_stack()]:
        os.kill(os.getpid(), signal.SIGTERM)
    return prediction.nll
