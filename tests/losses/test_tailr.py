"""What is true of `tailr` alone; the contract of every loss is in `test_contract.py`."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.losses.tailr import tailr
from losslab.losses.token_scaled import token_scaled
from losslab.prediction import Prediction

gammas, floors = st.floats(0.01, 1), st.floats(0, 1)
seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


@given(seeds, gammas, floors)
def test_gradient_is_that_of_cross_entropy_times_the_weight(seed, gamma, floor):
    logits, targets = random_tokens(seed)
    value = tailr(Prediction.dense(logits, targets), gamma=gamma, min_weight=floor)
    value.sum().backward()
    z, e_y = logits.detach(), F.one_hot(targets, 7)
    p = z.softmax(-1)
    p_y = (p * e_y).sum(-1, keepdim=True)
    weight = (p_y / (gamma + (1 - gamma) * p_y)).clamp(floor, 1)
    assert_close(logits.grad, weight * (p - e_y))
    assert_close(value.detach(), -(weight * p_y.log()).squeeze(-1))


@given(seeds)
def test_without_its_gamma_it_is_cross_entropy_and_with_all_of_it_token_scaled(seed):
    prediction = Prediction.dense(*random_tokens(seed))
    assert_close(tailr(prediction, gamma=1e-18, min_weight=0.0), prediction.nll)
    assert_close(tailr(prediction, gamma=1.0, min_weight=0.0), token_scaled(prediction))


@given(seeds, gammas)
def test_a_least_weight_of_one_is_cross_entropy(seed, gamma):
    prediction = Prediction.dense(*random_tokens(seed))
    assert_close(tailr(prediction, gamma=gamma, min_weight=1.0), prediction.nll)


def test_at_its_defaults_a_hopeless_token_weighs_the_least():
    # nll = 100, and the weight is 0.3
    value = tailr(Prediction.dense(torch.tensor([[100.0, 0.0]]), torch.tensor([1])))
    assert_close(value.item(), 30.0)


@pytest.mark.parametrize("gamma", [0, -0.1, 1.1, math.nan])
def test_a_gamma_outside_its_range_is_refused(gamma):
    with pytest.raises(ValueError, match=r"gamma in \(0, 1\], got"):
        tailr(Prediction.dense(torch.zeros(1, 4), torch.tensor([0])), gamma=gamma)


@pytest.mark.parametrize("weight", [-0.1, 1.1, math.nan])
def test_a_least_weight_outside_its_range_is_refused(weight):
    with pytest.raises(ValueError, match=r"min_weight in \[0, 1\], got"):
        tailr(Prediction.dense(torch.zeros(1, 4), torch.tensor([0])), min_weight=weight)
