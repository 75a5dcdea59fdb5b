"""What is true of `temperature` alone; that a transform stands before every loss is in `test_softcap.py`."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.objective import Objective
from losslab.transforms.temperature import temperature

temperatures = st.floats(0.1, 10)
seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


@given(seeds, temperatures)
def test_divides_and_so_does_its_derivative(seed, T):
    raw = random_tokens(seed)[0]
    z = temperature(raw, temperature=T)
    z.sum().backward()
    assert_close(z.detach(), raw.detach() / T)
    assert_close(raw.grad, torch.full_like(raw, 1 / T))


@given(seeds, temperatures)
def test_in_a_formula_it_stands_before_every_loss(seed, T):
    logits, targets = random_tokens(seed)
    value = Objective.parse(f"temperature({T!r}) | cross_entropy + 0.1*z_loss")(logits, targets)
    assert_close(value, Objective.parse("cross_entropy + 0.1*z_loss")(logits / T, targets))


def test_of_one_it_is_the_identity():
    raw = torch.randn(3, 5)
    assert (temperature(raw) == raw).all()


@pytest.mark.parametrize("wrong", [0, -1.0, math.inf, math.nan])
def test_a_temperature_that_is_not_positive_is_refused(wrong):
    with pytest.raises(ValueError, match="temperature takes a positive temperature, got"):
        temperature(torch.zeros(1), temperature=wrong)
