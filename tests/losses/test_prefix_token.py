"""What is true of `prefix_token` alone; the contract of every loss is in `test_contract.py`."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from losslab.losses.prefix_token import prefix_token
from losslab.prediction import Prediction

PREFIX_OF = torch.tensor([-1, 0, 1, -1, 3, -1, 0])
seeds = st.integers(0, 2**32 - 1)


def random_tokens(seed, *, tokens=5, vocab=7):
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


@given(seeds)
def test_is_the_code_length_of_the_prefix_and_nothing_without_one(seed):
    logits, targets = random_tokens(seed)
    value = prefix_token(Prediction.dense(logits, targets, {"prefix_of": PREFIX_OF}))
    prefix = PREFIX_OF[targets]
    wanted = F.cross_entropy(logits, prefix.clamp_min(0), reduction="none").where(prefix >= 0, 0.0)
    assert_close(value, wanted)


@given(seeds)
def test_gradient_is_what_was_said_minus_the_prefix(seed):
    logits, targets = random_tokens(seed)
    prefix_token(Prediction.dense(logits, targets, {"prefix_of": PREFIX_OF})).sum().backward()
    prefix = PREFIX_OF[targets]
    wanted = logits.detach().softmax(-1) - F.one_hot(prefix.clamp_min(0), 7)
    assert_close(logits.grad, wanted * (prefix >= 0)[:, None])


def test_of_single_bytes_it_is_nothing():
    logits = torch.randn(5, 7, requires_grad=True)
    none = {"prefix_of": torch.full((7,), -1)}
    value = prefix_token(Prediction.dense(logits, torch.arange(5), none))
    value.sum().backward()
    assert not value.any() and not logits.grad.any()


def test_a_sure_target_costs_its_lead_over_the_prefix():
    prediction = Prediction.dense(torch.tensor([[0.0, 1e4]]), torch.tensor([1]), {"prefix_of": torch.tensor([-1, 0])})
    assert prefix_token(prediction).item() == 1e4


def test_without_its_vector_the_missing_one_is_named():
    with pytest.raises(ValueError, match="needs the vocabulary vector 'prefix_of'"):
        prefix_token(Prediction.dense(torch.zeros(1, 4), torch.tensor([0])))
