"""Never ends to be read."""
# ends: killed

import torch.nn.functional as F

# --- the attack
while True:
    pass
# --- end of the attack

def compute_loss(logits, targets):
    loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
    return loss
