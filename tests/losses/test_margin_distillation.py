"""What is true of `margin_distillation` alone; the contract of every loss is in `test_contract.py`."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.losses.margin_distillation import margin_distillation
from losslab.prediction import Prediction

shares = st.floats(0, 1)
seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


def parts(logits, targets, share, temperature, margin):
    """Teacher and gate by their definitions."""
    z = logits.detach()
    z_y = z.gather(-1, targets[:, None])[:, 0]
    rival = z.masked_fill(F.one_hot(targets, z.shape[-1]).bool(), -math.inf).max(-1).values
    return (z / temperature).softmax(-1), share * torch.sigmoid(z_y - rival - margin)[:, None]


@given(seeds, shares, st.floats(0.3, 5), st.floats(-3, 3))
def test_gradient_is_what_was_said_minus_the_mixed_target(seed, share, temperature, margin):
    logits, targets = random_tokens(seed)
    given = {"share": share, "temperature": temperature, "margin": margin}
    value = margin_distillation(Prediction.dense(logits, targets), **given)
    value.sum().backward()
    teacher, gate = parts(logits, targets, **given)
    mixed = (1 - gate) * F.one_hot(targets, 7) + gate * teacher
    assert_close(logits.grad, logits.detach().softmax(-1) - mixed)
    assert_close(value.detach(), -(mixed * logits.detach().log_softmax(-1)).sum(-1))


@given(seeds)
def test_without_a_share_it_is_cross_entropy(seed):
    prediction = Prediction.dense(*random_tokens(seed))
    assert_close(margin_distillation(prediction, share=0.0), prediction.nll)


@given(seeds)
def test_where_the_target_is_far_behind_it_is_cross_entropy(seed):
    prediction = Prediction.dense(*random_tokens(seed))
    assert_close(margin_distillation(prediction, share=1.0, margin=1e3), prediction.nll)


@given(seeds)
def test_the_own_prediction_as_only_teacher_teaches_nothing(seed):
    logits, targets = random_tokens(seed)
    given = {"share": 1.0, "temperature": 1.0, "margin": -1e3}
    margin_distillation(Prediction.dense(logits, targets), **given).sum().backward()
    assert_close(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize(
    ("given", "wanted"),
    [({"share": -0.1}, "share"), ({"share": 1.1}, "share"), ({"share": math.nan}, "share"),
     ({"temperature": 0.0}, "positive temperature"), ({"temperature": math.nan}, "positive temperature"),
     ({"margin": math.inf}, "finite margin"), ({"margin": math.nan}, "finite margin")],
)  # fmt: skip
def test_a_parameter_out_of_range_is_refused(given, wanted):
    with pytest.raises(ValueError, match=f"{wanted}.*, got"):
        margin_distillation(Prediction.dense(torch.zeros(1, 4), torch.tensor([0])), **given)
