"""What is true of `weighted_mse` alone; the contract of every loss is in `test_contract.py`."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.losses.weighted_mse import weighted_mse
from losslab.prediction import Prediction

target_weights = st.floats(0, 1000)
seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


@given(seeds, target_weights)
def test_is_the_mean_over_the_vocabulary_of_weighted_squares(seed, k):
    logits, targets = random_tokens(seed)
    e_y = F.one_hot(targets, 7).double()
    wanted = ((1 + (k - 1) * e_y) * (logits - e_y) ** 2).mean(-1)
    assert_close(weighted_mse(Prediction.dense(logits, targets), target_weight=k), wanted)


@given(seeds, target_weights)
def test_gradient_weighs_the_distance_of_the_target(seed, k):
    logits, targets = random_tokens(seed)
    weighted_mse(Prediction.dense(logits, targets), target_weight=k).sum().backward()
    e_y, z = F.one_hot(targets, 7), logits.detach()
    assert_close(logits.grad, 2 / 7 * (z * (1 - e_y) + k * (z - 1) * e_y))


def test_hand_value_at_the_weight_of_the_study():
    # (65 * (3 - 1)^2 + 1^2) / 2
    prediction = Prediction.dense(torch.tensor([[1.0, 3.0]]), torch.tensor([1]))
    assert weighted_mse(prediction).item() == 130.5


def test_a_whole_number_and_a_float_are_one_weight():
    prediction = Prediction.dense(torch.tensor([[1.0, 3.0]]), torch.tensor([1]))
    assert_close(weighted_mse(prediction, target_weight=65), weighted_mse(prediction), rtol=0, atol=0)


@pytest.mark.parametrize("weight", [-1, -1e-9, math.nan])
def test_a_negative_weight_is_refused(weight):
    with pytest.raises(ValueError, match="target_weight of at least 0, got"):
        weighted_mse(Prediction.dense(torch.zeros(1, 4), torch.tensor([0])), target_weight=weight)
