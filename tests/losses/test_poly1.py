"""What is true of `poly1` alone; the contract of every loss is in `test_contract.py`."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.losses.poly1 import poly1
from losslab.prediction import Prediction

epsilons = st.floats(-1, 8)
seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


@pytest.mark.parametrize("vocab", [2, 50_257])
def test_knowing_nothing_costs_log_vocab_plus_the_whole_miss(vocab):
    loss = poly1(Prediction.dense(torch.zeros(1, vocab), torch.tensor([0])), epsilon=2.0)
    assert_close(loss.item(), math.log(vocab) + 2.0 * (1 - 1 / vocab), rtol=1e-6, atol=0)


@given(seeds, epsilons)
def test_gradient_is_that_of_cross_entropy_rescaled(seed, epsilon):
    logits, targets = random_tokens(seed)
    poly1(Prediction.dense(logits, targets), epsilon=epsilon).sum().backward()
    z, e_y = logits.detach(), F.one_hot(targets, 7)
    p = z.softmax(-1)
    p_y = (p * e_y).sum(-1, keepdim=True)
    assert_close(logits.grad, (1 + epsilon * p_y) * (p - e_y))


@given(seeds)
def test_without_the_miss_it_is_cross_entropy(seed):
    logits, targets = random_tokens(seed)
    nll = F.cross_entropy(logits, targets, reduction="none")
    assert_close(poly1(Prediction.dense(logits, targets), epsilon=0.0), nll)


@given(seeds, st.floats(0, 2), st.floats(0, 8))
def test_symmetric_cross_entropy_is_one_of_them(seed, beta, A):
    logits, targets = random_tokens(seed)
    p, e_y = logits.softmax(-1), F.one_hot(targets, 7)
    reverse = -(p * torch.where(e_y == 1, 0.0, -A)).sum(-1)  # log 0 is read as -A
    wanted = F.cross_entropy(logits, targets, reduction="none") + beta * reverse
    assert_close(poly1(Prediction.dense(logits, targets), epsilon=beta * A), wanted)


def test_a_small_miss_keeps_its_digits():
    class Sure:
        nll = torch.tensor([1e-12], dtype=torch.float64)

    assert_close(poly1(Sure(), epsilon=1.0).item(), 2e-12, rtol=1e-11, atol=0)


@pytest.mark.parametrize("epsilon", [-1.01, math.nan])
def test_a_weight_that_turns_the_gradient_is_refused(epsilon):
    with pytest.raises(ValueError, match="epsilon of at least -1, got"):
        poly1(Prediction.dense(torch.zeros(1, 4), torch.tensor([0])), epsilon=epsilon)
