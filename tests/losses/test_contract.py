"""What every loss of the folder keeps, a new file included, unasked."""

import inspect
import itertools

import pytest
import torch
from torch.testing import assert_close

from losslab import formula, fused
from losslab.config import IGNORE_INDEX
from losslab.objective import Objective
from losslab.prediction import Prediction

NAMES = formula.names("losslab.losses")
VOCAB = 7

BATCH = "its weights are divided by their mean over the tokens of one call"
DETACHED = "its weights are not differentiated, so its gradient is not the derivative of its value"
ROWS = "it uses the neighbors of a token in its row, so it takes [batch, seq]"

# clauses that a loss breaks, and why; a loss that is not here keeps them all
EXCEPTIONS: dict[str, dict[str, str]] = {
    "entropy": {"whole": "the doubt of the model, which no target enters: it is added to a loss"},
    "focal_detached": {"token-wise independent": BATCH, "halves": BATCH, "finite differences": DETACHED},
    "logit_variance": {"whole": "a penalty on the logits, which no target enters: it is added to a loss"},
    "margin_distillation": {"finite differences": DETACHED},
    "max_z_loss": {"whole": "a penalty on the largest logit, which no target enters: it is added to a loss"},
    "mean_logit": {"whole": "a penalty on the mean logit, which no target enters: it is added to a loss"},
    "mile": {"token-wise independent": BATCH, "halves": BATCH, "finite differences": DETACHED},
    "multi_token": {"token-wise independent": "it asks for the tokens that come later in the row", "any shape": ROWS},
    "power": {"whole": "a penalty on all probabilities, which no target enters: it is added to a loss"},
    "prefix_token": {
        "whole": "it asks for the beginning of the target, never for the target: it is added to a loss",
        "no meaning": "a token is a prefix of another by its bytes",
    },
    "tailr": {"finite differences": DETACHED},
    "token_scaled": {"finite differences": DETACHED},
    "unigram_smoothing": {"no meaning": "the corpus says how often each token comes"},
    "unlikelihood": {
        "whole": "it speaks against earlier tokens and never for the target: it is added to a loss",
        "token-wise independent": "its negatives are the tokens that came earlier in the row",
        "any shape": ROWS,
    },
    "z_loss": {"whole": "a penalty on the partition function, which no target enters: it is added to a loss"},
}
CLAUSES = {"whole", "token-wise independent", "no meaning", "sure and wrong", "any shape", "halves",
           "finite differences"}


def text_of(name):
    """A formula that descends this loss, alone or added to cross-entropy."""
    return f"cross_entropy + 0.5*{name}" if "whole" in EXCEPTIONS.get(name, {}) else name


def vectors(vocab=VOCAB):
    """The vectors of a corpus: common and rare tokens, and of every second the one before as a prefix."""
    ids = torch.arange(vocab)
    often = 1.0 / (1 + ids)
    return {"unigram": often / often.sum(), "prefix_of": torch.where(ids % 2 == 1, ids - 1, -1)}


def as_row(name, tensor):
    """`tensor` of a few tokens as the loss takes it: as one row, if it takes only rows."""
    return tensor.unsqueeze(0) if "any shape" in EXCEPTIONS.get(name, {}) else tensor


@pytest.fixture(params=NAMES)
def name(request):
    return request.param


def keeping(clause):
    """The test is asked of the losses that keep a clause, and of no other."""
    return pytest.mark.parametrize("name", [name for name in NAMES if clause not in EXCEPTIONS.get(name, {})])


@pytest.fixture
def loss(name):
    return formula.load("losslab.losses", name)


@pytest.fixture
def score(name, loss):
    """The loss as a function of logits and targets, by the dense route."""

    def score(logits, targets):
        given = Prediction.dense(as_row(name, logits), as_row(name, targets), vectors(logits.shape[-1]))
        return loss(given).view(targets.shape)

    return score


@pytest.fixture
def objective(name):
    return Objective.parse(text_of(name))


@pytest.fixture
def total(name, objective):
    """The objective as a function of logits and targets, by the dense route."""

    def total(logits, targets):
        return objective(as_row(name, logits), as_row(name, targets), vectors(logits.shape[-1])).view(targets.shape)

    return total


@pytest.fixture
def logits():
    rng = torch.Generator().manual_seed(0)
    return (2 * torch.randn(6, VOCAB, dtype=torch.float64, generator=rng)).requires_grad_()


@pytest.fixture
def targets():
    return torch.randint(VOCAB, (6,), generator=torch.Generator().manual_seed(1))


def test_every_exception_names_a_loss_and_a_clause():
    assert EXCEPTIONS.keys() <= set(NAMES)
    assert all(reasons.keys() <= CLAUSES and all(reasons.values()) for reasons in EXCEPTIONS.values())


def test_hyper_parameters_are_keyword_only_and_have_defaults(loss):
    first, *rest = inspect.signature(loss).parameters.values()
    assert first.name == "prediction"
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in rest)


def test_docstring_has_formula_gradient_arguments_example_and_source(loss):
    parts = ["Args:", "Returns:", "Example:", ">>> ", "Reference:", "$$", r"\nabla_z"]
    assert not [part for part in parts if part not in loss.__doc__]


def test_docstring_speaks_of_every_hyper_parameter(loss):
    arguments = loss.__doc__.split("Args:")[1].split("Returns:")[0]
    assert all(f"{parameter}:" in arguments for parameter in inspect.signature(loss).parameters)


def test_a_loss_is_whole_or_is_listed_as_a_term(name):
    if "whole" in EXCEPTIONS.get(name, {}):
        with pytest.raises(ValueError, match="no whole loss to descend"):
            Objective.parse(name)
    else:
        assert Objective.parse(name).terms[0].is_whole


def test_gives_one_value_per_token_in_the_dtype_of_the_logits(name, loss, logits, targets):
    shapes = {(2, 3): torch.float64, (1, 2, 3): torch.float32}
    if "any shape" not in EXCEPTIONS.get(name, {}):
        shapes[6,] = torch.float32
    for shape, dtype in shapes.items():
        value = loss(Prediction.dense(logits.to(dtype).view(*shape, VOCAB), targets.view(shape), vectors()))
        assert value.shape == shape and value.dtype == dtype


@keeping("finite differences")
def test_gradient_matches_finite_differences(name, score, logits, targets):
    assert torch.autograd.gradcheck(lambda z: score(z, targets), logits)


@keeping("token-wise independent")
def test_losses_are_token_wise_independent(name, score, logits, targets):
    alone = [score(z, y) for z, y in zip(logits, targets, strict=True)]
    assert_close(score(logits, targets), torch.stack(alone))


@keeping("no meaning")
def test_token_ids_carry_no_meaning(name, score, logits, targets):
    shuffled = torch.randperm(VOCAB, generator=torch.Generator().manual_seed(2))
    assert_close(score(logits[:, shuffled], shuffled.argsort()[targets]), score(logits, targets))


@keeping("sure and wrong")
def test_stays_finite_when_the_model_is_sure(name, score):
    for magnitude, target in itertools.product((1e2, 1e4), (0, 1)):  # right and wrong
        logits = torch.tensor([[magnitude, -magnitude, 0.0]], requires_grad=True)
        value = score(logits, torch.tensor([target]))
        value.sum().backward()
        assert value.isfinite().all() and logits.grad.isfinite().all(), (magnitude, target)


@pytest.mark.parametrize("prefix", ["", "softcap(15) | "])
def test_masked_tokens_have_exactly_zero_loss_and_gradient(name, targets, prefix):
    objective = Objective.parse(prefix + text_of(name))
    masked = torch.tensor([True, False, False, True, False, True])
    logits = torch.randn(6, VOCAB)
    logits[masked] = torch.tensor([float("inf"), float("-inf"), float("nan")])[:, None]
    logits.requires_grad_()
    value = objective(as_row(name, logits), as_row(name, targets.masked_fill(masked, IGNORE_INDEX)), vectors())
    value = value.view(targets.shape)
    value.sum().backward()
    assert (value[masked] == 0).all() and (logits.grad[masked] == 0).all()
    assert value[~masked].isfinite().all() and logits.grad[~masked].isfinite().all() and logits.grad[~masked].any()


@keeping("token-wise independent")
def test_what_is_masked_does_not_change_the_rest(name, total, logits, targets):
    whole = total(logits, targets)
    some = total(logits, targets.index_fill(0, torch.tensor([0, 4]), IGNORE_INDEX))
    assert_close(some[[1, 2, 3, 5]], whole[[1, 2, 3, 5]], rtol=0, atol=0)


def test_the_formula_round_trips(name, objective):
    assert str(objective) == text_of(name)
    again = Objective.parse(str(objective))
    assert str(again) == str(objective) and again.explicit == objective.explicit


def test_the_explicit_formula_writes_out_every_hyper_parameter(name, loss):
    given = formula.explicit(loss, formula.Call(name))
    assert all(f"{parameter}=" in given for parameter in list(inspect.signature(loss).parameters)[1:])
    assert formula.explicit(loss, formula.parse(given).terms[0][1]) == given


@keeping("halves")
def test_two_half_batches_accumulated_equal_the_whole(name, objective, targets):
    targets = targets.index_fill(0, torch.tensor([0, 1]), IGNORE_INDEX).view(2, 3)  # the halves differ in valid tokens
    hidden, lm_head = hidden_and_head(6, 4)

    def sums(x, y):
        return fused.linear_loss(x, lm_head, y, objective, vocabulary=vectors())

    whole = sums(hidden.view(2, 3, 4), targets)
    wanted = torch.autograd.grad(whole.total / whole.count, (hidden, lm_head))
    halves = [sums(hidden.view(2, 3, 4)[i : i + 1], targets[i : i + 1]) for i in (0, 1)]
    assert [int(half.count) for half in halves] == [1, 3]
    count = sum(half.count for half in halves)
    for half in halves:
        (half.total / count).backward()
    assert_close(sum(half.total for half in halves), whole.total)
    assert_close((hidden.grad, lm_head.grad), wanted)


def hidden_and_head(tokens, width, vocab=VOCAB, dtype=torch.float64):
    rng = torch.Generator().manual_seed(3)
    hidden = torch.randn(tokens, width, dtype=dtype, generator=rng).requires_grad_()
    return hidden, torch.randn(vocab, width, dtype=dtype, generator=rng).requires_grad_()


# chunks of 5 rows leave 3 of 23 tokens; chunks of one row and caps are the same for every loss
@pytest.mark.parametrize(("name", "rows", "prefix"), [
    *((name, 5, "") for name in NAMES), ("cross_entropy", 1, ""), ("squentropy", 16, "softcap(3) | "),
    ("mile", 5, "softcap(3) | "),
])  # fmt: skip
def test_the_chunked_route_gives_the_dense_value_and_both_gradients(name, rows, prefix, monkeypatch):
    objective = Objective.parse(prefix + text_of(name))
    hidden, lm_head = hidden_and_head(23, 5, vocab=13)
    rng = torch.Generator().manual_seed(4)
    targets = torch.randint(13, (23,), generator=rng).index_fill(0, torch.tensor([2, 9, 22]), IGNORE_INDEX)
    weights = torch.rand(23, dtype=torch.float64, generator=rng)
    upstream = torch.randn(23, dtype=torch.float64, generator=rng)  # non-uniform, through `statistics.losses`

    dense = objective(as_row(name, hidden @ lm_head.T), as_row(name, targets), vectors(13)).view(23)
    wanted = (dense * weights).sum() + (dense * upstream).sum()
    wanted_grads = torch.autograd.grad(wanted, (hidden, lm_head))

    sizes, checkpoint = [], fused.checkpoint
    monkeypatch.setattr(fused, "checkpoint", lambda f, x, y, **how: sizes.append(len(y)) or checkpoint(f, x, y, **how))
    monkeypatch.setattr(fused, "CHUNK_BYTES", rows * 13 * 4)
    given = (as_row(name, hidden), lm_head, as_row(name, targets), objective)
    route = "chunked" if objective.check(13, vectors(13)) else "dense"
    total, count, statistics = fused.linear_loss(
        *given, weights=as_row(name, weights), vocabulary=vectors(13), route=route
    )
    losses = statistics.losses.view(23)
    assert count == 20
    if "token-wise independent" not in EXCEPTIONS.get(name, {}):
        assert sizes == [*[rows] * (23 // rows), *([23 % rows] if 23 % rows else [])]
    assert_close(losses, dense)
    assert_close(total, (dense * weights).sum())
    grads = torch.autograd.grad(total + (losses * upstream).sum(), (hidden, lm_head))
    assert_close(grads, wanted_grads)
