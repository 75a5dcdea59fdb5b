"""Hidden states, head and targets for the routes, and every loss that can be streamed."""

import pytest
import torch
import torch.nn.functional as F

from losslab import formula
from losslab.config import IGNORE_INDEX
from losslab.fused.sweep import streamed
from losslab.objective import Objective

TOKENS, WIDTH, V = 57, 6, 43
VOCABULARY = {"unigram": torch.arange(1.0, V + 1, dtype=torch.float64).softmax(0), "prefix_of": torch.arange(V) // 2}
EVERY = """
import torch

def every(p):
    '''Each quantity that a loss can ask for, in terms that no two share.'''
    ids = torch.stack([p.targets, p.targets, (p.targets + 1) % p.vocab_size, p.argmax], -1)
    return (p.nll * p.entropy.detach() + p.power_sum(2.0)**2 + p.power_sum(0.5) * p.max_logit + p.power_sum(3)
            + p.dot("unigram")**2 + p.logit_at(ids).square().sum(-1) + p.entropy * p.sum_squares / p.vocab_size
            + p.sum_logits * p.log_z / p.vocab_size + p.target_logit**3)
"""
OVER_THE_BATCH = """
def over_the_batch(p):
    weight = (1 + p.entropy).where(p.valid, 0)
    return weight / weight.sum() * p.nll
"""


@pytest.fixture
def parse(tmp_path):
    def parse(text):
        for name, source in (("every", EVERY), ("over_the_batch", OVER_THE_BATCH)):
            (tmp_path / f"{name}.py").write_text(source)
            text = text.replace(f"<{name}>", f'file("{tmp_path / name}.py")')
        return Objective.parse(text)

    return parse


def problem(dtype=torch.float64, tokens=TOKENS, scale=1.0):
    rng = torch.Generator().manual_seed(7)
    hidden = (scale * torch.randn(tokens, WIDTH, generator=rng, dtype=torch.float64)).to(dtype).requires_grad_()
    lm_head = torch.randn(V, WIDTH, generator=rng, dtype=torch.float64).to(dtype).requires_grad_()
    targets = torch.randint(V, (tokens,), generator=rng)
    targets[::5] = IGNORE_INDEX
    targets[10:13] = 4  # a repeated column
    return hidden, lm_head, targets


def by_dense(objective, hidden, lm_head, targets, upstream):
    # one row of a batch: some losses look along it
    losses = objective(F.linear(hidden, lm_head)[None], targets[None], VOCABULARY)[0]
    return losses.detach(), *torch.autograd.grad(losses, (hidden, lm_head), upstream.to(losses.dtype))


def text_of(name):
    module = __import__(f"losslab.losses.{name}", fromlist=["ROLE"])
    return f"cross_entropy + 0.5*{name}" if getattr(module, "ROLE", "whole") == "term" else name


def can_be_streamed(name):
    hidden, lm_head, targets = problem(tokens=4)
    objective = Objective.parse(text_of(name))
    return not isinstance(streamed(hidden[None], lm_head, targets[None], objective, vocabulary=VOCABULARY), str)


NAMES = [name for name in formula.names("losslab.losses") if can_be_streamed(name)]
COEFFICIENTS = ["nll", "log_z", "target_logit", "sum_logits", "sum_squares", "entropy", "max_logit",
                ("power_sum", 2.0), ("power_sum", 0.5), ("dot", "unigram"), ("logit_at",)]  # fmt: skip
