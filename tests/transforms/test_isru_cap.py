"""What is true of `isru_cap` alone; that a transform stands before every loss is in `test_softcap.py`."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.transforms.isru_cap import isru_cap
from losslab.transforms.softcap import softcap

caps = st.floats(0.5, 100)
seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


@given(seeds, caps)
def test_derivative_is_that_of_its_page(seed, cap):
    raw = random_tokens(seed)[0]
    z = isru_cap(raw, cap=cap)
    z.sum().backward()
    r = raw.detach()
    assert_close(z.detach(), cap * r / (r**2 + cap**2).sqrt())
    assert_close(raw.grad, (1 + (r / cap) ** 2) ** -1.5)


@given(seeds, caps)
def test_no_logit_exceeds_the_cap_and_the_order_stays(seed, cap):
    raw = random_tokens(seed)[0].detach()
    z = isru_cap(raw, cap=cap)
    assert (z.abs() <= cap).all() and (z.abs() <= raw.abs()).all() and (z.sign() == raw.sign()).all()
    assert (z.sort(-1).values == isru_cap(raw.sort(-1).values, cap=cap)).all()
    assert (z.abs() <= softcap(raw, cap=cap).abs() + 1e-12).all()  # it bends earlier than tanh


@given(seeds)
def test_a_distant_cap_is_the_identity(seed):
    raw = random_tokens(seed)[0]
    assert_close(isru_cap(raw, cap=1e8), raw)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_and_dtype_stay_and_large_logits_stay_finite(dtype):
    raw = torch.tensor([[1e4, -1e4, 0.0]], dtype=dtype, requires_grad=True)
    z = isru_cap(raw)
    z.sum().backward()
    assert z.shape == raw.shape and z.dtype == dtype
    assert_close(z.detach(), torch.tensor([[15.0, -15.0, 0.0]], dtype=dtype), rtol=1e-5, atol=0)
    assert_close(raw.grad, torch.tensor([[0.0, 0.0, 1.0]], dtype=dtype), rtol=0, atol=1e-8)


@pytest.mark.parametrize("cap", [0, -1.0, math.inf, math.nan])
def test_a_cap_that_is_not_positive_is_refused(cap):
    with pytest.raises(ValueError, match="isru_cap takes a positive cap, got"):
        isru_cap(torch.zeros(1), cap=cap)
