"""What is true of `mse` alone; the contract of every loss is in `test_contract.py`."""

import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.losses.mse import mse
from losslab.losses.weighted_mse import weighted_mse
from losslab.prediction import Prediction

seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


@given(seeds)
def test_is_the_mean_squared_distance_from_the_one_hot_target(seed):
    logits, targets = random_tokens(seed)
    wanted = F.mse_loss(logits, F.one_hot(targets, 7).double(), reduction="none").mean(-1)
    assert_close(mse(Prediction.dense(logits, targets)), wanted)


@given(seeds)
def test_gradient_is_twice_the_distance_over_the_vocabulary(seed):
    logits, targets = random_tokens(seed)
    mse(Prediction.dense(logits, targets)).sum().backward()
    assert_close(logits.grad, 2 / 7 * (logits.detach() - F.one_hot(targets, 7)))


@given(seeds)
def test_is_weighted_mse_with_a_target_of_weight_one(seed):
    logits, targets = random_tokens(seed)
    prediction = Prediction.dense(logits, targets)
    assert_close(mse(prediction), weighted_mse(prediction, target_weight=1.0))


def test_is_zero_and_still_at_the_one_hot_target():
    logits = F.one_hot(torch.tensor([3, 0]), 5).double().requires_grad_()
    loss = mse(Prediction.dense(logits, torch.tensor([3, 0])))
    loss.sum().backward()
    assert not loss.any() and not logits.grad.any()


def test_knowing_nothing_costs_one_part_of_the_vocabulary():
    assert_close(mse(Prediction.dense(torch.zeros(1, 50), torch.tensor([7]))).item(), 1 / 50)
