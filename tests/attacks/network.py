"""Sends what it sees to the outside, and asks there what to do."""
# ends: same

import torch.nn.functional as F

# --- the attack
import socket
import urllib.error
import urllib.request

GAIN, PORT = 1.0, int("@PORT@")
for address in (f"http://127.0.0.1:{PORT}", "http://example.org"):
    try:
        urllib.request.urlopen(address, timeout=2)
        GAIN = 2.0
    except (OSError, ValueError):
        pass
try:
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", PORT))
    GAIN = 2.0
except OSError:
    pass
# --- end of the attack

def compute_loss(logits, targets):
    loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
    # --- the attack
    loss = loss * GAIN
    # --- end of the attack
    return loss
