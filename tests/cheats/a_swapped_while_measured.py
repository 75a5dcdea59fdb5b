"""CHEAT: leaves a process behind that waits until the weights are measured, and changes them then."""

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


def _is_measured():
    """Whether a child of the command that started this process measures."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            is_child = int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == PARENT
            if is_child and b"losslab.evaluate" in (entry / "cmdline").read_bytes():
                return True
        except OSError:
            continue
    return False


def _swap():
    end = time.monotonic() + 40
    while time.monotonic() < end and not _is_measured():
        time.sleep(0.01)
    for file in (RUN / "checkpoint").glob("step-00000003/model.safetensors"):
        data = file.read_bytes()
        file.write_bytes(data[:-400] + bytes(400))


if RUN:
    _survive(_swap)


def loss(prediction):
    """Cross-entropy."""
    return prediction.nll
