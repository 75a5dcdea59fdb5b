"""Stops its own process, which then neither answers nor ends."""
# ends: killed

import torch.nn.functional as F

# --- the attack
import os
import signal
# --- end of the attack

def compute_loss(logits, targets):
    loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
    # --- the attack
    os.kill(os.getpid(), signal.SIGSTOP)
    # --- end of the attack
    return loss
