"""Makes every new tensor float64."""
# ends: same

import torch.nn.functional as F

# --- the attack
import torch

torch.set_default_dtype(torch.float64)
# --- end of the attack

def compute_loss(logits, targets):
    loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
    return loss
