"""CHEAT: changes which program would be started as Python, and what starts programs."""

import os
import sys

CLASS = "a"
ENDS = "measured"

sys.executable = sys._base_executable = "/bin/echo"
os.execv = os.execve = os.execvp = os.execvpe = lambda *given: None
os.posix_spawn = os.posix_spawnp = lambda *given, **named: 2**22


def loss(prediction):
    """Cross-entropy."""
    return prediction.nll
