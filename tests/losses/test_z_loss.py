"""What is true of `z_loss` alone; the contract of every loss is in `test_contract.py`."""

import math

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.losses.z_loss import z_loss
from losslab.objective import Objective
from losslab.prediction import Prediction

seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


def test_hand_value():
    # log(1 + 2 + 5) squared
    logits = torch.tensor([[1.0, 2.0, 5.0]], dtype=torch.float64).log()
    assert_close(z_loss(Prediction.dense(logits, torch.tensor([0]))).item(), math.log(8) ** 2)


@given(seeds)
def test_gradient_is_twice_log_z_times_what_was_said(seed):
    logits, targets = random_tokens(seed)
    z_loss(Prediction.dense(logits, targets)).sum().backward()
    z = logits.detach()
    assert_close(logits.grad, 2 * z.logsumexp(-1, keepdim=True) * z.softmax(-1))


@given(seeds)
def test_the_target_does_not_enter(seed):
    logits, targets = random_tokens(seed)
    one, other = (z_loss(Prediction.dense(logits, y)) for y in (targets, (targets + 3) % 7))
    assert_close(one, other)


@given(seeds)
def test_log_probabilities_cost_nothing_and_stay_where_they_are(seed):
    logits, targets = random_tokens(seed)
    log_p = logits.detach().log_softmax(-1).requires_grad_()
    loss = z_loss(Prediction.dense(log_p, targets)).sum()
    loss.backward()
    assert loss.item() < 1e-24
    assert_close(log_p.grad, torch.zeros_like(log_p))


@given(seeds, st.floats(0, 1))
def test_added_to_cross_entropy_it_adds_its_weight(seed, weight):
    logits, targets = random_tokens(seed)
    value = Objective.parse(f"cross_entropy + {weight!r}*z_loss")(logits, targets)
    log_z = logits.logsumexp(-1)
    assert_close(value, F.cross_entropy(logits, targets, reduction="none") + weight * log_z**2)
