"""CHEAT: leaves a process behind that kills the first two processes its parent starts after it."""

import os
import signal
import sys
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


def _survive(work):
    """Call `work` in a process that has left the family; it ends within 50 s."""
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os.kill(os.getpid(), signal.SIGKILL)
    signal.alarm(50)
    try:
        work()
    finally:
        os.kill(os.getpid(), signal.SIGKILL)


def _when_there(path, seconds=40):
    """Wait until `path` is there; whether it came."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and not path.exists():
        time.sleep(0.01)
    return path.exists()


RUN, PARENT = _run(), os.getppid()


def _children():
    found = set()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == PARENT:
                found.add(int(entry.name))
        except OSError:
            continue
    return found


def _kill():
    known, killed, end = _children(), 0, time.monotonic() + 40
    while killed < 2 and time.monotonic() < end and not (RUN / "result.json").exists():
        for child in _children() - known:
            command = (Path("/proc") / str(child) / "cmdline").read_bytes()
            if b"losslab" in command and str(RUN).encode() in command and b"measur" in command:
                os.kill(child, signal.SIGKILL)
                known, killed = known | {child}, killed + 1
        time.sleep(0.02)


if RUN:
    _survive(_kill)


def loss(prediction):
    """Cross-entropy."""
    return prediction.nll
