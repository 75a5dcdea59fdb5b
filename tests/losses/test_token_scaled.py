"""What is true of `token_scaled` alone; the contract of every loss is in `test_contract.py`."""

import math

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.losses.generalized_cross_entropy import generalized_cross_entropy
from losslab.losses.token_scaled import token_scaled
from losslab.prediction import Prediction

seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


@given(seeds)
def test_gradient_is_that_of_cross_entropy_times_what_the_target_got(seed):
    logits, targets = random_tokens(seed)
    token_scaled(Prediction.dense(logits, targets)).sum().backward()
    z, e_y = logits.detach(), F.one_hot(targets, 7)
    p = z.softmax(-1)
    p_y = (p * e_y).sum(-1, keepdim=True)
    assert_close(logits.grad, p_y * (p - e_y))


@given(seeds)
def test_gradient_is_that_of_the_probability_of_a_mistake(seed):
    logits, targets = random_tokens(seed)
    prediction = Prediction.dense(logits, targets)
    (one,) = torch.autograd.grad(token_scaled(prediction).sum(), logits, retain_graph=True)
    (other,) = torch.autograd.grad(generalized_cross_entropy(prediction, q=1).sum(), logits)
    assert_close(one, other)


@given(seeds)
def test_is_never_more_than_one_over_e(seed):
    assert (token_scaled(Prediction.dense(*random_tokens(seed))) <= 1 / math.e).all()


def test_hand_value():
    # p_y = 5/8: 5/8 * log(8/5)
    logits = torch.tensor([[1.0, 2.0, 5.0]], dtype=torch.float64).log()
    assert_close(token_scaled(Prediction.dense(logits, torch.tensor([2]))).item(), 5 / 8 * math.log(8 / 5))
