"""Makes the result of a rival worse."""
# ends: same

import torch.nn.functional as F

# --- the attack
try:
    with open("@HOST@/other/result.json", "a", encoding="utf-8") as file:
        file.write('{"status": "finished", "scores": {"nll": {"value": 0.1}}}')
except OSError:
    pass
# --- end of the attack

def compute_loss(logits, targets):
    loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
    return loss
