"""Replaces what computes its gradient in the jail: another loss than the one that it gives."""
# ends: refused

import torch.nn.functional as F

# --- the attack
import torch

from losslab.arena import inside


def _scored(objective, logits, targets):
    leaf = logits.requires_grad_()
    losses = objective(leaf, targets)
    (gradient,) = torch.autograd.grad((losses * losses.detach()).sum(), leaf)
    return losses.detach().float(), gradient.float()


inside._scored = _scored
# --- end of the attack

def compute_loss(logits, targets):
    loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
    return loss
