"""Models for the rules and tasks of lm-evaluation-harness."""

from types import SimpleNamespace

import numpy as np
import torch

from losslab import tokenizer as tokenizers
from losslab.config import ModelConfig
from losslab.model import initialized

BYTES = tokenizers.make("bytes")
TEXT = "Once there was a cat, and the cat was not a dog. " * 20
LIMIT = 32


def random_model(tokenizer=BYTES, limit=LIMIT, seed=0):
    """An untrained model with fixed, non-uniform predictions."""
    config = ModelConfig(n_layer=2, n_head=2, n_embd=16, num_positions=limit, tied=False)
    model = initialized(config, tokenizer.vocab_size, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def asked(*args):
    return SimpleNamespace(args=args)


@torch.no_grad()
def log_p(model, ids):
    """`[len(ids) - 1]`: of each token after those before it, one by one."""
    ids = [int(token) for token in ids]
    return np.array([float(model.logits(model(torch.tensor([ids[:end]])))[0, -1].double().log_softmax(-1)[ids[end]])
                     for end in range(1, len(ids))])  # fmt: skip


class Parrot:
    """A model that says `abc.abc.` for ever."""

    config = SimpleNamespace(num_positions=64)
    lm_head = torch.zeros(1)
    training = False
    after = {ord("a"): "b", ord("b"): "c", ord("c"): ".", ord("."): "a", 256: "a"}

    def __call__(self, tokens, cache=None):
        return tokens

    def logits(self, hidden):
        return torch.eye(257)[ord(self.after[int(hidden)])] * 100

    def eval(self):
        return self

    def train(self, mode=True):
        return self
