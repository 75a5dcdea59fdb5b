"""What is true of `power` alone; the contract of every loss is in `test_contract.py`."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.losses.power import power
from losslab.prediction import Prediction

alphas = st.floats(0.1, 4)
seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


@given(seeds, alphas)
def test_is_a_sum_of_powers(seed, alpha):
    logits, targets = random_tokens(seed)
    assert_close(power(Prediction.dense(logits, targets), alpha=alpha), (logits.softmax(-1) ** alpha).sum(-1))


@given(seeds, alphas)
def test_gradient_is_that_of_its_page(seed, alpha):
    logits, targets = random_tokens(seed)
    power(Prediction.dense(logits, targets), alpha=alpha).sum().backward()
    p = logits.detach().softmax(-1)
    assert_close(logits.grad, alpha * (p**alpha - (p**alpha).sum(-1, keepdim=True) * p))


@given(seeds)
def test_the_entropies_of_renyi_and_tsallis_near_order_one_are_the_entropy(seed):
    prediction = Prediction.dense(*random_tokens(seed))
    alpha = 1 + 1e-6
    C = power(prediction, alpha=alpha)
    assert_close(C.log() / (1 - alpha), prediction.entropy, rtol=1e-4, atol=1e-4)
    assert_close((C - 1) / (1 - alpha), prediction.entropy, rtol=1e-4, atol=1e-4)


@given(seeds)
def test_of_order_one_it_is_the_constant_one(seed):
    logits, targets = random_tokens(seed)
    value = power(Prediction.dense(logits, targets), alpha=1.0)
    value.sum().backward()
    assert_close(value.detach(), torch.ones(5, dtype=torch.float64))
    assert_close(logits.grad, torch.zeros(5, 7, dtype=torch.float64))


@pytest.mark.parametrize("alpha", [0, -1, math.inf, math.nan])
def test_an_order_that_is_not_positive_is_refused(alpha):
    with pytest.raises(ValueError, match="positive alpha, got"):
        power(Prediction.dense(torch.zeros(1, 4), torch.tensor([0])), alpha=alpha)
