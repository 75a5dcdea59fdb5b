"""Where training with a loss ends, against closed forms."""

import pytest
import torch

from losslab import anatomy
from losslab.anatomy import minimizer
from losslab.objective import Objective
from losslab.report import anatomy_text


def found(text, **options):
    return anatomy.inspect(text, **{"sizes": (27,), "measure": False} | options)


def minimizers(text):
    """Truth and softmax of the minimizer, for each truth over few classes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(minimizer, "MANY", (5, 3))  # instead of 64 classes, which take most of the time
        ends = minimizer.find(Objective.parse(text), True)
    assert len(ends) == 6 and all(one["found"] for one in ends)
    return [tuple(torch.tensor(one[key], dtype=torch.float64) for key in ("truth", "softmax")) for one in ends]


PROPER = ["cross_entropy", "brier", "spherical", "cross_entropy + z_loss", "softcap(15) | cross_entropy"]


@pytest.mark.parametrize("text", PROPER)
def test_a_proper_loss_ends_at_the_truth(text):
    for truth, p in minimizers(text):
        assert (p - truth).abs().max() < 1e-6


@pytest.mark.parametrize("epsilon", [0.1, 0.4])
def test_label_smoothing_ends_at_the_truth_mixed_with_the_uniform(epsilon):
    for truth, p in minimizers(f"label_smoothing({epsilon})"):
        assert torch.allclose(p, (1 - epsilon) * truth + epsilon / len(truth), atol=1e-7)


def test_the_logits_of_mse_become_the_probabilities_so_their_softmax_is_far_too_flat():
    for truth, p in minimizers("mse"):
        assert torch.allclose(p, truth.softmax(-1), atol=1e-7)


def test_generalized_cross_entropy_ends_at_a_power_of_the_truth():
    for truth, p in minimizers("generalized_cross_entropy(q=0.5)"):
        assert torch.allclose(p, truth**2 / truth.square().sum(), atol=1e-7)


def test_poly1_ends_where_the_odds_of_its_slope_agree():
    for truth, p in minimizers("poly1(epsilon=1)"):  # q (1/p + epsilon) is the same for all classes
        slopes = truth * (1 / p + 1)
        assert torch.allclose(slopes, slopes.mean().expand_as(slopes), atol=1e-6)


def test_focal_is_biased_toward_the_uniform_and_stationary_in_its_own_slope():
    for truth, p in minimizers("focal(2)"):
        slopes = truth * ((1 - p) ** 2 / p - 2 * (1 - p) * p.log())
        assert torch.allclose(slopes, slopes.mean().expand_as(slopes), atol=1e-6)
        assert torch.special.entr(p).sum() > torch.special.entr(truth).sum()
    about = found("focal(2)")
    few = minimizer.bias(about.minimizers[:-1])
    assert not about.proper and few["direction"] == "flatter" and few["max_abs"] > 0.1
    truth, p = (torch.tensor(about.minimizers[-1][key], dtype=torch.float64) for key in ("truth", "softmax"))
    slopes = truth * ((1 - p) ** 2 / p - 2 * (1 - p) * p.log())  # and over 64 classes
    assert len(truth) == 64 and torch.allclose(slopes, slopes.mean().expand_as(slopes), atol=1e-9)


def test_a_detached_weight_is_followed_and_not_differentiated():
    for truth, p in minimizers("tailr(gamma=0.02, min_weight=0)"):
        followed = truth * p / (0.02 + 0.98 * p)  # the field is sum_y q_y w(p_y) (p - e_y)
        assert torch.allclose(followed / followed.sum(), p, atol=1e-6)


def test_weights_normalized_over_the_batch_bend_where_training_ends_only_if_they_see_the_target():
    assert found("mile").proper
    (one, *_) = minimizer.find(Objective.parse("focal_detached(1)"), True)
    truth, p = (torch.tensor(one[key]) for key in ("truth", "softmax"))
    assert torch.allclose(p, truth * (1 - p) / (truth * (1 - p)).sum(), atol=1e-6)


def test_later_tokens_pull_multi_token_toward_their_own_truth():
    (one, *_) = minimizer.find(Objective.parse("multi_token([1.0, 0.5])"), "by definition")
    truth = torch.tensor(one["truth"])  # of the first place; the second's is shifted by one class
    assert torch.allclose(torch.tensor(one["softmax"]), (truth + truth.roll(1) / 2) / 1.5, atol=1e-6)


def test_a_loss_that_runs_away_has_no_minimizer():
    about = found("token_scaled")
    assert not about.proper and about.bias is None
    assert not any(one["found"] for one in about.minimizers)
    assert all(one["softmax"][0] > 0.999 for one in about.minimizers)  # all is given to the likeliest
    assert "does not converge" in anatomy_text.text(about.to_dict())
