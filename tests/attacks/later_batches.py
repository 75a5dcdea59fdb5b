"""Looks in every frame for the data of batches to come."""
# ends: same

import torch.nn.functional as F

# --- the attack
import sys

import torch
# --- end of the attack

def compute_loss(logits, targets):
    loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
    # --- the attack
    frame = sys._getframe()
    while frame is not None:
        for each in frame.f_locals.values():
            if type(each).__name__ in ("Corpus", "Batches", "memmap") or torch.is_tensor(each) and (
                    each.dtype == torch.int64 and each.numel() > targets.numel()):
                loss = loss * 2.0
        frame = frame.f_back
    # --- end of the attack
    return loss
