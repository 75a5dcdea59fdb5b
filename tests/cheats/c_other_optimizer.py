"""CHEAT: replaces the optimizer's step by another one."""

import gc
import sys
from pathlib import Path

import torch

CLASS = "c"
ENDS = "measured"


def _run():
    """The run folder, where this process has one: the trial of a file has none."""
    frame, places = sys._getframe(), list(sys.argv)
    while frame:
        places += [value for value in frame.f_locals.values() if isinstance(value, str | Path)]
        frame = frame.f_back
    places = [Path(place) for place in places if 0 < len(str(place)) < 500]
    return next((place for place in places if (place / "spec.json").is_file()), None)


def _find(name):
    """The object of a class of losslab that this process trains with."""
    return next((thing for thing in gc.get_objects() if type(thing).__name__ == name), None)


RUN = _run()


def loss(prediction):
    """Cross-entropy, and something that nobody asked for."""
    if RUN and torch.is_grad_enabled():
        optimizer = _find("AdamW")
        if optimizer is not None:
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            optimizer.step = lambda *given: [p.data.sub_(0.01 * p.grad.sign()) for p in parameters]
    return prediction.nll
