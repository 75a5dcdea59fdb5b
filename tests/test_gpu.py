"""The head on a GPU against dense autograd in float64. Without a GPU, Triton's interpreter runs the same kernels.

The interpreter computes in numpy whatever the dtype, so there it is float64 that is compared, to the last digits. What
it cannot show is a compiler's mistake or a race; `takes` tries the kernels where they are to run.
"""

import itertools

import pytest
import torch
from gpu_problem import ALL_CAPS, CLOSE, DEVICE, EXACT, ON_GPU, why_not
from gpu_problem import small_blocks as small_blocks
from head_problem import COEFFICIENTS, NAMES, TOKENS, VOCABULARY, V, by_dense, problem, text_of
from head_problem import parse as parse
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from losslab.config import IGNORE_INDEX
from losslab.fused.sweep import streamed
from losslab.kernels import gpu
from losslab.objective import Objective

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())
HALF = torch.bfloat16 if ON_GPU else torch.float16  # the interpreter multiplies the bits of a bfloat16 as integers
CAPPED = ["cross_entropy", "squentropy", "unigram_smoothing + 0.3*brier", "<every>", "<over_the_batch>"]
PAIRS = [f"{text_of(a)} + 0.3*{b}" for a, b in itertools.combinations(NAMES, 2)]
SAMPLE = [*map(text_of, NAMES), *PAIRS[::40], "<every>", "<over_the_batch>", *(ALL_CAPS + text for text in CAPPED)]


def by_kernels(objective, hidden, lm_head, targets, upstream, dtype=None):
    """Losses and both gradients, on the CPU."""
    hidden, lm_head = (m.detach().to(DEVICE, dtype).requires_grad_() for m in (hidden, lm_head))
    vocabulary = {name: vector.to(DEVICE) for name, vector in VOCABULARY.items()}
    found = streamed(hidden[None], lm_head, targets[None].to(DEVICE), objective, vocabulary=vocabulary)
    assert not isinstance(found, str), found
    losses = found.losses
    grads = torch.autograd.grad(losses[0], (hidden, lm_head), upstream.to(DEVICE, losses.dtype))
    return losses[0].detach().cpu(), *(grad.cpu() for grad in grads)


def agrees(objective, exact, upstream, dtype=EXACT, close=CLOSE):
    given = by_kernels(objective, *exact, upstream, dtype)
    hidden, lm_head = (m.detach().to(dtype).double().requires_grad_() for m in exact[:2])
    truth = by_dense(objective, hidden, lm_head, exact[2], upstream)
    for one, other in zip(given, truth, strict=True):
        assert (one - other).abs().max() <= close * other.abs().max()
    assert not given[0][exact[2] < 0].any() and not given[1][exact[2] < 0].any()
    return given


@pytest.mark.parametrize("text", SAMPLE)
def test_value_and_both_gradients_are_those_of_dense_autograd(text, parse):
    agrees(parse(text), problem(), torch.randn(TOKENS))


@pytest.mark.parametrize("transform", ["softcap(3)", "temperature(0.3)", "isru_cap(3)", "sigmoid_cap(A=5, B=-1, C=2)",
                                       "sigmoid_cap", "softcap(9) | softcap(3)"])  # fmt: skip
def test_each_transform(transform):
    agrees(Objective.parse(f"{transform} | squentropy"), problem(), torch.randn(TOKENS))


SIZES = [(1, 2, 1), (32, 16, 16), (17, 15, 17), (97, 64, 5), (31, 97, 40)]


@pytest.mark.parametrize(("tokens", "vocab", "width"), SIZES)
def test_sizes_that_divide_a_tile_and_sizes_that_do_not(tokens, vocab, width):
    hidden, lm_head = torch.randn(tokens, width), torch.randn(vocab, width)
    targets = torch.randint(vocab, (tokens,))
    targets[0] = vocab - 1
    objective = Objective.parse("squentropy - 0.1*entropy + 0.1*max_z_loss")
    agrees(objective, (hidden, lm_head, targets), torch.randn(tokens))


USUAL = ["cross_entropy", "squentropy", "<every>", ALL_CAPS + "cross_entropy", "softcap(15) | mse"]
LARGE = [*(text_of(name) for name in NAMES if name != "unlikelihood"), "<over_the_batch>"]


@pytest.mark.parametrize(("text", "scale"), [(text, 1.0) for text in USUAL] + [(text, 3e3) for text in LARGE])
def test_float32_is_no_worse_than_plain_pytorch(text, scale, parse):
    objective, exact, ones = parse(text), problem(torch.float32, scale=scale), torch.ones(TOKENS)
    given = by_kernels(objective, *exact, ones)
    truth = by_dense(objective, exact[0].double(), exact[1].double(), exact[2], ones)
    for ours, theirs, true in zip(given, by_dense(objective, *exact, ones), truth, strict=True):
        budget = (theirs - true).abs().max() + 1e-6 * true.abs().max()
        assert ours.dtype == torch.float32 and (ours - true).abs().max() <= budget


def test_the_cap_is_exact_where_it_is_flat_and_where_it_is_straight():
    raw = torch.tensor([-60.0, -9.0, -0.3, -1e-3, 1e-6, 0.2, 0.29, 0.31, 3.0, 40.0])
    hidden, lm_head, targets = torch.ones(1, 1), raw[:, None], torch.tensor([9])
    objective = Objective.parse("softcap(1) | mse")
    _, grad_hidden, grad_lm_head = by_kernels(objective, hidden, lm_head, targets, torch.ones(1))
    z = raw.double().tanh()
    error = 2 / 10 * (z - torch.eye(10)[9])
    assert_close(grad_lm_head[:, 0].double(), error / raw.double().cosh() ** 2, rtol=2e-6, atol=1e-30)


@pytest.mark.parametrize("text", ["cross_entropy", "softcap(15) | squentropy + 1e-4*z_loss"])
def test_sixteen_bit_products_keep_float32_statistics(text):
    exact = problem(torch.float32)
    losses, *_ = agrees(Objective.parse(text), exact, torch.ones(TOKENS), dtype=HALF, close=1e-2)
    truth = by_dense(Objective.parse(text), *(m.to(HALF).double().requires_grad_() for m in exact[:2]), exact[2],
                     torch.ones(TOKENS))  # fmt: skip
    assert losses.dtype == torch.float32 and (losses - truth[0]).abs().max() <= 1e-6 * truth[0].abs().max()


def test_weights_in_float32_get_float32_gradients_from_sixteen_bit_products():
    hidden, lm_head, targets = problem(torch.float32)
    head = gpu.Head(hidden.to(DEVICE), lm_head.to(DEVICE), targets.clamp_min(0).to(DEVICE), gpu.Needs({"nll"}), [], (),
                    HALF, {})  # fmt: skip
    (tile,) = head.tiles()
    tile.observe()
    tile.descend({"nll": torch.ones(TOKENS, device=DEVICE)})
    assert head.hidden.dtype == HALF and head.grad_lm_head.dtype == head.grad_hidden.dtype == torch.float32


def test_total_and_losses_may_both_be_descended_weights_learned_and_twice():
    hidden, lm_head, targets = (m.detach().to(DEVICE) for m in problem(EXACT))
    hidden.requires_grad_(), lm_head.requires_grad_()
    weights = torch.rand(TOKENS, dtype=EXACT, device=DEVICE).requires_grad_()
    upstream = torch.randn(TOKENS, dtype=EXACT, device=DEVICE)
    objective = Objective.parse("squentropy")
    total, losses, seen = streamed(hidden, lm_head, targets, objective, weights=weights)
    dense = objective(hidden @ lm_head.T, targets)
    wanted = 2 * (dense * weights).sum() + (dense * upstream).sum()
    wanted = torch.autograd.grad(wanted, (hidden, lm_head, weights))
    ours = 2 * total + (losses * upstream).sum()
    for _ in range(2):
        given = torch.autograd.grad(ours, (hidden, lm_head, weights), retain_graph=True)
        assert_close(given, wanted, rtol=CLOSE, atol=CLOSE)
    assert {"nll", "log_z", "max_logit"} <= seen.keys()


@pytest.mark.parametrize("text", ["softcap(3) | cross_entropy", "<over_the_batch>", "<every>"])
def test_a_batch_without_targets_gives_exactly_zero(text, parse):
    hidden, lm_head, targets = problem()
    total, losses, _ = streamed(hidden, lm_head, torch.full_like(targets, IGNORE_INDEX), parse(text),
                                vocabulary=VOCABULARY)  # fmt: skip
    total.backward()
    assert total == 0 and not losses.any() and not hidden.grad.any() and not lm_head.grad.any()


def test_the_first_of_equal_logits_is_the_largest(monkeypatch):
    lm_head = torch.zeros(V, 3)
    lm_head[[5, 20, 37, 41]] = 1.0  # in one tile, in another of the same part of the vocabulary, in another part
    head = gpu.Head(torch.ones(40, 3, device=DEVICE), lm_head.to(DEVICE), torch.zeros(40, device=DEVICE).long(),
                    gpu.Needs({"argmax"}), [], (), torch.float32, {})  # fmt: skip
    parts, launch = [], gpu.Head.launch
    monkeypatch.setattr(gpu.Head, "launch", lambda self, name, n, *a, **k: parts.append(n) or launch(
        self, name, n, *a, **k))
    (tile,) = head.tiles()
    assert tile.observe()["argmax"].tolist() == [5] * 40 and parts == [2]


def test_only_what_a_loss_asks_for_is_compiled_in(parse, monkeypatch):
    seen = []
    launch = gpu.Head.launch
    monkeypatch.setattr(gpu.Head, "launch", lambda self, name, *a, **k: seen.append(k) or launch(self, name, *a, **k))
    for text in ("cross_entropy", "<every>"):
        by_kernels(parse(text), *problem(), torch.ones(TOKENS))
    (plain, *_, descent), full = seen[:4], seen[4]
    assert plain == {"WANTS_ARGMAX": False, "WANTS_S1": False, "WANTS_SUM": False, "WANTS_SQUARES": False, "POWERS": 0,
                     "DOTS": 0, "MORE": 1}  # fmt: skip
    assert descent == {"WANTS_A0": True, "WANTS_A1": False, "WANTS_C0": False, "WANTS_C1": False, "POWERS": 0,
                       "DOTS": 0}  # fmt: skip
    assert all(full.values()) and (full["POWERS"], full["DOTS"], full["MORE"]) == (3, 1, 4)


class Largest(TorchDispatchMode):
    """The bytes of the largest tensor that any operation gives."""

    size = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if torch.is_tensor(tensor):
                self.size = max(self.size, tensor.numel() * tensor.itemsize)
        return out


def test_nothing_of_the_size_of_the_logits_is_made():
    hidden, lm_head = (torch.randn(n, 4, device=DEVICE, requires_grad=True) for n in (96, 512))
    targets, objective = torch.randint(512, (96,), device=DEVICE), Objective.parse("squentropy - 0.1*entropy")
    objective.check(512)
    with Largest() as largest:
        streamed(hidden, lm_head, targets, objective)[0].backward()
    assert largest.size == 4 * lm_head.numel() < 4 * 96 * 512 / 16


@pytest.mark.parametrize("quantity", COEFFICIENTS, ids=str)
def test_a_wrong_coefficient_is_seen(quantity, parse, monkeypatch):
    true = gpu.coefficients

    def wrong(found, partials, *rest):
        hit = [q for q in partials if q == quantity or q[:1] == quantity]
        assert hit
        return true(found, {q: d * (1.01 if q in hit else 1) for q, d in partials.items()}, *rest)

    monkeypatch.setattr(gpu, "coefficients", wrong)
    with pytest.raises(AssertionError):
        agrees(parse("<every>"), problem(), torch.ones(TOKENS))
