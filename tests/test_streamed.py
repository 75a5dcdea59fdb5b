"""The streamed route against dense autograd in float64: every loss, every pair of quantities, every odd corner.

That float32 loses no more than plain PyTorch in float32 does is shown for every loss in `test_head_errors.py`.
"""

import itertools

import pytest
import torch
from head_problem import COEFFICIENTS, NAMES, TOKENS, VOCABULARY, V, by_dense, problem, text_of
from head_problem import parse as parse
from torch.testing import assert_close

from losslab import fused
from losslab.config import IGNORE_INDEX
from losslab.fused.job import Job
from losslab.fused.sweep import streamed
from losslab.kernels import cpu
from losslab.kernels.gram import Gram
from losslab.objective import Objective
from losslab.prediction import Needs, Prediction, StreamedPrediction

# one of each kind that a sweep treats in its own way; each is curved, so that its value enters its gradient
QUANTITIES = {
    "nll": "p.nll**1.5", "log_z": "p.log_z**2 / 9", "target_logit": "p.target_logit**2 / 9",
    "max_logit": "p.max_logit**2 / 9", "sum_logits": "p.sum_logits**2 / 400", "sum_squares": "p.sum_squares**0.5",
    "entropy": "p.entropy**2", "power_sum(2)": "p.power_sum(2.0)**0.5", "power_sum(0.5)": "p.power_sum(0.5)**0.5",
    "dot": "p.dot('unigram')**2",
    "logit_at": "p.logit_at(torch.stack([p.targets, (p.targets + 1) % p.vocab_size], -1)).square().sum(-1) / 9",
}
TWO_QUANTITIES = list(itertools.combinations(QUANTITIES, 2))


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch):
    """Tiles of ten rows in float64, which divide nothing."""
    monkeypatch.setattr(cpu, "TILE_BYTES", dict.fromkeys((1, 2, 3), 10 * V * 8))


def by_stream(objective, hidden, lm_head, targets, upstream=None, weights=None):
    row = None if weights is None else weights[None]
    total, losses, _ = streamed(hidden[None], lm_head, targets[None], objective, weights=row, vocabulary=VOCABULARY)
    losses = losses[0]
    if upstream is None:
        return losses.detach(), *torch.autograd.grad(total, (hidden, lm_head))
    return losses.detach(), *torch.autograd.grad(losses, (hidden, lm_head), upstream.to(losses.dtype))


ODD = ["<every>", "<over_the_batch>", "cross_entropy + <every>"]
CAPPED = [cap + text for text in [*map(text_of, NAMES), *ODD] for cap in ("", "softcap(3) | ")]
CAPPED += [f"softcap(9) | softcap(3) | {text}" for text in ("cross_entropy", *ODD)]


def test_losses_that_stream_are_found():
    assert {"cross_entropy", "mile", "unlikelihood"} < set(NAMES) and "entmax15" not in NAMES


@pytest.mark.parametrize("text", CAPPED)
def test_value_and_both_gradients_are_those_of_dense_autograd(text, parse):
    assert_same_as_dense(parse(text))


@pytest.mark.parametrize("pair", TWO_QUANTITIES, ids=" and ".join)
def test_any_two_quantities_in_one_loss(pair, tmp_path):
    """What a tile overwrites for one of them, the other may still have to read."""
    one, other = (QUANTITIES[name] for name in pair)
    path = tmp_path / "pair.py"
    path.write_text(f"import torch\n\ndef pair(p):\n    return {one} + 0.3*({other})\n")
    for cap in ("", "softcap(3) | "):
        assert_same_as_dense(Objective.parse(f'{cap}file("{path}")'))


def assert_same_as_dense(objective):
    hidden, lm_head, targets = problem()
    weights, upstream = torch.rand(TOKENS, dtype=torch.float64), torch.randn(TOKENS, dtype=torch.float64)
    for given, wanted in [
        (by_stream(objective, hidden, lm_head, targets, weights=weights), weights),  # the fast path, where there is one
        (by_stream(objective, hidden, lm_head, targets, upstream=upstream), upstream),
    ]:
        truth = by_dense(objective, hidden, lm_head, targets, wanted)
        for one, other in zip(given, truth, strict=True):
            assert (one - other).abs().max() <= 1e-10 * other.abs().max()
        assert not given[0][targets < 0].any() and not given[1][targets < 0].any()


def test_a_row_the_model_is_sure_of():
    hidden = torch.tensor([[40.0], [-40.0]], requires_grad=True)
    lm_head = torch.tensor([[1.0], [-1.0], [0.0]], requires_grad=True)
    objective, targets = Objective.parse("cross_entropy"), torch.tensor([0, 0])
    losses, grad_hidden, grad_lm_head = by_stream(objective, hidden, lm_head, targets)
    assert losses[1] == 80 and losses[0] < 1e-16
    truth = by_dense(objective, hidden, lm_head, targets, torch.ones(2))
    assert_close((grad_hidden, grad_lm_head), truth[1:])


def test_a_total_may_be_scaled_and_descended_twice():
    objective = Objective.parse("cross_entropy")
    hidden, lm_head, targets = problem()
    total, _, _ = streamed(hidden, lm_head, targets, objective)
    wanted = by_dense(objective, hidden, lm_head, targets, torch.full((TOKENS,), 3.0))[1:]
    for _ in range(2):  # stored gradients are handed over once; then they are computed again
        assert_close(torch.autograd.grad(3 * total, (hidden, lm_head), retain_graph=True), wanted)


def test_total_and_losses_may_both_be_descended_and_weights_learned():
    objective = Objective.parse("squentropy")
    hidden, lm_head, targets = problem()
    weights = torch.rand(TOKENS, dtype=torch.float64).requires_grad_()
    upstream = torch.randn(TOKENS, dtype=torch.float64)
    total, losses, _ = streamed(hidden, lm_head, targets, objective, weights=weights)
    grads = torch.autograd.grad(2 * total + (losses * upstream).sum(), (hidden, lm_head, weights))
    dense = objective(hidden @ lm_head.T, targets)
    wanted = 2 * (dense * weights).sum() + (dense * upstream).sum()
    assert_close(grads, torch.autograd.grad(wanted, (hidden, lm_head, weights)))


@pytest.mark.parametrize("text", ["softcap(3) | cross_entropy", "<over_the_batch>", "<every>"])
def test_a_batch_without_targets_gives_exactly_zero(text, parse):
    hidden, lm_head, targets = problem()
    total, losses, _ = streamed(hidden, lm_head, torch.full_like(targets, IGNORE_INDEX), parse(text),
                                vocabulary=VOCABULARY)  # fmt: skip
    total.backward()
    assert total == 0 and not losses.any() and not hidden.grad.any() and not lm_head.grad.any()


def test_a_loss_over_the_logits_is_refused_by_name(tmp_path):
    path = tmp_path / "raw.py"
    path.write_text("def raw(prediction):\n    return prediction.logits.logsumexp(-1) - prediction.target_logit\n")
    sentence = "raw.py cannot be streamed: it reads prediction.logits, which is never held; ask for no route, or"
    assert sentence in streamed(*problem(), Objective.parse(str(path)))
    with pytest.raises(ValueError, match=sentence):
        fused.linear_loss(*problem(), Objective.parse(str(path)), route="streamed")


def test_a_target_outside_the_vocabulary_is_named():
    hidden, lm_head, targets = problem()
    targets[1] = V
    with pytest.raises(ValueError, match=f"targets has id {V}, but vocab_size is {V}"):
        streamed(hidden, lm_head, targets, Objective.parse("cross_entropy"))


def test_a_loss_whose_questions_depend_on_the_answers_is_asked_again(tmp_path):
    path = tmp_path / "fickle.py"
    path.write_text(
        "def fickle(p):\n    known = bool(p.target_logit.detach().any())\n"
        "    return p.nll + 0.1 * (p.max_logit**2 if known else p.sum_logits)\n"
    )
    objective = Objective.parse(str(path))
    hidden, lm_head, targets = problem()
    truth = by_dense(objective, hidden, lm_head, targets, torch.ones(TOKENS))
    assert_close(by_stream(objective, hidden, lm_head, targets), truth)


def test_a_loss_that_reads_the_logits_once_it_has_answers_is_refused_and_goes_another_way(tmp_path, monkeypatch):
    path = tmp_path / "late.py"
    path.write_text("def late(p):\n    known = bool(p.target_logit.detach().any())\n"
                    "    return p.nll + (p.logits.square().mean(-1) if known else 0)\n")
    objective = Objective.parse(str(path))
    hidden, lm_head, targets = problem()
    assert "late.py cannot be streamed: it reads prediction.logits" in streamed(hidden, lm_head, targets, objective)
    monkeypatch.setattr(fused, "DENSE_BYTES", 0)
    total = fused.linear_loss(hidden, lm_head, targets, objective).total
    truth = by_dense(objective, hidden, lm_head, targets, torch.ones(TOKENS))
    assert_close((total, *torch.autograd.grad(total, (hidden, lm_head))), (truth[0].sum(), *truth[1:]))


def test_what_a_loss_asks_for_is_found_once_and_not_in_every_batch(parse, monkeypatch):
    monkeypatch.setattr(cpu, "TILE_BYTES", dict.fromkeys((1, 2, 3), 2**20))  # one tile a batch
    calls = []
    for text, first, later in (("squentropy", 2, 1), ("<over_the_batch>", 2, 1), ("multi_token", 3, 2)):
        objective = parse(text)
        objective.check(V)
        losses = objective.losses
        monkeypatch.setattr(objective, "losses", lambda p, losses=losses: calls.append(1) or losses(p))
        for expected in (first, later, later):
            calls.clear()
            hidden, lm_head, targets = problem()
            streamed(hidden[None], lm_head, targets[None], objective, vocabulary=VOCABULARY)
            assert len(calls) == expected, text
    with pytest.raises(ValueError, match="needs the vocabulary vector 'unigram', but the corpus gave none"):
        objective = parse("unigram_smoothing")
        streamed(*problem(), objective, vocabulary=VOCABULARY)
        streamed(*problem(), objective)


def test_the_parts_of_a_gradient_are_added_in_one_order_in_every_process(parse, monkeypatch):
    orders, descend = [], cpu.Tile.descend
    monkeypatch.setattr(cpu.Tile, "descend", lambda tile, given: orders.append([*given]) or descend(tile, given))
    objective = parse("squentropy + 0.1*entropy + power(0.5) + 0.1*power(0.3) + 0.1*power(0.7) + 0.1*max_z_loss")
    streamed(*problem(), objective)  # in one sweep
    assert len(orders) == 5 and len(orders[0]) == 8 and all(names == sorted(names, key=str) for names in orders)
    orders.clear()
    hidden, lm_head, targets = problem()
    streamed(hidden, lm_head, targets, parse("<every>"), vocabulary=VOCABULARY).total.backward()  # in two
    pairs = [[name for name in names if isinstance(name, tuple)] for names in orders]
    assert len(pairs) == 5 and all(len(names) == 5 and names == sorted(names) for names in pairs)


def test_only_what_a_loss_asks_for_is_gathered(parse):
    def needs(text):
        return Job(*problem(), parse(text), TOKENS - 12, VOCABULARY).needs.quantities

    assert needs("cross_entropy") == {"nll"}
    assert needs("squentropy") == {"nll", "sum_squares", "target_logit"}
    assert ("power_sum", 0.5) in needs("<every>") and ("dot", "unigram") in needs("<every>")


def test_linear_loss_streams_a_large_batch_and_keeps_what_it_saw(monkeypatch):
    monkeypatch.setattr(fused, "DENSE_BYTES", 0)
    hidden, lm_head, targets = problem()
    objective = Objective.parse("softcap(3) | cross_entropy")
    assert fused.first_route(hidden, lm_head, targets, objective) == "streamed"
    total, count, statistics = fused.linear_loss(hidden, lm_head, targets, objective)
    prediction = Prediction.dense(objective.transform(hidden @ lm_head.T), targets)
    with torch.no_grad():
        hidden.fill_(torch.nan)  # what the sweep saw is kept, and not looked for again
    for name in ("nll", "log_z", "max_logit"):
        assert_close(getattr(statistics, name), getattr(prediction, name).where(targets >= 0, 0.0).detach())
    assert_close(total, statistics.nll.sum())
    assert count == (targets >= 0).sum()


def test_the_graph_holds_nothing_of_the_size_of_the_logits(parse):
    for text in ("cross_entropy", "<over_the_batch>"):
        objective, sizes = parse(text), []
        objective.check(V)
        with torch.autograd.graph.saved_tensors_hooks(lambda t, sizes=sizes: sizes.append(t.numel()) or t, lambda t: t):
            streamed(*problem(), objective)
        assert max(sizes) < TOKENS * V / 4


def test_bfloat16_products_keep_float32_statistics():
    hidden, lm_head, targets = problem(torch.float32)
    objective = Objective.parse("cross_entropy")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses, *grads = by_stream(objective, hidden, lm_head, targets)
        plain = by_dense(objective, hidden, lm_head, targets, torch.ones(TOKENS))
    truth = by_dense(objective, hidden.double(), lm_head.double(), targets, torch.ones(TOKENS))
    assert losses.dtype == torch.float32 and grads[1].dtype == torch.float32
    for ours, theirs, true in zip([losses, *grads], plain, truth, strict=True):
        assert (ours - true).abs().max() <= 1.5 * (theirs - true).abs().max()


def test_a_masked_token_on_the_streamed_route_shows_what_it_shows_on_the_dense():
    streamed_one = StreamedPrediction({}, Needs(), torch.tensor([-100]), V, torch.float64)
    dense = Prediction.dense(torch.zeros(1, V, dtype=torch.float64), torch.tensor([-100]))
    for name in ("nll", "log_z", "entropy", "target_logit", "sum_logits", "sum_squares", "max_logit"):
        assert_close(getattr(streamed_one, name).detach(), getattr(dense, name))
    assert_close(streamed_one.power_sum(0.5).detach(), dense.power_sum(0.5))


@pytest.mark.parametrize("text", ["squentropy", "cross_entropy + 0.1*logit_variance", "<every>", "<over_the_batch>"])
def test_a_wide_model_has_its_squares_from_the_tiles(text, parse, monkeypatch):
    objective = parse(text)
    narrow = by_stream(objective, *problem())
    monkeypatch.setattr(cpu, "NARROW", 0)
    monkeypatch.setattr(cpu, "Gram", None)
    for one, other in zip(narrow, by_stream(objective, *problem()), strict=True):
        assert_close(one, other)


def test_sums_of_squares_of_a_narrow_model_cancel_nothing():
    rng = torch.Generator().manual_seed(0)
    lm_head = torch.randn(300, 6, generator=rng) @ torch.diag(torch.tensor([1e3, 1, 1, 1, 1, 1.0]))
    x = torch.randn(5, 6, generator=rng)
    x[:, 0] = 0  # and so the largest entries of the Gram matrix must not be heard
    truth = (x.double() @ lm_head.double().T).square().sum(1)
    torch.testing.assert_close(Gram(lm_head).sum_squares(x), truth, rtol=1e-12, atol=0)


@pytest.mark.parametrize("quantity", COEFFICIENTS, ids=str)
def test_a_wrong_coefficient_is_seen(quantity, parse, monkeypatch):
    """The comparison with dense autograd turns red when any one coefficient is off by a thousandth."""
    true = cpu.Tile.descend

    def wrong(self, partials):
        hit = [q for q in partials if q == quantity or q[:1] == quantity]
        assert hit
        return true(self, {q: d * (1.001 if q in hit else 1) for q, d in partials.items()})

    monkeypatch.setattr(cpu.Tile, "descend", wrong)
    objective = parse("<every>")
    hidden, lm_head, targets = problem()
    given = by_stream(objective, hidden, lm_head, targets)
    truth = by_dense(objective, hidden, lm_head, targets, torch.ones(TOKENS))
    assert (given[2] - truth[2]).abs().max() > 1e-8 * truth[2].abs().max()
