"""CHEAT: edits what the run says of its machine and its versions."""

import atexit
import json
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
        about = json.loads((RUN / "environment.json").read_text())
        about |= {"threads": 10**9, "device": "\x1b[31mcuda", "torch": {"no": "version"}, "losslab": None}
        (RUN / "environment.json").write_text(json.dumps(about))


def loss(prediction):
    """Cross-entropy."""
    return prediction.nll
