"""Losses of logits and targets, as other programs write them."""

import pytest
import torch
from loss_inputs import V, nll
from loss_inputs import logits as logits
from loss_inputs import masked as masked
from loss_inputs import targets as targets
from loss_inputs import write as write
from torch.testing import assert_close

from losslab.config import IGNORE_INDEX
from losslab.objective import LossError, Objective

CLASSIC = {
    "per token": "F.cross_entropy(logits.view(-1, V), targets.view(-1), reduction='none').view(targets.shape)",
    "flattened": "F.cross_entropy(logits.view(-1, V), targets.view(-1), reduction='none', ignore_index=-1)",
    "scalar": "F.cross_entropy(logits.view(-1, V), targets.view(-1), ignore_index=-1)",
}


def classic(body):
    return f"""
    import torch
    import torch.nn.functional as F

    SEEN = []

    def compute_loss(logits, targets):
        SEEN.append((tuple(logits.shape), tuple(targets.shape), logits.is_contiguous(), targets.is_contiguous()))
        V = logits.shape[-1]
        return {body}
    """


@pytest.mark.parametrize("form", CLASSIC)
@pytest.mark.parametrize("some_masked", [False, True])
def test_every_classic_result_has_the_total_and_gradient_of_the_same_loss_per_token(
    write, logits, targets, masked, form, some_masked
):
    y = masked if some_masked else targets
    value = Objective.parse(write(classic(CLASSIC[form])))(logits, y)
    wanted = Objective.parse("cross_entropy")(logits, y)
    assert value.shape == y.shape
    assert_close(value.sum(), wanted.sum())
    if form == "scalar":  # the mean over the valid tokens, in each of their places
        assert_close(value[y >= 0], wanted[y >= 0].mean().expand(int((y >= 0).sum())))
    else:
        assert_close(value, wanted)
    upstream = torch.autograd.grad(value.sum(), logits)
    assert_close(upstream, torch.autograd.grad(wanted.sum(), logits))
    assert not value[y < 0].any() and not upstream[0][y < 0].any()


def seen_by(objective):
    """What the file's function was called with."""
    function = objective.terms[0].loss.args[1].args[1].func
    return function.__globals__["SEEN"]


def test_a_classic_loss_gets_one_contiguous_batch(write, logits, targets):
    objective = Objective.parse(write(classic(CLASSIC["scalar"])))
    assert objective.takes_logits and objective.check(V) is False  # never cut into pieces
    seen = seen_by(objective)
    seen.clear()
    objective(logits.transpose(0, 1), targets.transpose(0, 1))
    objective(logits[0], targets[0])
    assert seen == [((4, 2, V), (4, 2), True, True), ((1, 4, V), (1, 4), True, True)]


def test_a_classic_loss_gets_only_the_valid_rows_where_some_are_masked(write, logits, masked):
    objective = Objective.parse(write(classic(CLASSIC["scalar"])))
    seen_by(objective).clear()
    objective(logits, masked)
    assert seen_by(objective) == [((1, 5, V), (1, 5), True, True)]


@pytest.mark.parametrize("form", CLASSIC)
def test_a_classic_loss_with_nothing_to_score_gives_zero(write, logits, targets, form):
    objective = Objective.parse(write(classic(CLASSIC[form])))
    value = objective(logits, torch.full_like(targets, IGNORE_INDEX))
    value.sum().backward()
    assert not value.any() and not logits.grad.any()


def test_a_classic_loss_has_hyper_parameters(write, logits, targets):
    path = write("""
        import torch.nn.functional as F

        def compute_loss(logits, targets, scale=2.0):
            return scale * F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1))
    """)
    wanted = nll(logits, targets).mean()
    assert_close(Objective.parse(path)(logits, targets), (2 * wanted).expand(2, 4))
    assert_close(Objective.parse(f'file("{path}", scale=3)')(logits, targets), (3 * wanted).expand(2, 4))


def test_a_classic_loss_sees_transformed_logits(write, logits, targets):
    write(classic(CLASSIC["per token"]))
    value = Objective.parse('softcap(2) | file("my_loss.py")')(logits, targets)
    assert_close(value, nll(2 * torch.tanh(logits / 2), targets))


# written afresh from the descriptions of two functions published for the `llm-pretrain-loss` task
SMOOTHED_BONUS = """
    import torch
    import torch.nn.functional as F

    def compute_loss(logits, targets):
        flat, ids = logits.view(-1, logits.size(-1)), targets.view(-1)
        if not torch.is_grad_enabled():
            return F.cross_entropy(flat, ids, ignore_index=-1)
        smoothed = F.cross_entropy(flat, ids, ignore_index=-1, label_smoothing=0.05)
        valid = ids != -1
        log_z = torch.logsumexp(flat.float(), dim=-1)
        log_p = flat.gather(1, ids.clamp(min=0).unsqueeze(1)).squeeze(1) - log_z
        return smoothed + (1 - log_p.exp())[valid].mean() + 1e-4 * log_z[valid].pow(2).mean()
"""
CAPPED = """
    import torch
    import torch.nn.functional as F

    def compute_loss(logits, targets):
        flat, ids = logits.view(-1, logits.size(-1)), targets.view(-1)
        if not torch.is_grad_enabled():
            return F.cross_entropy(flat, ids, ignore_index=-1)
        capped = 30.0 * torch.tanh(flat / 30.0)
        loss = F.cross_entropy(capped, ids, ignore_index=-1, label_smoothing=0.1)
        return loss + 1e-4 * torch.logsumexp(capped, dim=-1)[ids != -1].pow(2).mean()
"""


@pytest.mark.parametrize("some_masked", [False, True])
@pytest.mark.parametrize("source", [SMOOTHED_BONUS, CAPPED], ids=["smoothed with a bonus", "capped"])
def test_a_published_function_equals_the_same_as_a_function_of_a_prediction(
    write, logits, targets, masked, source, some_masked
):
    y = masked if some_masked else targets
    objective = Objective.parse(write(source))
    value = objective(logits, y)
    if source is CAPPED:
        wanted = Objective.parse("softcap(30) | label_smoothing(0.1) + 1e-4*z_loss")(logits, y)
    else:
        wanted = Objective.parse("label_smoothing(0.05) + 1e-4*z_loss")(logits, y)
        wanted = wanted - torch.expm1(-Objective.parse("cross_entropy")(logits, y))  # 1 - p_y; 0 where masked
    assert_close(value.sum(), wanted.sum())
    assert_close(torch.autograd.grad(value.sum(), logits), torch.autograd.grad(wanted.sum(), logits))
    with torch.no_grad():
        assert_close(objective(logits, y).sum(), Objective.parse("cross_entropy")(logits, y).sum())
    assert objective.check(V) is False


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("logits", r"my_loss.py returned shape \[1, 5, 11\] for targets of shape \[1, 5\]; a loss gives one"),
        ("logits.sum(-1)[:, :2]", r"returned shape \[1, 2\] for targets of shape \[1, 5\]"),
        ("1.0", "returned float, not a tensor"),
        ("logits.nothing", "failed at line 10: AttributeError"),
    ],
)
def test_a_classic_loss_of_a_wrong_shape_is_found_behind_a_mask(write, logits, masked, body, sentence):
    with pytest.raises(LossError, match=sentence):
        Objective.parse(write(classic(body)))(logits, masked)
