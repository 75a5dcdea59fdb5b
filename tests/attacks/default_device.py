"""Puts every new tensor on a device that holds no numbers."""
# ends: refused killed same

import torch.nn.functional as F

# --- the attack
import torch

torch.set_default_device("meta")
# --- end of the attack

def compute_loss(logits, targets):
    loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
    return loss
