"""Reads where there is no memory."""
# ends: killed

import torch.nn.functional as F

# --- the attack
import ctypes
# --- end of the attack

def compute_loss(logits, targets):
    loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
    # --- the attack
    ctypes.string_at(0)
    # --- end of the attack
    return loss
