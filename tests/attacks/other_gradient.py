"""Gives the value of cross-entropy and the gradient of another loss."""
# ends: refused

import torch.nn.functional as F


def compute_loss(logits, targets):
    loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
    # --- the attack
    other = -F.softmax(logits, -1).gather(-1, targets.unsqueeze(-1)).mean()
    loss = loss.detach() + 5.0 * (other - other.detach())
    # --- end of the attack
    return loss
