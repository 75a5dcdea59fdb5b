"""Starts programs, by each of the ways that Python has."""
# ends: same

import torch.nn.functional as F

# --- the attack
import os
import subprocess
import sys

GAIN = 1.0
for start in (lambda: subprocess.run(["/bin/true"], check=True), lambda: os.posix_spawn("/bin/true", ["true"], {}),
              lambda: os.execv(sys.executable, [sys.executable, "-c", "pass"]), lambda: os.popen("true").close()):
    try:
        start()
        GAIN = 2.0
    except (OSError, subprocess.SubprocessError):
        pass
# --- end of the attack

def compute_loss(logits, targets):
    loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
    # --- the attack
    loss = loss * GAIN
    # --- end of the attack
    return loss
