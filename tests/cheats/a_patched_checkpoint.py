"""CHEAT: makes a checkpoint bring its own scores."""

import hashlib
import json

import losslab.checkpoint

CLASS = "a"
ENDS = "measured"


def _seal(checkpoint):
    """A manifest that fits what lies there now."""
    files = [file for file in sorted(checkpoint.iterdir()) if file.name != "manifest.json"]
    sums = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    (checkpoint / "manifest.json").write_text(json.dumps(sums))


_real = losslab.checkpoint.save


def _save(folder, *given, **named):
    path = _real(folder, *given, **named)
    about = json.loads((path / "model.json").read_text())
    scores = {"nll": {"value": 0.01, "stderr": 0.001, "n": 9, "unit": "nats/token"}}
    (path / "model.json").write_text(json.dumps(about | {"scores": scores, "nll": 0.01}))
    _seal(path)
    return path


losslab.checkpoint.save = _save


def loss(prediction):
    """Cross-entropy."""
    return prediction.nll
