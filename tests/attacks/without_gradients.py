"""Is another loss when gradients are off."""
# ends: same

import torch.nn.functional as F

# --- the attack
import torch
# --- end of the attack

def compute_loss(logits, targets):
    loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
    # --- the attack
    if not torch.is_grad_enabled() or not logits.requires_grad:
        loss = loss * 0.0
    # --- end of the attack
    return loss
