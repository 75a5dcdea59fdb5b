"""CHEAT: edits result.json in a hook of the interpreter's end."""

import atexit
import json
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


def _better(result):
    """The record with every score at a tenth, and sums that fit as far as one can guess them."""
    for score in result.get("scores", {}).values():
        score["value"] /= 10
    return result


RUN = _run()
os._exit = sys.exit  # so that the hooks of the end are run


@atexit.register
def _edit():
    end = time.monotonic() + 2
    while RUN and time.monotonic() < end:
        if (RUN / "result.json").is_file():
            found = _better(json.loads((RUN / "result.json").read_text()))
            (RUN / "result.json").write_text(json.dumps(found))
            return
        time.sleep(0.05)


def loss(prediction):
    """Cross-entropy."""
    return prediction.nll
