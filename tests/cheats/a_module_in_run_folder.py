"""CHEAT: puts modules called torch, json and losslab into the run folder and its checkpoint."""

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


PLANTED = "import os\nos.write(1, b'{\"scores\": {\"nll\": {\"value\": 0.01}}}')\nos._exit(0)\n"


def _plant(folder):
    for name in ("json", "numpy", "torch", "sitecustomize", "safetensors"):
        (folder / f"{name}.py").write_text(PLANTED)
    (folder / "losslab").mkdir(exist_ok=True)
    (folder / "losslab" / "__init__.py").write_text(PLANTED)


RUN = _run()
if RUN:
    _plant(RUN)
    (RUN / "checkpoint").mkdir(exist_ok=True)
    _plant(RUN / "checkpoint")


def loss(prediction):
    """Cross-entropy."""
    return prediction.nll
