"""Hidden states to objective without the logits: the number and the gradients of the dense way.

Every loss of the family goes through it in `tests/losses/test_contract.py`.
"""

import pytest
import torch
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from losslab import fused
from losslab.config import IGNORE_INDEX
from losslab.fused import linear_loss
from losslab.objective import Objective, check_targets
from losslab.prediction import Prediction

TOKENS, WIDTH, V = 507, 6, 123  # sizes that divide no piece


@pytest.fixture
def hidden():
    return torch.randn(3, TOKENS // 3, WIDTH, dtype=torch.float64).requires_grad_()


@pytest.fixture
def lm_head():
    return torch.randn(V, WIDTH, dtype=torch.float64).requires_grad_()


@pytest.fixture
def targets():
    targets = torch.randint(V, (3, TOKENS // 3))
    targets[0] = IGNORE_INDEX  # a whole row
    targets[1, ::3] = IGNORE_INDEX
    return targets


@pytest.fixture
def objective(tmp_path):
    """A loss over the logits themselves, which cannot be streamed."""
    path = tmp_path / "by_logits.py"
    path.write_text(
        "def by_logits(prediction):\n    log_z = prediction.logits.logsumexp(-1)\n"
        "    return log_z - prediction.target_logit + 0.01 * log_z**2\n"
    )
    return Objective.parse(f'softcap(4) | file("{path}")')


@pytest.fixture
def pieces(monkeypatch):
    """Cut batches into pieces of 20 tokens; the sizes of those that were scored."""
    sizes, cut = [], fused.checkpoint
    monkeypatch.setattr(fused, "DENSE_BYTES", 20 * V * 4)
    monkeypatch.setattr(fused, "CHUNK_BYTES", 20 * V * 4 + 3)
    monkeypatch.setattr(fused, "checkpoint", lambda f, x, y, **how: sizes.append(len(y)) or cut(f, x, y, **how))
    return sizes


def test_value_count_and_gradients_are_those_of_the_dense_way(hidden, lm_head, targets, objective, pieces):
    total, count, statistics = linear_loss(hidden, lm_head, targets, objective)
    assert pieces == [20] * 25 + [7]
    dense = objective(hidden @ lm_head.T, targets)
    assert count == (targets != IGNORE_INDEX).sum()
    assert statistics.losses.shape == targets.shape
    assert_close(statistics.losses, dense)
    assert_close(total, dense.sum())
    wanted = torch.autograd.grad(dense.sum(), (hidden, lm_head))
    assert_close(torch.autograd.grad(total, (hidden, lm_head)), wanted)


def test_weights_scale_each_token_and_leave_the_count(hidden, lm_head, targets, objective, pieces):
    weights = torch.rand(targets.shape, dtype=torch.float64)
    total, count, statistics = linear_loss(hidden, lm_head, targets, objective, weights=weights)
    dense = objective(hidden @ lm_head.T, targets)
    assert pieces and count == (targets != IGNORE_INDEX).sum()
    assert_close(total, (weights * dense).sum())
    assert_close(statistics.losses, dense)  # unweighted
    wanted = torch.autograd.grad((weights * dense).sum(), (hidden, lm_head))
    assert_close(torch.autograd.grad(total, (hidden, lm_head)), wanted)


def test_losses_carry_any_upstream_gradient(hidden, lm_head, targets, objective, pieces):
    upstream = torch.randn(targets.shape, dtype=torch.float64)
    losses = linear_loss(hidden, lm_head, targets, objective).statistics.losses
    dense = objective(hidden @ lm_head.T, targets)
    wanted = torch.autograd.grad(dense, (hidden, lm_head), upstream)
    assert pieces
    assert_close(torch.autograd.grad(losses, (hidden, lm_head), upstream), wanted)


def test_masked_tokens_give_nothing_to_hidden(hidden, lm_head, targets, objective, pieces):
    linear_loss(hidden, lm_head, targets, objective).total.backward()
    assert pieces and not hidden.grad[targets == IGNORE_INDEX].any() and hidden.grad[targets >= 0].all()


def test_a_batch_without_targets_gives_zero(hidden, lm_head, targets, objective, pieces):
    total, count, _ = linear_loss(hidden, lm_head, torch.full_like(targets, IGNORE_INDEX), objective)
    total.backward()
    assert total == 0 and count == 0 and not hidden.grad.any() and not lm_head.grad.any()


@pytest.mark.parametrize("size", [10**9, 1])  # dense, and one token at a time
def test_statistics_are_those_of_the_transformed_logits(hidden, lm_head, targets, objective, size, monkeypatch):
    monkeypatch.setattr(fused, "DENSE_BYTES", size)
    monkeypatch.setattr(fused, "CHUNK_BYTES", size)
    hidden, targets = hidden[:, :9], targets[:, :9]
    statistics = linear_loss(hidden, lm_head, targets, objective).statistics
    prediction = Prediction.dense(objective.transform(hidden @ lm_head.T), targets)
    for name in ("nll", "log_z", "entropy", "max_logit"):
        observed = getattr(statistics, name)
        assert_close(observed, getattr(prediction, name).where(targets >= 0, 0.0).detach())
        assert not observed.requires_grad
    assert_close(statistics.p_target, (-statistics.nll).exp().where(targets >= 0, 0.0))
    assert (statistics.is_correct == ((prediction.argmax == targets) & (targets >= 0))).all()
    assert not hasattr(statistics, "perplexity")


def test_a_loss_over_the_whole_batch_is_given_it_whole(hidden, lm_head, targets, pieces, tmp_path):
    path = tmp_path / "focused.py"
    path.write_text("def focused(prediction):\n    return prediction.nll**2 / prediction.nll.mean()\n")
    objective = Objective.parse(str(path))
    losses = linear_loss(hidden, lm_head, targets, objective).statistics.losses
    assert not pieces
    assert_close(losses, objective(hidden @ lm_head.T, targets))


def test_a_classic_loss_is_called_once_with_a_whole_batch(hidden, lm_head, targets, pieces, tmp_path):
    path = tmp_path / "classic.py"
    path.write_text(
        "import torch.nn.functional as F\n\ndef compute_loss(logits, targets):\n"
        "    return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1)\n"
    )
    total, count, _ = linear_loss(hidden, lm_head, targets, Objective.parse(str(path)))
    assert not pieces
    wanted = linear_loss(hidden, lm_head, targets, Objective.parse("cross_entropy"))
    assert_close(total, wanted.total)
    assert_close(
        torch.autograd.grad(total / count, (hidden, lm_head)),
        torch.autograd.grad(wanted.total / wanted.count, (hidden, lm_head)),
    )


class _Readings(TorchDispatchMode):
    """Counts what makes a GPU wait: a number read back, or a shape that depends on numbers."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if any(word in str(function) for word in ("_local_scalar_dense", "nonzero", "masked_select", "equal.default")):
            self.names.append(str(function))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("route", ["dense", "chunked"])
def test_of_targets_that_were_checked_nothing_is_read_back(hidden, lm_head, targets, route, pieces):
    objective = Objective.parse("softcap(3) | squentropy + 0.1*z_loss")
    objective.check(V)
    num_valid = check_targets(targets, V)
    assert num_valid == (targets != IGNORE_INDEX).sum()
    for given, allowed in ((num_valid, 0), (None, 2)):  # two numbers of one tensor, for which a GPU is waited for once
        with _Readings() as seen:
            total, count, _ = linear_loss(hidden, lm_head, targets, objective, route=route, num_valid=given)
            total.backward()
        assert len(seen.names) <= allowed and count == num_valid
    assert_close(total, objective(hidden @ lm_head.T, targets).sum())


def test_a_small_batch_is_not_cut(hidden, lm_head, targets, objective, monkeypatch):
    monkeypatch.setattr(fused, "checkpoint", None)  # would fail if it were called
    monkeypatch.setattr(fused, "streamed", None)
    monkeypatch.setattr(fused, "DENSE_BYTES", TOKENS * V * 4)
    assert_close(linear_loss(hidden, lm_head, targets, objective).total, objective(hidden @ lm_head.T, targets).sum())


def test_the_backward_pass_holds_no_logits_of_the_whole_batch(hidden, lm_head, targets, objective, pieces):
    objective.check(V)
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
        linear_loss(hidden, lm_head, targets, objective)
    assert sum(sizes) <= TOKENS * (WIDTH + 1) < TOKENS * V  # hidden and targets alone


@pytest.mark.parametrize("cut", ["hidden", "lm_head"])
def test_shapes_that_do_not_fit_are_named(hidden, lm_head, targets, objective, cut):
    hidden = hidden[:, :-1] if cut == "hidden" else hidden
    lm_head = lm_head[:, :-1] if cut == "lm_head" else lm_head
    with pytest.raises(ValueError, match=r"hidden \[3, 16\d, 6\], lm_head .* and targets \[3, 169\] do not fit; they"):
        linear_loss(hidden, lm_head, targets, objective)


def test_a_target_outside_the_vocabulary_is_named_in_every_piece(hidden, lm_head, targets, objective, pieces):
    targets[2, -1] = V
    with pytest.raises(ValueError, match=f"targets has id {V}, but vocab_size is {V}"):
        linear_loss(hidden, lm_head, targets, objective)


def test_an_empty_batch_is_named(hidden, lm_head, targets, objective):
    with pytest.raises(ValueError, match=r"targets \[0, 169\] holds no tokens"):
        linear_loss(hidden[:0], lm_head, targets[:0], objective)


def test_weights_of_another_shape_are_named(hidden, lm_head, targets, objective):
    with pytest.raises(ValueError, match=r"weights \[3, 1, 169\] do not fit targets \[3, 169\]"):
        linear_loss(hidden, lm_head, targets, objective, weights=torch.ones(3, 1, 169))


def test_what_was_seen_is_not_seen_otherwise_later(hidden, lm_head, targets):
    statistics = linear_loss(hidden, lm_head, targets, Objective.parse("cross_entropy"), route="streamed").statistics
    nll = statistics.nll
    assert statistics.entropy.any() and statistics.nll is nll
