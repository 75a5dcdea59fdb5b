"""Sets the targets to what the model says, in the memory that it was given."""
# ends: refused

import torch.nn.functional as F


def compute_loss(logits, targets):
    loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
    # --- the attack
    targets.copy_(logits.argmax(-1))
    # --- end of the attack
    return loss
