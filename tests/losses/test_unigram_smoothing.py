"""What is true of `unigram_smoothing` alone; the contract of every loss is in `test_contract.py`."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.losses.label_smoothing import label_smoothing
from losslab.losses.unigram_smoothing import unigram_smoothing
from losslab.prediction import Prediction

epsilons = st.floats(0, 1)
seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


def frequencies(seed):
    return torch.rand(7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).softmax(-1)


@given(seeds, epsilons)
def test_gradient_is_what_was_said_minus_the_smoothed_target(seed, epsilon):
    logits, targets = random_tokens(seed)
    u = frequencies(seed)
    unigram_smoothing(Prediction.dense(logits, targets, {"unigram": u}), epsilon=epsilon).sum().backward()
    smoothed = (1 - epsilon) * F.one_hot(targets, 7) + epsilon * u
    assert_close(logits.grad, logits.detach().softmax(-1) - smoothed)


@given(seeds, epsilons)
def test_is_the_cross_entropy_from_the_smoothed_target(seed, epsilon):
    logits, targets = random_tokens(seed)
    u = frequencies(seed)
    smoothed = (1 - epsilon) * F.one_hot(targets, 7) + epsilon * u
    value = unigram_smoothing(Prediction.dense(logits, targets, {"unigram": u}), epsilon=epsilon)
    assert_close(value, -(smoothed * logits.log_softmax(-1)).sum(-1))


@given(seeds, epsilons)
def test_to_a_uniform_unigram_it_is_label_smoothing(seed, epsilon):
    logits, targets = random_tokens(seed)
    even = Prediction.dense(logits, targets, {"unigram": torch.full((7,), 1 / 7, dtype=torch.float64)})
    assert_close(unigram_smoothing(even, epsilon=epsilon), label_smoothing(even, epsilon=epsilon))


@given(seeds)
def test_without_smoothing_it_is_cross_entropy(seed):
    logits, targets = random_tokens(seed)
    value = unigram_smoothing(Prediction.dense(logits, targets, {"unigram": frequencies(seed)}), epsilon=0.0)
    assert_close(value, F.cross_entropy(logits, targets, reduction="none"))


@pytest.mark.parametrize("epsilon", [-0.1, 1.1, math.nan])
def test_a_share_outside_the_unit_interval_is_refused(epsilon):
    with pytest.raises(ValueError, match=r"epsilon in \[0, 1\], got"):
        unigram_smoothing(Prediction.dense(torch.zeros(1, 4), torch.tensor([0])), epsilon=epsilon)


def test_without_a_unigram_the_missing_vector_is_named():
    with pytest.raises(ValueError, match="needs the vocabulary vector 'unigram'"):
        unigram_smoothing(Prediction.dense(torch.zeros(1, 4), torch.tensor([0])))
