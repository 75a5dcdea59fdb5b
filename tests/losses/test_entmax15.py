"""What is true of `entmax15` alone; the contract of every loss is in `test_contract.py`."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.losses.entmax15 import entmax15
from losslab.prediction import Prediction

seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


def probabilities(z):
    """By bisection of the threshold, in float64."""
    low, high = z.amax(-1, keepdim=True) / 2 - 1, z.amax(-1, keepdim=True) / 2
    for _ in range(100):
        middle = (low + high) / 2
        too_much = (z / 2 - middle).clamp_min(0).square().sum(-1, keepdim=True) > 1
        low, high = middle.where(too_much, low), high.where(too_much, middle)
    return (z / 2 - low).clamp_min(0).square()


@given(seeds, st.floats(0.01, 3), st.integers(1, 40))
def test_gradient_is_the_sparse_prediction_minus_what_came(seed, scale, vocab):
    logits, targets = random_tokens(seed, vocab=vocab)
    logits = (scale * logits.detach()).requires_grad_()
    entmax15(Prediction.dense(logits, targets)).sum().backward()
    assert_close(logits.grad, probabilities(logits.detach()) - F.one_hot(targets, vocab))


@given(seeds, st.floats(0.01, 3))
def test_value_is_that_of_its_page(seed, scale):
    logits, targets = random_tokens(seed)
    z = scale * logits.detach()
    p, z_y = probabilities(z), z.gather(-1, targets[:, None])[:, 0]
    wanted = (p * z).sum(-1) - z_y + 4 / 3 * (1 - (p**1.5).sum(-1))
    value = entmax15(Prediction.dense(z, targets))
    assert_close(value, wanted)
    assert (value > -1e-12).all()


@pytest.mark.parametrize("lead", [2.0, 5.0, 1e4])
def test_a_target_that_leads_by_two_costs_and_teaches_nothing(lead):
    logits = torch.tensor([[lead, 0.0, -7.0]], requires_grad=True)
    value = entmax15(Prediction.dense(logits, torch.tensor([0])))
    value.sum().backward()
    assert abs(value.item()) < 1e-6 and logits.grad.abs().max() < 1e-6
    less = entmax15(Prediction.dense(torch.tensor([[1.9, 0.0, -7.0]]), torch.tensor([0])))
    assert less.item() > 1e-5


@given(seeds, st.floats(-50, 50))
def test_adding_a_constant_to_all_logits_changes_nothing(seed, constant):
    logits, targets = random_tokens(seed)
    shifted = entmax15(Prediction.dense(logits + constant, targets))
    assert_close(shifted, entmax15(Prediction.dense(logits, targets)))


@pytest.mark.parametrize("scale", [0.0, 1e-3, 0.3, 5.0])
def test_float32_keeps_the_probabilities_of_a_large_vocabulary(scale):
    logits = (scale * torch.randn(4, 50_257)).requires_grad_()
    entmax15(Prediction.dense(logits, torch.zeros(4, dtype=torch.long))).sum().backward()
    assert_close(logits.grad.sum(-1), torch.zeros(4), rtol=0, atol=3e-5)
    wanted = probabilities(logits.detach().double())
    assert_close(logits.grad[:, 1:].double(), wanted[:, 1:], rtol=1e-3, atol=1e-7)
