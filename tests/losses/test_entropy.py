"""What is true of `entropy` alone; the contract of every loss is in `test_contract.py`."""

import math

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.losses.entropy import entropy
from losslab.objective import Objective
from losslab.prediction import Prediction

seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


@given(seeds)
def test_is_the_entropy_that_torch_knows(seed):
    logits, targets = random_tokens(seed)
    wanted = torch.distributions.Categorical(logits=logits).entropy()
    assert_close(entropy(Prediction.dense(logits, targets)), wanted)


@given(seeds)
def test_gradient_flattens(seed):
    logits, targets = random_tokens(seed)
    value = entropy(Prediction.dense(logits, targets))
    value.sum().backward()
    p = logits.detach().softmax(-1)
    assert_close(logits.grad, -p * (p.log() + value.detach()[:, None]))


@given(seeds, st.floats(0, 2))
def test_the_confidence_penalty_has_the_gradient_of_its_table(seed, beta):
    logits, targets = random_tokens(seed)
    Objective.parse(f"cross_entropy - {beta!r}*entropy")(logits, targets).sum().backward()
    z = logits.detach()
    p, log_z = z.softmax(-1), z.logsumexp(-1, keepdim=True)
    H = -(p * p.log()).sum(-1, keepdim=True)
    assert_close(logits.grad, p * (1 + beta * (H - log_z) + beta * z) - F.one_hot(targets, 7))


def test_hand_value():
    # probabilities 1/2, 1/4, 1/4: 1.5 bits
    logits = torch.tensor([[2.0, 1.0, 1.0]], dtype=torch.float64).log()
    assert_close(entropy(Prediction.dense(logits, torch.tensor([0]))).item(), 1.5 * math.log(2))
