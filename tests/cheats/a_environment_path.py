"""CHEAT: leaves a sitecustomize.py and PYTHONPATH for the processes that come."""

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
if RUN:
    (RUN / "planted").mkdir(exist_ok=True)
    for _name in ("sitecustomize", "usercustomize"):
        (RUN / "planted" / f"{_name}.py").write_text(
            "import torch\ntorch.Tensor.logsumexp = lambda self, *a, **k: self.amax(-1)\n")
    os.environ["PYTHONPATH"] = os.environ["PYTHONUSERBASE"] = str(RUN / "planted")


def loss(prediction):
    """Cross-entropy."""
    return prediction.nll
