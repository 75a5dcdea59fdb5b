"""What is true of `sigmoid_cap` alone; that a transform stands before every loss is in `test_softcap.py`."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.transforms.sigmoid_cap import sigmoid_cap
from losslab.transforms.softcap import softcap

seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


@given(seeds, st.floats(0.5, 50), st.floats(-10, 10), st.floats(0.5, 20))
def test_derivative_is_that_of_its_page(seed, A, B, C):
    raw = random_tokens(seed)[0]
    z = sigmoid_cap(raw, A=A, B=B, C=C)
    z.sum().backward()
    assert_close(z.detach(), A / (1 + torch.exp(-(raw.detach() + B) / C)))
    assert_close(raw.grad, z.detach() / C * (1 - z.detach() / A))


@given(seeds, st.floats(0.5, 100))
def test_with_its_middle_at_zero_it_is_the_tanh_cap_plus_the_cap(seed, cap):
    raw, targets = random_tokens(seed)
    z = sigmoid_cap(raw, A=2 * cap, B=0.0, C=cap / 2)
    assert_close(z, softcap(raw, cap=cap) + cap)
    assert_close(z.softmax(-1), softcap(raw, cap=cap).softmax(-1))
    shift = z.logsumexp(-1) - softcap(raw, cap=cap).logsumexp(-1)
    assert_close(shift, torch.full_like(shift, cap))  # so a z-loss added to it is another


def test_at_its_defaults_a_logit_of_minus_five_is_in_the_middle():
    assert sigmoid_cap(torch.tensor(-5.0)).item() == 11.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_and_dtype_stay_and_large_logits_stay_finite(dtype):
    raw = torch.tensor([[1e4, -1e4, 0.0]], dtype=dtype, requires_grad=True)
    z = sigmoid_cap(raw)
    z.sum().backward()
    assert z.shape == raw.shape and z.dtype == dtype and z[0, :2].tolist() == [23.0, 0.0]
    assert raw.grad.isfinite().all() and raw.grad[0, :2].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [({"A": 0}, "positive A"), ({"A": math.nan}, "positive A"), ({"B": math.inf}, "finite B"),
     ({"B": math.nan}, "finite B"), ({"C": -1}, "positive C"), ({"C": math.nan}, "positive C")],
)  # fmt: skip
def test_a_parameter_out_of_range_is_refused(given, wanted):
    with pytest.raises(ValueError, match=f"sigmoid_cap takes a {wanted}, got"):
        sigmoid_cap(torch.zeros(1), **given)
