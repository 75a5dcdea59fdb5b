"""The client of an endpoint with a clock that a test moves, and replies one after the other."""

import itertools
import threading

from judge_stub import answered

from losslab.judge import wire
from losslab.judge.endpoint import Endpoint
from losslab.judge.keys import Key

ASK = [{"role": "user", "content": "Good?"}]
NOW = 1_700_000_000.0


class Waits:
    """A clock that goes forward by what is slept."""

    def __init__(self):
        self.slept, self.time, self.lock = [], 0.0, threading.Lock()

    def sleep(self, seconds):
        with self.lock:
            self.slept.append(seconds)
            self.time += seconds


def endpoint(stub, waits=None, *, key=None, timeout=5.0, retries=3, **options):
    waits = waits or Waits()
    return Endpoint(wire.address(getattr(stub, "url", stub)), "stub", key or Key(), timeout=timeout,
                    retries=retries, options=options, sleep=waits.sleep, clock=lambda: waits.time, now=lambda: NOW,
                    jitter=lambda: 1.0)


def scripted(*steps):
    """One reply after the other, the last again and again."""
    turn = itertools.count()
    return lambda request, stub: steps[min(next(turn), len(steps) - 1)]


OK = (200, {}, answered("Fine."))
