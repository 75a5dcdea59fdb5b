"""Every dense quantity against numpy and scipy in float64, and its gradient against the table of `losses.md` A1."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats
from torch.testing import assert_close

from losslab.config import IGNORE_INDEX
from losslab.prediction import Needs, Prediction, StreamedPrediction

V = 9
seeds = st.integers(0, 2**32 - 1)
names = ["nll", "log_z", "target_logit", "sum_logits", "sum_squares", "max_logit", "entropy"]


def random_tokens(seed, *, tokens=6, vocab=V):
    rng = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(tokens, vocab, generator=rng, dtype=torch.float64)
    return logits.requires_grad_(), torch.randint(vocab, (tokens,), generator=rng)


def by_numpy(z, y):
    """The same quantities by other programs."""
    rows = np.arange(len(z))
    p = special.softmax(z, axis=-1)
    return {
        "nll": -special.log_softmax(z, axis=-1)[rows, y],
        "log_z": special.logsumexp(z, axis=-1),
        "target_logit": z[rows, y],
        "sum_logits": z.sum(-1),
        "sum_squares": (z**2).sum(-1),
        "max_logit": z.max(-1),
        "entropy": np.array([stats.entropy(row) for row in p]),
    }


@pytest.mark.parametrize("name", names)
@given(seeds)
def test_a_quantity_is_what_numpy_and_scipy_say(name, seed):
    logits, targets = random_tokens(seed)
    wanted = by_numpy(logits.detach().numpy(), targets.numpy())[name]
    assert_close(getattr(Prediction.dense(logits, targets), name).detach().numpy(), wanted)


@given(seeds, st.floats(0.1, 4))
def test_power_sum_is_the_sum_of_powers_of_the_probabilities(seed, alpha):
    logits, targets = random_tokens(seed)
    wanted = (special.softmax(logits.detach().numpy(), axis=-1) ** alpha).sum(-1)
    assert_close(Prediction.dense(logits, targets).power_sum(alpha).detach().numpy(), wanted)


def gradients(z, y):
    """`ds/dz` of each quantity, in closed form."""
    p, e_y = z.softmax(-1), F.one_hot(y, z.shape[-1]).double()
    mean = (p * z).sum(-1, keepdim=True)  # E in the table, log_z - entropy
    return {
        "nll": p - e_y,
        "log_z": p,
        "target_logit": e_y,
        "sum_logits": torch.ones_like(z),
        "sum_squares": 2 * z,
        "max_logit": F.one_hot(z.argmax(-1), z.shape[-1]).double(),
        "entropy": p * (mean - z),
    }


@pytest.mark.parametrize("name", names)
@given(seeds)
def test_a_quantity_has_the_gradient_of_the_table(name, seed):
    logits, targets = random_tokens(seed)
    getattr(Prediction.dense(logits, targets), name).sum().backward()
    z = logits.detach()
    wanted = gradients(z, targets)[name]
    assert_close(logits.grad, wanted)


@given(seeds, st.floats(0.1, 4))
def test_power_sum_has_the_gradient_of_the_table(seed, alpha):
    logits, targets = random_tokens(seed)
    value = Prediction.dense(logits, targets).power_sum(alpha)
    value.sum().backward()
    p = logits.detach().softmax(-1)
    assert_close(logits.grad, alpha * (p**alpha - value.detach()[:, None] * p))


@given(seeds)
def test_a_dot_product_is_with_the_named_vector_and_so_is_its_gradient(seed):
    logits, targets = random_tokens(seed)
    u = torch.rand(V, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    value = Prediction.dense(logits, targets, {"unigram": u}).dot("unigram")
    value.sum().backward()
    assert_close(value.detach().numpy(), logits.detach().numpy() @ u.numpy())
    assert_close(logits.grad, u.expand_as(logits))


def test_a_dot_product_keeps_the_dtype_of_the_logits():
    for dtype in (torch.float32, torch.float64):
        p = Prediction.dense(torch.ones(2, V, dtype=dtype), torch.tensor([0, 1]), {"unigram": torch.ones(V)})
        assert p.dot("unigram").dtype == dtype and p.dot("unigram").tolist() == [V, V]


@given(seeds)
def test_quantities_fit_each_other(seed):
    logits, targets = random_tokens(seed)
    p = Prediction.dense(logits, targets)
    assert_close(p.nll, p.log_z - p.target_logit)
    assert_close(p.power_sum(1.0), torch.ones(6, dtype=torch.float64))
    assert_close(p.max_logit, p.logit_at(p.argmax[:, None])[:, 0])
    assert_close(p.target_logit, p.logit_at(targets[:, None])[:, 0])
    assert_close(p.sum_logits, p.logit_at(torch.arange(V).expand(6, V)).sum(-1))
    assert p.vocab_size == V


@given(seeds)
def test_an_even_prediction_has_the_entropy_of_its_vocabulary(seed):
    _, targets = random_tokens(seed)
    p = Prediction.dense(torch.full((6, V), 3.0, dtype=torch.float64), targets)
    assert_close(p.entropy, torch.full((6,), np.log(V), dtype=torch.float64))
    assert_close(p.power_sum(2.0), torch.full((6,), 1 / V, dtype=torch.float64))


def test_argmax_takes_the_first_of_a_tie_and_gives_it_the_whole_gradient():
    logits = torch.tensor([[1.0, 3.0, 3.0]], requires_grad=True)
    p = Prediction.dense(logits, torch.tensor([0]))
    p.max_logit.sum().backward()
    assert p.argmax.tolist() == [1] and logits.grad.tolist() == [[0.0, 1.0, 0.0]]


def test_logit_at_gathers_several_tokens_a_row():
    logits = torch.arange(12.0).view(2, 2, 3)
    ids = torch.tensor([[[2, 0], [1, 1]], [[0, 0], [2, 1]]])
    picked = Prediction.dense(logits, torch.zeros(2, 2, dtype=torch.long)).logit_at(ids)
    assert picked.tolist() == [[[2.0, 0.0], [4.0, 4.0]], [[6.0, 6.0], [11.0, 10.0]]]


@pytest.mark.parametrize("shape", [(), (4,), (2, 3), (2, 1, 3)])
def test_every_quantity_has_the_shape_of_the_targets(shape):
    p = Prediction.dense(torch.randn(*shape, V), torch.randint(V, shape))
    assert {getattr(p, name).shape for name in [*names, "argmax", "valid", "targets"]} == {torch.Size(shape)}
    assert p.power_sum(2.0).shape == shape


def test_negative_targets_do_not_count_and_speak_of_token_zero():
    logits = torch.randn(3, V)
    p = Prediction.dense(logits, torch.tensor([4, IGNORE_INDEX, -1]))
    assert p.valid.tolist() == [True, False, False] and p.targets.tolist() == [4, 0, 0]
    assert_close(p.target_logit, torch.stack([logits[0, 4], logits[1, 0], logits[2, 0]]))


LOG_1P_EXP = float(np.log1p(np.exp(-1.0)))  # of two logits that differ by 1


def test_large_logits_lose_no_digits():
    logits = torch.tensor([[1e4, 0.0, -1e4], [1e4, 1e4 - 1, 0.0]])
    p = Prediction.dense(logits, torch.tensor([2, 0]))
    assert_close(p.nll, torch.tensor([2e4, LOG_1P_EXP]))
    assert_close(p.log_z, torch.tensor([1e4, 1e4 + LOG_1P_EXP]))
    assert_close(p.entropy[0].item(), 0.0)


def test_a_quantity_is_worked_out_once():
    p = Prediction.dense(torch.randn(3, V), torch.zeros(3, dtype=torch.long))
    assert all(getattr(p, name) is getattr(p, name) for name in names)


def test_vocabulary_vectors_are_given_by_name_and_a_missing_one_is_named():
    unigram = torch.full((V,), 1 / V)
    p = Prediction.dense(torch.zeros(1, V), torch.tensor([0]), {"unigram": unigram})
    assert p.vocabulary("unigram") is unigram
    with pytest.raises(ValueError, match="needs the vocabulary vector 'prefix_of', but the corpus gave unigram"):
        p.vocabulary("prefix_of")
    with pytest.raises(ValueError, match="gave none"):
        Prediction.dense(torch.zeros(1, V), torch.tensor([0])).vocabulary("unigram")


def test_logits_and_targets_of_other_shapes_are_a_bug_of_losslab():
    with pytest.raises(AssertionError, match="targets.shape"):
        Prediction.dense(torch.zeros(2, 3, V), torch.zeros(3, dtype=torch.long))


def test_a_wrong_name_is_answered_with_the_quantities_on_either_route():
    logits, targets = random_tokens(0)
    streamed = StreamedPrediction({}, Needs(), targets, V, torch.float64)
    for prediction in (Prediction.dense(logits, targets), streamed):
        with pytest.raises(AttributeError) as raised:
            prediction.nlll  # noqa: B018
        assert str(raised.value) == (
            "a prediction has no 'nlll'; did you mean nll? its quantities are argmax, dot, entropy, log_z, logit_at, "
            "logits, max_logit, nll, power_sum, sum_logits, sum_squares, target_logit, targets, valid, vocab_size, "
            "vocabulary")
        assert not hasattr(prediction, "zzz") and not hasattr(prediction, "__deepcopy__")


def test_a_quantity_that_fails_within_keeps_its_own_error():
    class Odd(Prediction):
        @property
        def odd(self):
            return self.targets.no_such_method()

    with pytest.raises(AttributeError, match="'Tensor' object has no attribute 'no_such_method'"):
        Odd(*random_tokens(0)).odd  # noqa: B018
