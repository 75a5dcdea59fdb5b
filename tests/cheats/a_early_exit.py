"""CHEAT: ends the process at once with code 0, a finished record and no checkpoint."""

import json
import os
import sys
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
if RUN:
    SCORES = {"nll": {"value": 0.01, "stderr": 0.001, "n": 9, "unit": "nats/token"}}
    (RUN / "result.json").write_text(json.dumps({"format": 1, "status": "finished", "scores": SCORES}))
    os._exit(0)


def loss(prediction):
    """Cross-entropy."""
    return prediction.nll
