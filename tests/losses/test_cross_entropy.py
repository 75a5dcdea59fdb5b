"""What is true of `cross_entropy` alone; the contract of every loss is in `test_contract.py`."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.losses.cross_entropy import cross_entropy
from losslab.prediction import Prediction

seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


@pytest.mark.parametrize("vocab", [2, 66, 50_257])
def test_knowing_nothing_costs_log_vocab(vocab):
    loss = cross_entropy(Prediction.dense(torch.zeros(1, vocab), torch.tensor([0])))
    assert_close(loss.item(), math.log(vocab), rtol=1e-6, atol=0)


def test_hand_value():
    # p = (1, 2, 5) / 8, and the third came: log 8 - log 5
    logits = torch.tensor([[1.0, 2.0, 5.0]], dtype=torch.float64).log()
    assert_close(cross_entropy(Prediction.dense(logits, torch.tensor([2]))).item(), math.log(8 / 5))


@given(seeds)
def test_equals_the_one_of_torch(seed):
    logits, targets = random_tokens(seed)
    wanted = F.cross_entropy(logits, targets, reduction="none")
    assert_close(cross_entropy(Prediction.dense(logits, targets)), wanted)


@given(seeds)
def test_gradient_is_what_was_said_minus_what_came(seed):
    logits, targets = random_tokens(seed)
    cross_entropy(Prediction.dense(logits, targets)).sum().backward()
    assert_close(logits.grad, logits.detach().softmax(-1) - F.one_hot(targets, 7))


@given(seeds, st.floats(-50, 50))
def test_adding_a_constant_to_all_logits_changes_nothing(seed, constant):
    logits, targets = random_tokens(seed)
    shifted = cross_entropy(Prediction.dense(logits + constant, targets))
    assert_close(shifted, cross_entropy(Prediction.dense(logits, targets)))


@given(seeds)
def test_its_expectation_is_smallest_at_the_truth(seed):
    truth = random_tokens(seed, tokens=1)[0].detach().softmax(-1)
    every = torch.arange(7)
    logits = truth.log().expand(7, 7).clone().requires_grad_()
    expected = (truth[0] * cross_entropy(Prediction.dense(logits, every))).sum()
    expected.backward()
    assert_close(logits.grad.sum(0), torch.zeros(7, dtype=torch.float64))
    assert_close(expected, -(truth * truth.log()).sum())  # the entropy of the truth
