"""What is true of `logit_variance` alone; the contract of every loss is in `test_contract.py`."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.losses.logit_variance import logit_variance
from losslab.losses.mean_logit import mean_logit
from losslab.prediction import Prediction

seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


@given(seeds)
def test_is_the_variance_that_torch_knows(seed):
    logits, targets = random_tokens(seed)
    assert_close(logit_variance(Prediction.dense(logits, targets)), logits.var(-1, correction=0))


@given(seeds)
def test_gradient_pulls_every_logit_to_the_mean(seed):
    logits, targets = random_tokens(seed)
    logit_variance(Prediction.dense(logits, targets)).sum().backward()
    z = logits.detach()
    assert_close(logits.grad, 2 / 7 * (z - z.mean(-1, keepdim=True)))


@given(seeds, st.floats(-50, 50))
def test_adding_a_constant_to_all_logits_changes_nothing(seed, constant):
    logits, targets = random_tokens(seed)
    shifted = logit_variance(Prediction.dense(logits + constant, targets))
    assert_close(shifted, logit_variance(Prediction.dense(logits, targets)))


@given(seeds)
def test_with_the_square_of_the_mean_it_is_the_mean_square(seed):
    prediction = Prediction.dense(*random_tokens(seed))
    assert_close(logit_variance(prediction) + mean_logit(prediction), prediction.sum_squares / 7)
