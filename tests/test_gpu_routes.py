"""When the kernels of a GPU are taken, and what comes back from them."""

import itertools
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from gpu_problem import ALL_CAPS, CLOSE, DEVICE, EXACT, why_not
from gpu_problem import small_blocks as small_blocks
from head_problem import parse as parse
from head_problem import problem
from torch.testing import assert_close

from losslab import formula, fused, kernels
from losslab.kernels import cpu, gpu
from losslab.objective import Objective
from losslab.prediction import Prediction

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())
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


def test_every_transform_of_losslab_is_compiled_in():
    assert set(gpu.TRANSFORMS) == set(formula.names("losslab.transforms"))


def test_linear_loss_takes_it_for_a_large_batch_on_a_gpu_and_else_the_chunked_way(like_an_h200, monkeypatch):
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


def test_linear_loss_streams_and_keeps_what_it_saw(monkeypatch):
    monkeypatch.setattr(fused, "DENSE_BYTES", 0)
    monkeypatch.setattr(gpu, "HOME", DEVICE.type)
    hidden, lm_head, targets = (m.detach().to(DEVICE) for m in problem(EXACT))
    objective = Objective.parse("softcap(3) | cross_entropy")
    total, count, statistics = fused.linear_loss(hidden.requires_grad_(), lm_head, targets, objective)
    prediction = Prediction.dense(objective.transform(hidden @ lm_head.T), targets)
    with torch.no_grad():
        hidden.fill_(torch.nan)  # what the kernels saw is kept, and not looked for again
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
def test_what_is_observed_comes_from_the_same_sweep_and_changes_nothing(text):
    objective, (hidden, lm_head, targets) = Objective.parse(text), problem()
    hidden, lm_head = (m.detach().to(DEVICE, EXACT) for m in (hidden, lm_head))

    def run(observe):
        inputs = hidden.clone().requires_grad_(), lm_head.clone().requires_grad_()
        total, _, statistics = fused.linear_loss(*inputs, targets.to(DEVICE), objective, route="streamed",
                                                 observe=observe)  # fmt: skip
        gradients = torch.autograd.grad(total, inputs)
        with torch.no_grad():
            inputs[0].fill_(torch.nan)  # what the kernels saw is kept, and not looked for again
        return statistics, total, *gradients

    (_, *plain), (statistics, *watched) = run(()), run(("entropy", "is_correct"))
    assert all(torch.equal(one, other) for one, other in zip(plain, watched, strict=True))
    logits = objective.transform(hidden @ lm_head.T).cpu()
    wanted = torch.special.entr(logits.softmax(-1)).sum(-1).where(targets >= 0, 0.0)
    assert (statistics.entropy.cpu() - wanted).abs().max() <= CLOSE * wanted.max()
    assert torch.equal(statistics.is_correct.cpu(), (logits.argmax(-1) == targets) & (targets >= 0))
