"""CHEAT: prints an answer such as a measurement gives, on both outputs."""

import atexit
import json
import os
import sys

CLASS = "a"
ENDS = "measured"

ANSWER = json.dumps({"scores": {"nll": {"value": 0.01, "stderr": None, "n": 9, "unit": "nats/token"}}})
print(ANSWER, flush=True)
print(ANSWER, file=sys.stderr, flush=True)
os._exit = sys.exit  # so that the hooks of the end are run
atexit.register(print, ANSWER)


def loss(prediction):
    """Cross-entropy."""
    return prediction.nll
