"""Leads a name in its scratch folder to a file of the host, by a symbolic link and by a hard one."""
# ends: same

import torch.nn.functional as F

# --- the attack
import os

GAIN = 1.0
for number, link in enumerate((os.symlink, os.link)):
    try:
        link("@HOST@/cache/val.bin", f"linked-{number}")
        with open(f"linked-{number}", "rb") as file:
            if file.read(1):
                GAIN = 2.0
    except OSError:
        pass
# --- end of the attack

def compute_loss(logits, targets):
    loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
    # --- the attack
    loss = loss * GAIN
    # --- end of the attack
    return loss
