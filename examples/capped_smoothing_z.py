"""A custom loss that transforms the logits by itself: a tanh cap of 30, smoothing 0.1, z-loss 1e-4.

Published for the task `llm-pretrain-loss` of MLS-Bench, and written afresh from its description. Note what the ruler
makes of it: a cap inside a loss file is no part of the model, so the model is measured without it, while
`softcap(30) | label_smoothing + 1e-4*z_loss` keeps the cap in the model.
"""

import torch
import torch.nn.functional as F


def compute_loss(logits, targets):
    flat, wanted = logits.view(-1, logits.size(-1)), targets.view(-1)
    if not torch.is_grad_enabled():
        return F.cross_entropy(flat, wanted, ignore_index=-1)
    capped = 30 * torch.tanh(flat / 30)
    loss = F.cross_entropy(capped, wanted, ignore_index=-1, label_smoothing=0.1)
    return loss + 1e-4 * capped.logsumexp(-1).square().mean()
