"""What is true of `label_smoothing` alone; the contract of every loss is in `test_contract.py`."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.losses.label_smoothing import label_smoothing
from losslab.prediction import Prediction

epsilons = st.floats(0, 1)
seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


@given(seeds, epsilons)
def test_equals_the_one_of_torch(seed, epsilon):
    logits, targets = random_tokens(seed)
    wanted = F.cross_entropy(logits, targets, label_smoothing=epsilon, reduction="none")
    assert_close(label_smoothing(Prediction.dense(logits, targets), epsilon=epsilon), wanted)


@given(seeds, epsilons)
def test_gradient_is_what_was_said_minus_the_smoothed_target(seed, epsilon):
    logits, targets = random_tokens(seed)
    label_smoothing(Prediction.dense(logits, targets), epsilon=epsilon).sum().backward()
    smoothed = (1 - epsilon) * F.one_hot(targets, 7) + epsilon / 7
    assert_close(logits.grad, logits.detach().softmax(-1) - smoothed)


@given(seeds)
def test_without_smoothing_it_is_cross_entropy(seed):
    logits, targets = random_tokens(seed)
    nll = F.cross_entropy(logits, targets, reduction="none")
    assert_close(label_smoothing(Prediction.dense(logits, targets), epsilon=0.0), nll)


@given(seeds)
def test_with_all_of_it_the_target_is_forgotten(seed):
    logits, targets = random_tokens(seed)
    other = (targets + 1) % 7
    one, another = (label_smoothing(Prediction.dense(logits, y), epsilon=1.0) for y in (targets, other))
    assert_close(one, another)


def test_hand_value_at_its_default():
    # log(1 + e^2) - 0.9*2 - 0.1*1
    prediction = Prediction.dense(torch.tensor([[0.0, 2.0]], dtype=torch.float64), torch.tensor([1]))
    assert_close(label_smoothing(prediction).item(), math.log(1 + math.e**2) - 1.9)


@pytest.mark.parametrize("epsilon", [0.05, 0.3])
def test_its_minimum_is_the_smoothed_target_not_certainty(epsilon):
    smoothed = (1 - epsilon) * F.one_hot(torch.tensor([2]), 5).double() + epsilon / 5
    logits = smoothed.log().requires_grad_()
    label_smoothing(Prediction.dense(logits, torch.tensor([2])), epsilon=epsilon).sum().backward()
    assert_close(logits.grad, torch.zeros(1, 5, dtype=torch.float64))


@pytest.mark.parametrize("epsilon", [-0.1, 1.1, math.nan])
def test_a_share_outside_the_unit_interval_is_refused(epsilon):
    with pytest.raises(ValueError, match=r"epsilon in \[0, 1\], got"):
        label_smoothing(Prediction.dense(torch.zeros(1, 4), torch.tensor([0])), epsilon=epsilon)
