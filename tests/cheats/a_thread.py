"""CHEAT: keeps writing its own result.json in a thread."""

import json
import os
import sys
import threading
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


RUN = _run()
SCORES = {"nll": {"value": 0.01, "stderr": 0.001, "n": 9, "unit": "nats/token"}}


def _write():
    end = time.monotonic() + 50
    while time.monotonic() < end:
        written = RUN / "result.json.mine"  # whole at once: this process reads the file too
        written.write_text(json.dumps({"format": 1, "status": "finished", "scores": SCORES}))
        os.replace(written, RUN / "result.json")
        time.sleep(0.02)


if RUN:
    threading.Thread(target=_write, daemon=True).start()


def loss(prediction):
    """Cross-entropy."""
    return prediction.nll
