"""What is true of `generalized_cross_entropy` alone; the contract of every loss is in `test_contract.py`."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.losses.generalized_cross_entropy import generalized_cross_entropy
from losslab.prediction import Prediction

qs = st.floats(0.01, 1)
seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


@given(seeds, qs)
def test_gradient_is_that_of_cross_entropy_times_a_power_of_what_the_target_got(seed, q):
    logits, targets = random_tokens(seed)
    generalized_cross_entropy(Prediction.dense(logits, targets), q=q).sum().backward()
    z, e_y = logits.detach(), F.one_hot(targets, 7)
    p = z.softmax(-1)
    p_y = (p * e_y).sum(-1, keepdim=True)
    assert_close(logits.grad, p_y**q * (p - e_y))


@given(seeds, qs)
def test_is_what_its_formula_says(seed, q):
    logits, targets = random_tokens(seed)
    p_y = logits.softmax(-1).gather(-1, targets[:, None])[:, 0]
    assert_close(generalized_cross_entropy(Prediction.dense(logits, targets), q=q), (1 - p_y**q) / q)


@given(seeds)
def test_with_a_small_q_it_is_cross_entropy(seed):
    logits, targets = random_tokens(seed)
    nll = F.cross_entropy(logits, targets, reduction="none")
    assert_close(generalized_cross_entropy(Prediction.dense(logits, targets), q=1e-9), nll)


@given(seeds)
def test_with_a_q_of_one_it_is_the_probability_of_a_mistake(seed):
    logits, targets = random_tokens(seed)
    p_y = logits.softmax(-1).gather(-1, targets[:, None])[:, 0]
    assert_close(generalized_cross_entropy(Prediction.dense(logits, targets), q=1), 1 - p_y)


def test_at_its_default_a_sure_mistake_costs_one_over_q():
    value = generalized_cross_entropy(Prediction.dense(torch.tensor([[1e4, 0.0]]), torch.tensor([1])))
    assert_close(value.item(), 1 / 0.7)


@pytest.mark.parametrize("q", [0, -0.1, 1.01, math.nan])
def test_a_q_outside_its_range_is_refused(q):
    with pytest.raises(ValueError, match=r"q in \(0, 1\], got"):
        generalized_cross_entropy(Prediction.dense(torch.zeros(1, 4), torch.tensor([0])), q=q)
