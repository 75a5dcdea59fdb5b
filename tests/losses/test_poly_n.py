"""What is true of `poly_n` alone; the contract of every loss is in `test_contract.py`."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.losses.poly1 import poly1
from losslab.losses.poly_n import poly_n
from losslab.objective import Objective
from losslab.prediction import Prediction

coefficients = st.lists(st.floats(0, 5), min_size=1, max_size=4)
seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


@given(seeds, coefficients)
def test_is_the_sum_that_it_says(seed, given_ones):
    logits, targets = random_tokens(seed)
    nll = F.cross_entropy(logits, targets, reduction="none")
    wanted = nll + sum(e * (1 - (-nll).exp()) ** n for n, e in enumerate(given_ones, start=1))
    assert_close(poly_n(Prediction.dense(logits, targets), coefficients=given_ones), wanted)


@given(seeds, coefficients)
def test_gradient_is_that_of_cross_entropy_rescaled(seed, given_ones):
    logits, targets = random_tokens(seed)
    poly_n(Prediction.dense(logits, targets), coefficients=given_ones).sum().backward()
    z, e_y = logits.detach(), F.one_hot(targets, 7)
    p = z.softmax(-1)
    p_y = (p * e_y).sum(-1, keepdim=True)
    slope = sum(n * e * (1 - p_y) ** (n - 1) for n, e in enumerate(given_ones, start=1))
    assert_close(logits.grad, (1 + p_y * slope) * (p - e_y))


@given(seeds, st.floats(-1, 8))
def test_one_coefficient_is_poly1(seed, epsilon):
    prediction = Prediction.dense(*random_tokens(seed))
    assert_close(poly_n(prediction, coefficients=[epsilon]), poly1(prediction, epsilon=epsilon))
    assert_close(poly_n(prediction), poly1(prediction))


def test_taking_the_whole_series_away_leaves_nothing():
    # -log p_y is the sum of (1 - p_y)^n / n; at p_y = 1/2 fifty of them are exact to fifteen digits
    even = Prediction.dense(torch.zeros(1, 2, dtype=torch.float64), torch.tensor([1]))
    assert_close(poly_n(even, coefficients=[-1 / n for n in range(1, 51)]).item(), 0.0, rtol=0, atol=1e-15)


def test_in_a_formula_a_list_and_whole_numbers_are_the_same_loss():
    one, other = Objective.parse("poly_n([1, 0.5])"), Objective.parse("poly_n(coefficients=(1.0, 0.5))")
    assert one.explicit == other.explicit == "1.0*poly_n(coefficients=(1.0, 0.5))"


@pytest.mark.parametrize("wrong", [[-1.1], [0.0, -0.51], [1.0, 1.0, math.nan]])
def test_a_coefficient_that_turns_the_series_is_refused(wrong):
    with pytest.raises(ValueError, match="at least -1/n, got"):
        poly_n(Prediction.dense(torch.zeros(1, 4), torch.tensor([0])), coefficients=wrong)


@pytest.mark.parametrize("wrong", [[], (), 2.0])
def test_what_is_not_a_list_is_refused(wrong):
    with pytest.raises(ValueError, match="coefficients as a list"):
        poly_n(Prediction.dense(torch.zeros(1, 4), torch.tensor([0])), coefficients=wrong)
