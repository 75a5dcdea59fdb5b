"""What is true of `brier` alone; the contract of every loss is in `test_contract.py`."""

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.losses.brier import brier
from losslab.prediction import Prediction

seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


@given(seeds)
def test_is_the_squared_distance_between_probabilities_and_what_came(seed):
    logits, targets = random_tokens(seed)
    wanted = (logits.softmax(-1) - F.one_hot(targets, 7)).square().sum(-1)
    assert_close(brier(Prediction.dense(logits, targets)), wanted)


@given(seeds)
def test_gradient_is_that_of_its_page(seed):
    logits, targets = random_tokens(seed)
    brier(Prediction.dense(logits, targets)).sum().backward()
    z, e_y = logits.detach(), F.one_hot(targets, 7)
    p = z.softmax(-1)
    p_y = (p * e_y).sum(-1, keepdim=True)
    C = p.square().sum(-1, keepdim=True)
    assert_close(logits.grad, 2 * p * (p - C + p_y) - 2 * p_y * e_y)


@given(seeds)
def test_its_expectation_is_smallest_at_the_truth(seed):
    truth = random_tokens(seed, tokens=1)[0].detach().softmax(-1)[0]
    every = torch.arange(7)
    logits = truth.log().expand(7, 7).clone().requires_grad_()
    expected = (truth * brier(Prediction.dense(logits, every))).sum()
    expected.backward()
    assert_close(logits.grad.sum(0), torch.zeros(7, dtype=torch.float64))
    other = truth.log() + torch.linspace(-0.5, 0.5, 7, dtype=torch.float64)
    assert (truth * brier(Prediction.dense(other.expand(7, 7), every))).sum() > expected


def test_a_sure_mistake_costs_two_and_a_sure_hit_nothing():
    logits = torch.tensor([[1e4, 0.0], [1e4, 0.0]])
    assert brier(Prediction.dense(logits, torch.tensor([1, 0]))).tolist() == [2.0, 0.0]


@given(seeds)
def test_of_two_classes_it_is_twice_the_square_of_the_miss(seed):
    logits, targets = random_tokens(seed, vocab=2)
    miss = 1 - logits.softmax(-1).gather(-1, targets[:, None])[:, 0]
    assert_close(brier(Prediction.dense(logits, targets)), 2 * miss**2)
