"""CHEAT: writes its own log: better scores, NaN, numbers of 400 digits, no JSON, escapes for a terminal."""

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
        lines = ['{"step": 3, "tokens": 96, "seconds": 0.1, "tune/nll": 0.01, "train/nll": NaN}', "null", "[" * 9000,
                 '{"step": 1e999, "tokens": -1, "tune/nll": ' + "9" * 400 + "}", '{"step": "\\u001b[2J", "tokens": 1}',
                 '{"step": 3, "tokens": "many", "seconds": []}', "\x1b]0;title\x07", "\ud800"]
        (RUN / "log.jsonl").write_bytes("\n".join(lines).encode(errors="surrogatepass"))


def loss(prediction):
    """Cross-entropy."""
    return prediction.nll
