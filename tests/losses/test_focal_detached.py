"""What is true of `focal_detached` alone; the contract of every loss is in `test_contract.py`."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.config import IGNORE_INDEX
from losslab.losses.focal import focal
from losslab.losses.focal_detached import focal_detached
from losslab.objective import Objective
from losslab.prediction import Prediction

gammas = st.floats(0, 5)
seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


@given(seeds, gammas)
def test_gradient_is_that_of_cross_entropy_times_a_weight_of_mean_one(seed, gamma):
    logits, targets = random_tokens(seed)
    focal_detached(Prediction.dense(logits, targets), gamma=gamma).sum().backward()
    z, e_y = logits.detach(), F.one_hot(targets, 7)
    p = z.softmax(-1)
    p_y = (p * e_y).sum(-1, keepdim=True)
    weight = (1 - p_y) ** gamma
    assert_close(logits.grad, weight / weight.mean() * (p - e_y))


@given(seeds, gammas)
def test_masked_tokens_are_not_in_the_mean(seed, gamma):
    logits, targets = random_tokens(seed)
    masked = targets.index_fill(0, torch.tensor([1, 4]), IGNORE_INDEX)
    some = Objective.parse(f"focal_detached({gamma!r})")(logits, masked)
    alone = focal_detached(Prediction.dense(logits[[0, 2, 3]], targets[[0, 2, 3]]), gamma=gamma)
    assert_close(some[[0, 2, 3]], alone)
    assert not some[[1, 4]].any()


@given(seeds)
def test_with_a_gamma_of_zero_it_is_cross_entropy(seed):
    logits, targets = random_tokens(seed)
    nll = F.cross_entropy(logits, targets, reduction="none")
    assert_close(focal_detached(Prediction.dense(logits, targets), gamma=0.0), nll)


@given(seeds, gammas)
def test_a_token_alone_costs_its_code_length(seed, gamma):
    logits, targets = random_tokens(seed, tokens=1)
    nll = F.cross_entropy(logits, targets, reduction="none")
    assert_close(focal_detached(Prediction.dense(logits, targets), gamma=gamma), nll)


def test_all_masked_and_all_certain_tokens_cost_nothing():
    certain = torch.tensor([[1e4, 0.0], [0.0, 1e4]], requires_grad=True)
    value = focal_detached(Prediction.dense(certain, torch.tensor([0, 1])))
    value.sum().backward()
    assert not value.any() and not certain.grad.any()
    assert not Objective.parse("focal_detached")(certain, torch.full((2,), IGNORE_INDEX)).any()


def test_the_objective_finds_out_that_it_is_not_token_wise_independent():
    assert not Objective.parse("focal_detached").check(50)


@pytest.mark.parametrize("gamma", [-1, -1e-9, math.nan])
def test_a_negative_gamma_is_refused(gamma):
    with pytest.raises(ValueError, match="gamma of at least 0, got"):
        focal_detached(Prediction.dense(torch.zeros(1, 4), torch.tensor([0])), gamma=gamma)


def test_compared_with_focal_only_the_derivative_of_the_weight_is_missing():
    logits, targets = random_tokens(0)
    prediction = Prediction.dense(logits, targets)
    weighted = focal(prediction, gamma=2.0)
    mean = ((1 - (-prediction.nll).exp()) ** 2).mean()
    assert_close(focal_detached(prediction, gamma=2.0), weighted / mean)
