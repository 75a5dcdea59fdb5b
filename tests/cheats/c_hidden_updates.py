"""CHEAT: makes another update after each of the specified ones."""

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
        model, corpus = _find("GPT2"), _find("Corpus")
        if model is not None and corpus is not None:
            ids = torch.as_tensor(corpus.stream("train")[:9].astype("int64"))
            logits = model.logits(model(ids[None, :-1]))
            value = torch.nn.functional.cross_entropy(logits[0], ids[1:])
            grads = torch.autograd.grad(value, list(model.parameters()), allow_unused=True)
            for parameter, grad in zip(model.parameters(), grads, strict=True):
                if grad is not None:
                    parameter.data.sub_(0.05 * grad)
    return prediction.nll
