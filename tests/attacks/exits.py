"""Ends its process as if all were done."""
# ends: killed

import torch.nn.functional as F

# --- the attack
import os
# --- end of the attack

def compute_loss(logits, targets):
    loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
    # --- the attack
    os._exit(0)
    # --- end of the attack
    return loss
