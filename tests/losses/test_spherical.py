"""What is true of `spherical` alone; the contract of every loss is in `test_contract.py`."""

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.losses.spherical import spherical
from losslab.prediction import Prediction

seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


@given(seeds)
def test_is_minus_the_cosine_of_an_angle(seed):
    logits, targets = random_tokens(seed)
    wanted = -F.cosine_similarity(logits.softmax(-1), F.one_hot(targets, 7).double())
    assert_close(spherical(Prediction.dense(logits, targets)), wanted)


@given(seeds)
def test_gradient_is_that_of_its_page(seed):
    logits, targets = random_tokens(seed)
    spherical(Prediction.dense(logits, targets)).sum().backward()
    z, e_y = logits.detach(), F.one_hot(targets, 7)
    p = z.softmax(-1)
    p_y = (p * e_y).sum(-1, keepdim=True)
    C = p.square().sum(-1, keepdim=True)
    assert_close(logits.grad, p_y * p**2 / C**1.5 - p_y / C.sqrt() * e_y)


@given(seeds)
def test_its_expectation_is_smallest_at_the_truth(seed):
    truth = random_tokens(seed, tokens=1)[0].detach().softmax(-1)[0]
    every = torch.arange(7)
    logits = truth.log().expand(7, 7).clone().requires_grad_()
    expected = (truth * spherical(Prediction.dense(logits, every))).sum()
    expected.backward()
    assert_close(logits.grad.sum(0), torch.zeros(7, dtype=torch.float64))
    other = truth.log() + torch.linspace(-0.5, 0.5, 7, dtype=torch.float64)
    assert (truth * spherical(Prediction.dense(other.expand(7, 7), every))).sum() > expected


def test_a_sure_hit_has_minus_one_and_a_sure_mistake_nothing():
    logits = torch.tensor([[1e4, 0.0], [1e4, 0.0]])
    assert spherical(Prediction.dense(logits, torch.tensor([0, 1]))).tolist() == [-1.0, 0.0]
