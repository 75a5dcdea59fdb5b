"""Fills its scratch folder with files that are each small enough."""
# ends: killed

import torch.nn.functional as F

# --- the attack
import time
# --- end of the attack

def compute_loss(logits, targets):
    loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
    # --- the attack
    for number in range(100):
        with open(f"part-{number}", "wb") as file:
            file.write(bytes(1_000_000))
    time.sleep(1)
    # --- end of the attack
    return loss
