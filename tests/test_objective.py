"""The formula over losses: weights, transforms, identity, masks."""

import math

import pytest
import torch
import torch.nn.functional as F
from loss_inputs import V, nll
from loss_inputs import logits as logits
from loss_inputs import masked as masked
from loss_inputs import targets as targets
from torch.testing import assert_close

from losslab.config import IGNORE_INDEX
from losslab.objective import Objective
from losslab.prediction import Prediction

# --- formulas ----------------------------------------------------------------------------------

def test_terms_are_added_with_their_weights(logits, targets):
    value = Objective.parse("2*cross_entropy - 0.5*mse + 1e-2*z_loss")(logits, targets)
    mse = (logits - F.one_hot(targets, V)).square().mean(-1)
    assert_close(value, 2 * nll(logits, targets) - 0.5 * mse + 1e-2 * logits.logsumexp(-1) ** 2)


def test_a_weight_of_zero_leaves_the_rest_alone(logits, targets):
    assert_close(Objective.parse("cross_entropy + 0*z_loss")(logits, targets), nll(logits, targets))


def test_the_transform_is_applied_once_to_the_raw_logits(logits, targets):
    objective = Objective.parse("softcap(2) | cross_entropy")
    capped = 2 * torch.tanh(logits / 2)
    assert_close(objective(logits, targets), nll(capped, targets))
    assert_close(objective.transform(logits), capped)
    # a prediction is of transformed logits already
    assert_close(objective.losses(Prediction.dense(capped, targets)), nll(capped, targets))


def test_transforms_apply_left_to_right(logits):
    capped = 3 * torch.tanh(2 * torch.tanh(logits / 2) / 3)
    assert_close(Objective.parse("softcap(2) | softcap(3) | cross_entropy").transform(logits), capped)


@pytest.mark.parametrize(("given", "wanted"), [(torch.bfloat16, torch.float32), (torch.float64, torch.float64)])
def test_logits_are_scored_in_float32_or_better(given, wanted, targets):
    raw = torch.randn(2, 4, V, dtype=given)
    objective = Objective.parse("softcap(5) | cross_entropy")
    assert objective(raw, targets).dtype == wanted
    assert_close(objective(raw, targets), objective(raw.to(wanted), targets))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("label_smoothing", "label_smoothing(epsilon=0.1)"),
        ("label_smoothing(0.2)", "label_smoothing(epsilon=0.2)"),
        ("softcap(15) | cross_entropy", "softcap(cap=15.0) | cross_entropy"),
        ("softcap | cross_entropy", "softcap(15) | cross_entropy"),
        ("weighted_mse", "weighted_mse(65)"),
        ("cross_entropy + 1e-4*z_loss", "1*cross_entropy + 0.0001 * z_loss"),
    ],
)
def test_two_ways_of_writing_one_objective_have_one_identity(one, other):
    assert Objective.parse(one).explicit == Objective.parse(other).explicit


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("label_smoothing", "label_smoothing(0.2)"),
        ("softcap(15) | cross_entropy", "softcap(16) | cross_entropy"),
        ("softcap(15) | cross_entropy", "cross_entropy"),
        ("softcap(2) | softcap(3) | cross_entropy", "softcap(3) | softcap(2) | cross_entropy"),
        ("cross_entropy + z_loss", "cross_entropy - z_loss"),
        ("cross_entropy", "2*cross_entropy"),
    ],
)
def test_two_objectives_have_two_identities(one, other):
    assert Objective.parse(one).explicit != Objective.parse(other).explicit


@pytest.mark.parametrize("text", ["mse", "softcap(15) | cross_entropy + 0.0001*z_loss", "-mse + 2.0*squentropy"])
def test_its_text_gives_it_back(text):
    assert str(Objective.parse(text)) == text == str(Objective.parse(str(Objective.parse(text))))


def test_the_transform_is_known_in_the_words_of_the_formula():
    assert Objective.parse("softcap(15)|cross_entropy").transform_text == "softcap(15)"
    assert Objective.parse("cross_entropy").transform_text == ""


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("crossentropy", "unknown loss 'crossentropy'; did you mean cross_entropy\\?; the family is brier, cross_ent"),
        ("softcat(3) | cross_entropy", "unknown transform 'softcat'; did you mean softcap\\?"),
        ("label_smoothing(eps=0.1)", "label_smoothing has no parameter 'eps'; did you mean epsilon\\?; it has epsilon"),
        ("mse(3)", "write the parameters of mse by name: it has none"),
        ("label_smoothing(1.5)", r"an epsilon in \[0, 1\], got 1.5"),
        ("squentropy(-1)", "square_weight of at least 0, got -1"),
        ("softcap(0) | cross_entropy", "softcap takes a positive cap, got 0"),
        ("softcap | softcap", "unknown loss 'softcap'"),
        ("z_loss", "'z_loss' has no whole loss to descend, only terms; write cross_entropy \\+ 1e-4\\*z_loss"),
        ("cross_entropy | cross_entropy", "unknown transform 'cross_entropy'; the family is isru_cap, sigmoid_cap"),
        ("file()", 'names no file; write file\\("my_loss.py"\\)'),
    ],
)
def test_an_objective_that_cannot_be_is_answered_with_one_that_can(text, sentence):
    with pytest.raises(ValueError, match=sentence):
        Objective.parse(text)


@pytest.mark.parametrize("wrong", [V, 50_000, -1, -101])
def test_a_target_outside_the_vocabulary_is_named(logits, targets, wrong):
    targets[1, 2] = wrong
    with pytest.raises(ValueError, match=f"targets has id {wrong}, but vocab_size is {V}; was this corpus tokenized"):
        Objective.parse("cross_entropy")(logits, targets)


def test_masked_targets_count_nothing(logits, masked):
    value = Objective.parse("softcap(5) | cross_entropy + z_loss")(logits, masked)
    value.sum().backward()
    ignored = masked == IGNORE_INDEX
    assert not value[ignored].any() and not logits.grad[ignored].any()
    assert value[~ignored].all() and logits.grad[~ignored].all()


@pytest.mark.parametrize("filler", [math.inf, -math.inf, math.nan])
def test_a_masked_token_of_a_prediction_is_left_out_rather_than_multiplied_by_zero(filler):
    logits = torch.randn(3, V)
    logits[1] = filler
    value = Objective.parse("cross_entropy + z_loss").losses(Prediction.dense(logits, torch.tensor([2, -100, 4])))
    assert value[1] == 0 and value[[0, 2]].isfinite().all()


@pytest.mark.parametrize("text", ["cross_entropy", "softcap(15) | label_smoothing + 1e-4*z_loss"])
def test_check_finds_that_tokens_are_independent(text):
    objective = Objective.parse(text)
    assert objective.scored_alone is None and not objective.takes_logits and not objective.sources
    assert objective.check(V) is True and objective.scored_alone is True


@pytest.mark.parametrize("text", [
    "mile", "multi_token", "cross_entropy + 1e-3*unlikelihood", "focal_detached(1)", "softcap(3) | focal_detached",
    "softcap(3) | cross_entropy + 0.5*entropy + 0.3*focal_detached",
    "softcap(9) | softcap(3) | cross_entropy + 1e-3*mile",
])
@pytest.mark.parametrize("vocab", [2, 5, 300, 50_257])
def test_check_finds_that_tokens_are_dependent_however_little_the_others_count(text, vocab):
    assert Objective.parse(text).check(vocab) is False


@pytest.mark.parametrize("text", ["unigram_smoothing(0.2)", "cross_entropy + 0.25*prefix_token"])
def test_what_needs_a_vocabulary_is_read_without_one_and_checked_with_it(text):
    objective = Objective.parse(text)
    vocabulary = {"unigram": torch.full((V,), 1 / V), "prefix_of": torch.arange(V) - 1}
    assert objective.check(V, vocabulary) is True
    with pytest.raises(ValueError, match="needs the vocabulary vector"):
        objective.check(V)


# --- loss files that are not losses ------------------------------------------------------------

def test_an_untrained_model_costs_log_vocab(logits):
    zeros = torch.zeros(2, 4, V)
    value = Objective.parse("cross_entropy")(zeros, torch.zeros(2, 4, dtype=torch.long))
    assert_close(value, torch.full((2, 4), math.log(V)))
