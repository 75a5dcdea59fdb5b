"""What is true of `max_z_loss` alone; the contract of every loss is in `test_contract.py`."""

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.losses.max_z_loss import max_z_loss
from losslab.losses.z_loss import z_loss
from losslab.prediction import Prediction

seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


@given(seeds)
def test_gradient_touches_the_largest_logit_alone(seed):
    logits, targets = random_tokens(seed)
    max_z_loss(Prediction.dense(logits, targets)).sum().backward()
    z = logits.detach()
    assert_close(logits.grad, 2 * z.amax(-1, keepdim=True) * F.one_hot(z.argmax(-1), 7))


def test_where_several_tie_the_first_takes_all_of_it():
    logits = torch.tensor([[1.0, 3.0, 3.0]], requires_grad=True)
    value = max_z_loss(Prediction.dense(logits, torch.tensor([0])))
    value.sum().backward()
    assert value.item() == 9 and logits.grad.tolist() == [[0.0, 6.0, 0.0]]


@given(seeds)
def test_the_target_does_not_enter(seed):
    logits, targets = random_tokens(seed)
    one, other = (max_z_loss(Prediction.dense(logits, y)) for y in (targets, (targets + 3) % 7))
    assert_close(one, other)


@given(seeds)
def test_where_one_logit_towers_it_is_the_z_loss(seed):
    logits, targets = random_tokens(seed)
    towering = Prediction.dense(logits.detach() + 100 * F.one_hot(targets, 7), targets)
    assert_close(max_z_loss(towering), z_loss(towering))
