"""The head on a GPU against dense autograd in float64. Without a GPU, Triton's interpreter runs the same kernels.

The interpreter computes in numpy whatever the dtype, so there it is float64 that is compared, to the last digits. What
it cannot show is a compiler's mistake or a race; `takes` tries the kernels where they are to run.
"""

import itertools
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from test_streamed import COEFFICIENTS, NAMES, TOKENS, VOCABULARY, V, by_dense, problem, text_of
from test_streamed import parse as parse
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from losslab import formula, fused, kernels
from losslab.config import IGNORE_INDEX
from losslab.fused.sweep import streamed
from losslab.kernels import cpu, gpu
from losslab.objective import Objective
from losslab.prediction import Prediction

triton = pytest.importorskip("triton", reason="Triton is not installed here")


@triton.jit
def count(X, n):
    for _ in range(n):
        triton.language.atomic_add(X, 1)


def why_not():
    """Triton's interpreter keeps up with some versions of numpy only; this says so without any code of the house."""
    counted = torch.zeros(1, dtype=torch.int32, device=DEVICE)
    try:
        count[(1,)](counted, 3)
    except Exception as error:
        return f"Triton {triton.__version__} runs nothing here: {error}"
    return "" if counted.item() == 3 else f"Triton {triton.__version__} cannot count to three here"


ON_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if ON_GPU else "cpu")
EXACT, CLOSE = (torch.float32, 2e-5) if ON_GPU else (torch.float64, 1e-10)
pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())
HALF = torch.bfloat16 if ON_GPU else torch.float16  # the interpreter multiplies the bits of a bfloat16 as integers
ALL_CAPS = "temperature(0.7) | isru_cap(9) | sigmoid_cap(A=9, B=0.5, C=4) | softcap(3) | "
CAPPED = ["cross_entropy", "squentropy", "unigram_smoothing + 0.3*brier", "<every>", "<over_the_batch>"]
PAIRS = [f"{text_of(a)} + 0.3*{b}" for a, b in itertools.combinations(NAMES, 2)]
SAMPLE = [*map(text_of, NAMES), *PAIRS[::40], "<every>", "<over_the_batch>", *(ALL_CAPS + text for text in CAPPED)]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Tiles of 32 by 16 that divide nothing, two parts of the vocabulary, and a buffer of 16 columns."""
    monkeypatch.setattr(kernels, "swept_by", lambda where, dtype, transforms: gpu)
    monkeypatch.setattr(gpu, "BLOCKS", dict.fromkeys((2, 4, 8), gpu.Block(32, 16, 16, 4, 2)))
    monkeypatch.setattr(gpu, "GROUP", 3)
    monkeypatch.setattr(gpu, "MIN_COLUMNS", 16)
    monkeypatch.setattr(gpu, "BUFFER_BYTES", 0)
    monkeypatch.setattr(gpu, "_multiprocessors", lambda device: 2)


def by_kernels(objective, hidden, lm_head, targets, upstream, dtype=None):
    """Losses and both gradients, on the CPU."""
    hidden, lm_head = (m.detach().to(DEVICE, dtype).requires_grad_() for m in (hidden, lm_head))
    vocabulary = {name: vector.to(DEVICE) for name, vector in VOCABULARY.items()}
    found = streamed(hidden[None], lm_head, targets[None].to(DEVICE), objective, vocabulary=vocabulary)
    if isinstance(found, str):
        pytest.skip(f"{objective} looks at the logits")
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


def test_the_first_of_equal_logits_is_the_largest():
    lm_head = torch.zeros(V, 3)
    lm_head[[5, 20, 37, 41]] = 1.0  # in one tile, in another of the same part of the vocabulary, in another part
    head = gpu.Head(torch.ones(40, 3, device=DEVICE), lm_head.to(DEVICE), torch.zeros(40, device=DEVICE).long(),
                    gpu.Needs({"argmax"}), [], (), torch.float32, {})  # fmt: skip
    (tile,) = head.tiles()
    assert tile._splits(V) == (2, 32)
    assert tile.observe()["argmax"].tolist() == [5] * 40


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
    hidden, lm_head = torch.randn(96, 4, requires_grad=True), torch.randn(512, 4, requires_grad=True)
    targets, objective = torch.randint(512, (96,)), Objective.parse("squentropy - 0.1*entropy")
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


# --- when it is taken ---------------------------------------------------------------------------

CUDA, SWEPT_BY = torch.device("cuda"), kernels.swept_by


@pytest.fixture
def like_an_h200(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setattr(gpu, "_works", lambda device, dtype: True)


def transforms(text):
    return Objective.parse(text).transforms


def test_it_takes_what_it_can_do(like_an_h200, monkeypatch):
    for dtype, text in itertools.product([torch.bfloat16, torch.float16, torch.float32], ["mse", ALL_CAPS + "mse"]):
        assert gpu.takes(CUDA, dtype, transforms(text))
    assert not gpu.takes(CUDA, torch.float64, ())
    unknown = formula.Transform("a_new_cap", (), formula.Call("a_new_cap"))
    assert not gpu.takes(CUDA, torch.float32, [unknown])
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert gpu.takes(CUDA, torch.float16, ()) and not gpu.takes(CUDA, torch.bfloat16, ())


def test_every_transform_of_the_house_is_compiled_in():
    assert set(gpu.TRANSFORMS) == set(formula.names("losslab.transforms"))


def test_the_door_takes_it_for_a_large_batch_on_a_gpu_and_else_the_chunked_way(like_an_h200, monkeypatch):
    monkeypatch.setattr(kernels, "swept_by", SWEPT_BY)
    objective, lm_head, targets = Objective.parse("cross_entropy"), torch.empty(50257, 4), torch.zeros(4096)
    objective.scored_alone = True

    def first(dtype, device=CUDA):
        return fused.first_route(SimpleNamespace(device=device, dtype=dtype), lm_head, targets, objective)

    assert first(torch.bfloat16) == first(torch.float32) == first(torch.float64, torch.device("cpu")) == "streamed"
    assert first(torch.float64) == first(torch.float32, torch.device("mps")) == "chunked"
    assert SWEPT_BY(CUDA, torch.float64, ()) is cpu  # which streams too, if it is asked for by hand
    monkeypatch.setattr(kernels, "_has_triton", lambda: False)
    assert first(torch.bfloat16) == "chunked"


def test_three_tokens_are_tried_first(monkeypatch):
    gpu._works.cache_clear()
    assert gpu._works(DEVICE, torch.float32)
    gpu._works.cache_clear()
    true = gpu.coefficients
    monkeypatch.setattr(gpu, "coefficients", lambda *a: true(*a)._replace(a0=None))
    with pytest.warns(UserWarning, match=r"do not run here \(they are wrong by .* large batches go in pieces"):
        assert not gpu._works(DEVICE, torch.float32)
    gpu._works.cache_clear()

    def broken(*arguments, **switches):
        raise RuntimeError("Failed to find C compiler\nand more")

    monkeypatch.setattr(gpu.Head, "launch", broken)
    with pytest.warns(UserWarning, match=r"\(RuntimeError: Failed to find C compiler\); large"):
        assert not gpu._works(DEVICE, torch.float32)
    gpu._works.cache_clear()


def test_more_columns_than_ids_can_number_are_refused():
    huge = torch.empty(1, 1).expand(2**31, 1)
    with pytest.raises(ValueError, match="lm_head has 2147483648 rows, more than 32-bit token ids can number"):
        gpu.Head(torch.ones(1, 1), huge, torch.tensor([0]), gpu.Needs({"nll"}), [], (), torch.float32, {})


def test_ids_are_not_rounded_on_their_way():
    columns = [torch.empty(1, 0), torch.tensor([[2**24 + 1]])]  # no float32 is that number
    assert gpu._transposed(columns, torch.int32).tolist() == [[2**24 + 1]]


def test_the_door_streams_and_says_what_it_saw(monkeypatch):
    monkeypatch.setattr(fused, "DENSE_BYTES", 0)
    monkeypatch.setattr(gpu, "HOME", DEVICE.type)
    hidden, lm_head, targets = (m.detach().to(DEVICE) for m in problem(EXACT))
    objective = Objective.parse("softcap(3) | cross_entropy")
    total, count, statistics = fused.linear_loss(hidden.requires_grad_(), lm_head, targets, objective)
    monkeypatch.setattr(fused.Statistics, "_observe", None)  # would fail if it were called
    prediction = Prediction.dense(objective.transform(hidden @ lm_head.T), targets)
    for name in ("nll", "log_z", "max_logit"):
        assert_close(getattr(statistics, name), getattr(prediction, name).where(targets >= 0, 0.0).detach())
    assert_close(total, statistics.nll.sum())
    assert count == (targets >= 0).sum()


COMPILE = """
import triton, triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from losslab.kernels import gpu, triton_rows

def compiled(name, dtype, target, switches):
    kernel, block = getattr(triton_rows, name), gpu.BLOCKS[4 if dtype == "fp32" else 2]
    constants = switches | dict(WIDE=tl.float32, EVEN=True, BLOCK_N=block.n, BLOCK_V=block.v, BLOCK_D=block.d, GROUP=16)
    kinds = dict(X=dtype, W=dtype, COLUMNS="i32", ARGMAX="i32", OUT=dtype if name == "gradient" else "fp32")
    names = kernel.arg_names
    rest = {a: "*" + kinds.get(a, "fp32") if a.isupper() else "i32" for a in names}
    signature = rest | {a: "constexpr" for a in constants}
    pointers = [a for a in names if a.isupper() and a not in constants]
    aligned = {(names.index(a),): [["tt.divisibility", 16]] for a in names if a in (*pointers, "d", "stride")}
    source = ASTSource(kernel, signature, {(names.index(a),): value for a, value in constants.items()}, aligned)
    options = dict(num_warps=block.warps, num_stages=block.stages, enable_fp_fusion=True)
    made = triton.compile(source, target=GPUTarget("cuda", target, 32), options=options)
    assert made.metadata.shared <= 166 * 1024, made.metadata.shared  # what a program may have on an A100
    return made.asm["ptx"]

usual = dict(TRANSFORMS=(), POWERS=0, DOTS=0)
full = dict(TRANSFORMS=(0, 2.0, 0.0, 0.0, 1, 15.0, 0.0, 0.0, 2, 23.0, 5.0, 7.5, 3, 15.0, 0.0, 0.0), POWERS=2, DOTS=1)
for target, dtype, wants, rest in [(90, "bf16", False, usual), (90, "bf16", True, full), (80, "fp32", True, full)]:
    first = {"WANTS_" + name: wants for name in ("ARGMAX", "S1", "SUM", "SQUARES")} | rest | dict(MORE=4)
    second = {"WANTS_" + name: wants for name in ("A0", "A1", "C0", "C1")} | rest | dict(WANTS_A0=True)
    for name, switches in [("statistics", first), ("gradient", second)]:
        ptx = compiled(name, dtype, target, switches)
        assert ("wgmma" in ptx) == (dtype == "bf16") and "tf32" not in ptx, name
"""


@pytest.mark.slow
def test_both_kernels_compile_for_gpus_that_are_not_here():
    """To tensor cores of an H100 or H200 for bfloat16; without TF32 for float32."""
    fresh = os.environ | {"TRITON_INTERPRET": "0"}
    run = subprocess.run([sys.executable, "-c", COMPILE], capture_output=True, text=True, env=fresh)
    assert run.returncode == 0, run.stderr[-3000:]


@pytest.mark.parametrize("text", ["cross_entropy", "mile", "softcap(3) | squentropy"])
def test_what_is_observed_comes_from_the_same_sweep_and_changes_nothing(text, monkeypatch):
    objective, (hidden, lm_head, targets) = Objective.parse(text), problem()
    hidden, lm_head = (m.detach().to(DEVICE, EXACT) for m in (hidden, lm_head))

    def run(observe):
        inputs = hidden.clone().requires_grad_(), lm_head.clone().requires_grad_()
        total, _, statistics = fused.linear_loss(*inputs, targets.to(DEVICE), objective, route="streamed",
                                                 observe=observe)  # fmt: skip
        return statistics, total, *torch.autograd.grad(total, inputs)

    (_, *plain), (statistics, *watched) = run(()), run(("entropy", "is_correct"))
    assert all(torch.equal(one, other) for one, other in zip(plain, watched, strict=True))
    monkeypatch.setattr(fused.Statistics, "_observe", None)  # would fail if it were called
    logits = objective.transform(hidden @ lm_head.T).cpu()
    wanted = torch.special.entr(logits.softmax(-1)).sum(-1).where(targets >= 0, 0.0)
    assert (statistics.entropy.cpu() - wanted).abs().max() <= CLOSE * wanted.max()
    assert torch.equal(statistics.is_correct.cpu(), (logits.argmax(-1) == targets) & (targets >= 0))
