"""Writes itself into the packages that the host imports."""
# ends: same

import torch.nn.functional as F

# --- the attack
import pathlib
import sys

import torch

import losslab

for place in (pathlib.Path(torch.__file__).parent, pathlib.Path(losslab.__file__).parent, pathlib.Path(sys.prefix)):
    for name in ("__init__.py", "sitecustomize.py", "attack.pth"):
        try:
            with open(place / name, "a", encoding="utf-8") as file:
                file.write("\n# attacked\n")
        except OSError:
            pass
# --- end of the attack

def compute_loss(logits, targets):
    loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
    return loss
