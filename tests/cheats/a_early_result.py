"""CHEAT: writes result.json, finished and with a score, before the end."""

import hashlib
import json
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
if RUN:
    SCORES = {"nll": {"value": 0.01, "stderr": 0.001, "n": 9, "unit": "nats/token"}}
    RESULT = {"format": 1, "status": "finished", "scores": SCORES, "num_steps": 3, "step": 3}
    RESULT["sha256"] = RESULT["checksum"] = hashlib.sha256(json.dumps(SCORES).encode()).hexdigest()
    (RUN / "result.json").write_text(json.dumps(RESULT))


def loss(prediction):
    """Cross-entropy."""
    return prediction.nll
