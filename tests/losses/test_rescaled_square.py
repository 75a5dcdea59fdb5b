"""What is true of `rescaled_square` alone; the contract of every loss is in `test_contract.py`."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.losses.mse import mse
from losslab.losses.rescaled_square import rescaled_square
from losslab.losses.weighted_mse import weighted_mse
from losslab.prediction import Prediction

ks, goals = st.floats(0, 1000), st.floats(-50, 50)
seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


@given(seeds, ks, goals)
def test_is_the_mean_over_the_vocabulary_of_weighted_squares(seed, k, M):
    logits, targets = random_tokens(seed)
    e_y = F.one_hot(targets, 7).double()
    wanted = ((1 + (k - 1) * e_y) * (logits - M * e_y) ** 2).mean(-1)
    assert_close(rescaled_square(Prediction.dense(logits, targets), k=k, M=M), wanted)


@given(seeds, ks, goals)
def test_gradient_weighs_the_distance_of_the_target_from_its_goal(seed, k, M):
    logits, targets = random_tokens(seed)
    rescaled_square(Prediction.dense(logits, targets), k=k, M=M).sum().backward()
    e_y, z = F.one_hot(targets, 7), logits.detach()
    assert_close(logits.grad, 2 / 7 * (z * (1 - e_y) + k * (z - M) * e_y))


@given(seeds, ks)
def test_with_a_goal_of_one_it_is_weighted_mse_and_with_weight_one_mse(seed, k):
    prediction = Prediction.dense(*random_tokens(seed))
    assert_close(rescaled_square(prediction, k=k, M=1.0), weighted_mse(prediction, target_weight=k))
    assert_close(rescaled_square(prediction, k=1.0, M=1.0), mse(prediction))
    assert_close(rescaled_square(prediction), mse(prediction))


def test_knowing_nothing_costs_the_goal():
    # 15 * 30^2 / 50
    value = rescaled_square(Prediction.dense(torch.zeros(1, 50), torch.tensor([7])), k=15, M=30)
    assert value.item() == 270


@pytest.mark.parametrize("k", [-1, -1e-9, math.nan])
def test_a_negative_weight_is_refused(k):
    with pytest.raises(ValueError, match="k of at least 0, got"):
        rescaled_square(Prediction.dense(torch.zeros(1, 4), torch.tensor([0])), k=k)


@pytest.mark.parametrize("M", [math.inf, math.nan])
def test_a_goal_that_is_no_number_is_refused(M):
    with pytest.raises(ValueError, match="finite M, got"):
        rescaled_square(Prediction.dense(torch.zeros(1, 4), torch.tensor([0])), M=M)
