"""Starts as many processes and threads as it can."""
# ends: same

import torch.nn.functional as F

# --- the attack
import os
import threading

for _ in range(100):
    try:
        if os.fork() == 0:
            os._exit(0)
    except OSError:
        break
for _ in range(50):
    try:
        threading.Thread(target=lambda: None).start()
    except RuntimeError:
        break
# --- end of the attack

def compute_loss(logits, targets):
    loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
    return loss
