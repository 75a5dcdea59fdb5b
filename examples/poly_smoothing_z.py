"""The classic form of a custom loss: two arguments, one scalar.

Published for the task `llm-pretrain-loss` of MLS-Bench: cross-entropy with smoothing 0.05, plus 1 - p of the target,
plus 1e-4 times the squared log-partition function; plain cross-entropy when gradients are off. Written afresh from that
description.
"""

import torch
import torch.nn.functional as F


def compute_loss(logits, targets):
    flat, wanted = logits.view(-1, logits.size(-1)), targets.view(-1)
    if not torch.is_grad_enabled():
        return F.cross_entropy(flat, wanted, ignore_index=-1)
    smoothed = F.cross_entropy(flat, wanted, ignore_index=-1, label_smoothing=0.05)
    plain = F.cross_entropy(flat, wanted, ignore_index=-1, reduction="none")
    log_z = flat.logsumexp(-1)
    return smoothed + (1 - torch.exp(-plain)).mean() + 1e-4 * log_z.square().mean()
