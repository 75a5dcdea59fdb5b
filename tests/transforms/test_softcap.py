"""What is true of `softcap`, and of where a transform stands: before every loss."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.objective import Objective
from losslab.transforms.softcap import softcap

caps = st.floats(0.5, 100)
seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


@given(seeds, caps)
def test_derivative_is_one_minus_the_square_of_the_share_of_the_cap(seed, cap):
    raw = random_tokens(seed)[0]
    z = softcap(raw, cap=cap)
    z.sum().backward()
    assert_close(raw.grad, 1 - (z.detach() / cap) ** 2)


@given(seeds, caps)
def test_no_logit_exceeds_the_cap_and_the_order_stays(seed, cap):
    raw = random_tokens(seed)[0].detach()
    z = softcap(raw, cap=cap)
    assert (z.abs() <= cap).all() and (z.abs() <= raw.abs()).all() and (z.sign() == raw.sign()).all()
    assert (z.sort(-1).values == softcap(raw.sort(-1).values, cap=cap)).all()


@given(seeds)
def test_a_distant_cap_is_the_identity(seed):
    raw = random_tokens(seed)[0]
    assert_close(softcap(raw, cap=1e8), raw)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_and_dtype_stay_and_large_logits_stay_finite(dtype):
    raw = torch.tensor([[1e4, -1e4, 0.0]], dtype=dtype, requires_grad=True)
    z = softcap(raw)
    z.sum().backward()
    assert z.shape == raw.shape and z.dtype == dtype
    assert_close(z.detach(), torch.tensor([[15.0, -15.0, 0.0]], dtype=dtype))
    assert_close(raw.grad, torch.tensor([[0.0, 0.0, 1.0]], dtype=dtype))


@given(seeds, st.floats(1, 5))
def test_every_loss_sees_the_capped_logits(seed, cap):
    logits, targets = random_tokens(seed)
    value = Objective.parse(f"softcap({cap!r}) | cross_entropy + 0.3*z_loss + squentropy")(logits, targets)
    plain = Objective.parse("cross_entropy + 0.3*z_loss + squentropy")(cap * torch.tanh(logits / cap), targets)
    assert_close(value, plain)


def test_z_loss_behind_a_cap_is_of_the_capped_partition_function():
    logits = torch.tensor([[40.0, 0.0]], dtype=torch.float64)
    both = Objective.parse("softcap(2) | cross_entropy + z_loss")(logits, torch.tensor([0])).item()
    log_z = math.log(math.exp(2 * math.tanh(20)) + 1)
    assert_close(both, log_z - 2 * math.tanh(20) + log_z**2)


@pytest.mark.parametrize("cap", [0, -1.0, math.nan])
def test_a_cap_that_is_not_positive_is_refused(cap):
    with pytest.raises(ValueError, match="softcap takes a positive cap, got"):
        softcap(torch.zeros(1), cap=cap)
    if cap == cap:
        with pytest.raises(ValueError, match="softcap takes a positive cap, got"):
            Objective.parse(f"softcap({cap}) | cross_entropy")
