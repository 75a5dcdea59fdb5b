"""What is true of `unlikelihood` alone; the contract of every loss is in `test_contract.py`."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.config import IGNORE_INDEX
from losslab.losses.unlikelihood import unlikelihood
from losslab.objective import Objective
from losslab.prediction import Prediction

seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


def naive(logits, targets, valid):
    """By its definition, a token and a negative at a time."""
    p = logits.softmax(-1)
    value = torch.zeros_like(logits[..., 0])
    for row, here in torch.cartesian_prod(torch.arange(len(targets)), torch.arange(targets.shape[1])).tolist():
        earlier = {int(y) for y, counts in zip(targets[row, :here], valid[row, :here], strict=True) if counts}
        for c in earlier - {int(targets[row, here])}:
            value[row, here] -= torch.log(1 - p[row, here, c])
    return value


def random_rows(seed, vocab=5):
    logits, targets = random_tokens(seed, tokens=24, vocab=vocab)
    return logits.detach().view(3, 8, vocab).requires_grad_(), targets.view(3, 8)


@given(seeds)
def test_counts_every_distinct_earlier_target_once(seed):
    logits, targets = random_rows(seed)
    wanted = naive(logits, targets, torch.ones(3, 8, dtype=torch.bool))
    assert_close(unlikelihood(Prediction.dense(logits, targets)), wanted)


@given(seeds)
def test_a_masked_target_is_no_negative(seed):
    logits, targets = random_rows(seed)
    valid = torch.rand(3, 8, generator=torch.Generator().manual_seed(seed)) < 0.6
    value = unlikelihood(Prediction.dense(logits, targets.where(valid, IGNORE_INDEX)))
    assert_close(value[valid], naive(logits, targets, valid)[valid])


@given(seeds)
def test_gradient_pushes_each_negative_down(seed):
    logits, targets = random_rows(seed)
    unlikelihood(Prediction.dense(logits, targets)).sum().backward()
    p = logits.detach().softmax(-1)
    wanted = torch.zeros_like(p)
    for row in range(3):
        for here in range(8):
            for c in set(targets[row, :here].tolist()) - {int(targets[row, here])}:
                odds = p[row, here, c] / (1 - p[row, here, c])
                wanted[row, here] += odds * (F.one_hot(torch.tensor(c), 5) - p[row, here])
    assert_close(logits.grad, wanted)


@given(seeds, st.integers(1, 9))
def test_a_window_uses_the_last_targets_alone(seed, window):
    logits, targets = random_rows(seed)
    value = unlikelihood(Prediction.dense(logits, targets), window=window)
    for here in range(8):
        start = max(0, here - window)
        part = Prediction.dense(logits[:, start : here + 1], targets[:, start : here + 1])
        assert_close(value[:, here], unlikelihood(part)[:, -1])


def test_a_window_as_wide_as_the_row_is_all_of_it():
    prediction = Prediction.dense(*random_rows(0))
    assert_close(unlikelihood(prediction, window=7), unlikelihood(prediction), rtol=0, atol=0)


@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (2, 2, 3)])
def test_rows_of_any_number_and_length(shape):
    targets = torch.arange(torch.Size(shape).numel()).view(shape) % 5
    value = unlikelihood(Prediction.dense(torch.zeros(*shape, 5), targets))
    assert value.shape == shape
    assert_close(value[..., -1], torch.full(shape[:-1], (shape[-1] - 1) * math.log(5 / 4)))


@pytest.mark.parametrize("magnitude", [10.0, 16.0, 17.0, 1e2, 1e4])
def test_stays_finite_where_the_model_is_sure_of_a_negative(magnitude):
    logits = torch.tensor([[[0.0, 0.0, 0.0], [magnitude, 0.0, -magnitude]]], requires_grad=True)
    value = unlikelihood(Prediction.dense(logits, torch.tensor([[0, 1]])))
    value.sum().backward()
    assert 0 < value[0, 1] < 11.6 and logits.grad.abs().max() <= 1.01


@pytest.mark.parametrize("shape", [(), (6,)])
def test_tokens_without_rows_are_refused(shape):
    with pytest.raises(ValueError, match=r"takes targets \[batch, seq\], got"):
        unlikelihood(Prediction.dense(torch.zeros(*shape, 4), torch.zeros(shape, dtype=torch.long)))


@pytest.mark.parametrize("vocab", [3, 50, 50_257])
def test_the_objective_finds_out_that_it_is_not_token_wise_independent(vocab):
    assert not Objective.parse("cross_entropy + 0.1*unlikelihood").check(vocab)


@pytest.mark.parametrize("window", [-1, 1.5, True, math.nan])
def test_a_window_that_is_no_number_of_tokens_is_refused(window):
    with pytest.raises(ValueError, match="whole number of at least 0, got"):
        unlikelihood(Prediction.dense(torch.zeros(1, 2, 4), torch.zeros(1, 2, dtype=torch.long)), window=window)
