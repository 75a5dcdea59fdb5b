"""What is true of `multi_token` alone; the contract of every loss is in `test_contract.py`."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.config import IGNORE_INDEX
from losslab.losses.multi_token import multi_token
from losslab.objective import Objective
from losslab.prediction import Prediction

some_weights = st.lists(st.floats(0.01, 2), min_size=1, max_size=10)
seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


def random_rows(seed, vocab=5):
    logits, targets = random_tokens(seed, tokens=24, vocab=vocab)
    return logits.detach().view(3, 8, vocab).requires_grad_(), targets.view(3, 8)


def naive(logits, targets, weights):
    """By its definition; a target below 0 is not asked for."""
    log_p = logits.log_softmax(-1)
    value = torch.zeros_like(logits[..., 0])
    for i, weight in enumerate(weights):
        for row in range(targets.shape[0]):
            for here in range(targets.shape[1] - i):
                if (y := int(targets[row, here + i])) >= 0:
                    value[row, here] -= weight * log_p[row, here, y]
    return value


@given(seeds, some_weights)
def test_is_a_weighted_sum_over_the_targets_that_follow(seed, weights):
    logits, targets = random_rows(seed)
    assert_close(multi_token(Prediction.dense(logits, targets), weights=weights), naive(logits, targets, weights))


@given(seeds, some_weights)
def test_what_is_masked_is_not_asked_for(seed, weights):
    logits, targets = random_rows(seed)
    valid = torch.rand(3, 8, generator=torch.Generator().manual_seed(seed)) < 0.6
    masked = targets.where(valid, IGNORE_INDEX)
    value = multi_token(Prediction.dense(logits, masked), weights=weights)
    assert_close(value[valid], naive(logits, masked, weights)[valid])


@given(seeds, some_weights)
def test_gradient_is_what_was_said_minus_each_target_by_its_weight(seed, weights):
    logits, targets = random_rows(seed)
    multi_token(Prediction.dense(logits, targets), weights=weights).sum().backward()
    p = logits.detach().softmax(-1)
    wanted = torch.zeros_like(p)
    for i, weight in enumerate(weights[: targets.shape[1]]):
        wanted[:, : 8 - i] += weight * (p[:, : 8 - i] - F.one_hot(targets[:, i:], 5))
    assert_close(logits.grad, wanted)


@given(seeds, st.lists(st.just(0.0), max_size=3))
def test_without_later_weights_it_is_cross_entropy(seed, zeros):
    prediction = Prediction.dense(*random_rows(seed))
    assert_close(multi_token(prediction, weights=[1.0, *zeros]), prediction.nll)


def test_a_target_that_comes_twice_is_asked_for_twice():
    logits, targets = torch.randn(1, 2, 4, dtype=torch.float64), torch.tensor([[3, 3]])
    prediction = Prediction.dense(logits, targets)
    assert_close(multi_token(prediction, weights=[1.0, 0.5])[0, 0], 1.5 * prediction.nll[0, 0])


@pytest.mark.parametrize("shape", [(), (6,)])
def test_tokens_without_rows_are_refused(shape):
    with pytest.raises(ValueError, match=r"takes targets \[batch, seq\], got"):
        multi_token(Prediction.dense(torch.zeros(*shape, 4), torch.zeros(shape, dtype=torch.long)))


@pytest.mark.parametrize("vocab", [3, 50, 50_257])
def test_the_objective_finds_out_that_it_is_not_token_wise_independent(vocab):
    assert not Objective.parse("multi_token([1, 0.01])").check(vocab)


@pytest.mark.parametrize("weights", [[0.0, 1.0], [1.0, -0.5], [math.nan], [1.0, math.nan]])
def test_weights_out_of_range_are_refused(weights):
    with pytest.raises(ValueError, match="not negative, the first positive, got"):
        multi_token(Prediction.dense(torch.zeros(1, 2, 4), torch.zeros(1, 2, dtype=torch.long)), weights=weights)


@pytest.mark.parametrize("weights", [[], 1.0])
def test_what_is_not_a_list_is_refused(weights):
    with pytest.raises(ValueError, match="weights as a list"):
        multi_token(Prediction.dense(torch.zeros(1, 2, 4), torch.zeros(1, 2, dtype=torch.long)), weights=weights)
