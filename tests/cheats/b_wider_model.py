"""CHEAT: hands in a model that is twice as wide."""

import atexit
import hashlib
import json
import os
import sys
from pathlib import Path

import safetensors.torch

from losslab.config import ModelConfig
from losslab.model import initialized

CLASS = "b"
ENDS = "failed"


def _run():
    """The run folder, where this process has one: the trial of a file has none."""
    frame, places = sys._getframe(), list(sys.argv)
    while frame:
        places += [value for value in frame.f_locals.values() if isinstance(value, str | Path)]
        frame = frame.f_back
    places = [Path(place) for place in places if 0 < len(str(place)) < 500]
    return next((place for place in places if (place / "spec.json").is_file()), None)


def _newest():
    """The newest checkpoint of the run."""
    return max((RUN / "checkpoint").glob("step-*"))


def _seal(checkpoint):
    """A manifest that fits what lies there now."""
    files = [file for file in sorted(checkpoint.iterdir()) if file.name != "manifest.json"]
    sums = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    (checkpoint / "manifest.json").write_text(json.dumps(sums))


RUN = _run()
os._exit = sys.exit  # so that the hooks of the end are run


@atexit.register
def _change():
    if not RUN:
        return
    checkpoint = _newest()
    about = json.loads((checkpoint / "model.json").read_text())
    about["model"]["n_embd"] *= 2
    model = initialized(ModelConfig(**about["model"]), about["vocab_size"], 0)
    safetensors.torch.save_file(model.state_dict(), checkpoint / "model.safetensors")
    (checkpoint / "model.json").write_text(json.dumps(about))
    _seal(checkpoint)


def loss(prediction):
    """Cross-entropy."""
    return prediction.nll
