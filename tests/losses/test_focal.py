"""What is true of `focal` alone; the contract of every loss is in `test_contract.py`."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.losses.focal import focal
from losslab.prediction import Prediction

gammas = st.floats(0, 5)
seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


@given(seeds, gammas)
def test_gradient_is_that_of_cross_entropy_rescaled(seed, gamma):
    logits, targets = random_tokens(seed)
    focal(Prediction.dense(logits, targets), gamma=gamma).sum().backward()
    z, e_y = logits.detach(), F.one_hot(targets, 7)
    p = z.softmax(-1)
    p_y = (p * e_y).sum(-1, keepdim=True)
    weight = (1 - p_y) ** gamma - gamma * p_y * (1 - p_y) ** (gamma - 1) * p_y.log()
    assert_close(logits.grad, weight * (p - e_y))


@given(seeds)
def test_without_focus_it_is_cross_entropy(seed):
    logits, targets = random_tokens(seed)
    nll = F.cross_entropy(logits, targets, reduction="none")
    assert_close(focal(Prediction.dense(logits, targets), gamma=0.0), nll)


def test_hand_value():
    # p_y = 5/8: (3/8)^2 * log(8/5)
    logits = torch.tensor([[1.0, 2.0, 5.0]], dtype=torch.float64).log()
    assert_close(focal(Prediction.dense(logits, torch.tensor([2]))).item(), (3 / 8) ** 2 * math.log(8 / 5))


@pytest.mark.parametrize("gamma", [0.0, 1e-3, 0.5, 1.0, 2.0, 5.0])
def test_a_certain_token_has_a_finite_gradient_for_every_focus(gamma):
    logits = torch.tensor([[lead, 0.0] for lead in (0.0, 15.0, 17.0, 40.0, 90.0, 1e4)], requires_grad=True)
    value = focal(Prediction.dense(logits, torch.zeros(6, dtype=torch.long)), gamma=gamma)
    value.sum().backward()
    assert value.isfinite().all() and logits.grad.isfinite().all() and logits.grad.abs().max() < 1


def test_a_nll_just_below_zero_does_no_harm():
    class Rounded:  # a streamed nll is a difference, and may come out below 0
        nll = torch.tensor([-1e-7], requires_grad=True)

    value = focal(Rounded(), gamma=0.5)
    value.sum().backward()
    assert value.isfinite().all() and Rounded.nll.grad.isfinite().all()


def test_its_minimum_is_flatter_than_the_truth():
    truth = torch.tensor([0.9, 0.1], dtype=torch.float64)
    logits = truth.log().expand(2, 2).clone().requires_grad_()
    (truth * focal(Prediction.dense(logits, torch.tensor([0, 1])), gamma=2.0)).sum().backward()
    assert logits.grad.sum(0)[0] > 0  # at the truth, descent takes from the likelier token


@pytest.mark.parametrize("gamma", [-1, -1e-9, math.nan])
def test_a_negative_focus_is_refused(gamma):
    with pytest.raises(ValueError, match="gamma of at least 0, got"):
        focal(Prediction.dense(torch.zeros(1, 4), torch.tensor([0])), gamma=gamma)
