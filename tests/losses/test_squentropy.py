"""What is true of `squentropy` alone; the contract of every loss is in `test_contract.py`."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.losses.squentropy import squentropy
from losslab.objective import Objective
from losslab.prediction import Prediction

square_weights = st.floats(0, 10)
seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


@given(seeds, square_weights)
def test_is_cross_entropy_plus_the_mean_square_of_the_wrong_logits(seed, a):
    logits, targets = random_tokens(seed)
    wrong = logits.masked_fill(F.one_hot(targets, 7).bool(), 0.0)
    wanted = F.cross_entropy(logits, targets, reduction="none") + a * wrong.square().sum(-1) / 6
    assert_close(squentropy(Prediction.dense(logits, targets), square_weight=a), wanted)


@given(seeds, square_weights)
def test_gradient_pulls_every_wrong_logit_to_zero(seed, a):
    logits, targets = random_tokens(seed)
    squentropy(Prediction.dense(logits, targets), square_weight=a).sum().backward()
    z, e_y = logits.detach(), F.one_hot(targets, 7)
    assert_close(logits.grad, z.softmax(-1) - e_y + 2 * a / 6 * z * (1 - e_y))


@given(seeds)
def test_without_the_square_it_is_cross_entropy(seed):
    logits, targets = random_tokens(seed)
    nll = F.cross_entropy(logits, targets, reduction="none")
    assert_close(squentropy(Prediction.dense(logits, targets), square_weight=0.0), nll)


def test_hand_value():
    # the wrong logits are 1 and 3: (1 + 9) / 2, added to log(e + 1 + e^3) - 0
    prediction = Prediction.dense(torch.tensor([[1.0, 0.0, 3.0]], dtype=torch.float64), torch.tensor([1]))
    assert_close(squentropy(prediction).item(), math.log(math.e + 1 + math.e**3) + 5)


@given(seeds)
def test_the_form_of_the_tinystories_study_differs_in_three_ways(seed):
    # (65*(z_y - 1)^2 + sum of the wrong squares) / V against (sum of the wrong squares) / (V - 1)
    logits, targets = random_tokens(seed)
    study = Objective.parse("cross_entropy + weighted_mse(65)")(logits, targets)
    paper = Objective.parse("squentropy")(logits, targets)
    z_y = logits.gather(-1, targets[:, None])[:, 0]
    divisor = (logits.square().sum(-1) - z_y**2) * (1 / 7 - 1 / 6)  # V for V - 1
    target = (z_y - 1) ** 2 / 7  # the target is in it, pulled toward 1
    weight = 64 * (z_y - 1) ** 2 / 7  # and weighs 65
    assert_close(study - paper, divisor + target + weight)
    assert all(way.abs().max() > 1e-6 for way in (divisor, target, weight))


@pytest.mark.parametrize("weight", [-1, -1e-9, math.nan])
def test_a_negative_weight_is_refused(weight):
    with pytest.raises(ValueError, match="square_weight of at least 0, got"):
        squentropy(Prediction.dense(torch.zeros(1, 4), torch.tensor([0])), square_weight=weight)
