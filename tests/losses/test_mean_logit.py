"""What is true of `mean_logit` alone; the contract of every loss is in `test_contract.py`."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.losses.mean_logit import mean_logit
from losslab.prediction import Prediction

seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


@given(seeds)
def test_is_the_square_of_the_mean(seed):
    logits, targets = random_tokens(seed)
    assert_close(mean_logit(Prediction.dense(logits, targets)), logits.mean(-1) ** 2)


@given(seeds)
def test_gradient_is_the_same_for_every_logit(seed):
    logits, targets = random_tokens(seed)
    mean_logit(Prediction.dense(logits, targets)).sum().backward()
    assert_close(logits.grad, (2 / 7 * logits.detach().mean(-1, keepdim=True)).expand(5, 7))


@given(seeds)
def test_it_moves_no_probability(seed):
    logits, targets = random_tokens(seed)
    mean_logit(Prediction.dense(logits, targets)).sum().backward()
    z = logits.detach()
    assert_close((z - logits.grad).softmax(-1), z.softmax(-1))


def test_hand_value():
    # ((1 - 2 + 7) / 3)^2
    assert mean_logit(Prediction.dense(torch.tensor([[1.0, -2.0, 7.0]]), torch.tensor([0]))).item() == 4
