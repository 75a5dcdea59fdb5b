"""Prints without end."""
# ends: same

import torch.nn.functional as F

# --- the attack
import os

for _ in range(2_000):
    print("x" * 10_000)
    os.write(2, b"x" * 10_000)
# --- end of the attack

def compute_loss(logits, targets):
    loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
    return loss
