"""Time and memory of `linear_loss` on a GPU compared with other implementations, interleaved in one process.

    python benchmarks/linear_loss_gpu.py [--rounds 20] [--size 8192,768,50257] [--block 128,128,64,8,3]

A turn runs every contestant once, forward and backward, in bfloat16, so that whatever else the device does falls on all
of them; times are by its own events. Peak memory is what PyTorch's allocator held above the inputs, the two gradients
included, in a separate turn. The error is that of both gradients against float32, as a share of their norm: some
contestants leave small gradients out. What is not installed is named as absent; what fails is named with its reason.
Writes benchmarks/results/linear_loss_gpu.json, with the device and the versions. `--block` tries another tile, and
writes nothing. Without a GPU it says so, with exit code 2.
"""

import argparse
import json
import statistics
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
import torch.nn.functional as F

from losslab.fused import first_route, linear_loss
from losslab.kernels import gpu
from losslab.objective import Objective

SIZES = [(8192, 768, 50257), (8192, 2048, 50257), (8192, 4096, 131072)]
OURS = ["cross_entropy", "softcap(15) | cross_entropy", "squentropy + 1e-4*z_loss"]
WARM_UPS = 3
PACKAGES = ("torch", "triton", "liger-kernel", "cut-cross-entropy")
RESULTS = Path(__file__).parent / "results" / "linear_loss_gpu.json"


def problem(tokens, width, vocab):
    rng = torch.Generator("cuda").manual_seed(0)
    kind = {"device": "cuda", "generator": rng}
    hidden = torch.randn(tokens, width, **kind)
    lm_head = torch.randn(vocab, width, **kind) * (2 / width**0.5)  # logits with the spread of a trained model's
    targets = torch.randint(vocab, (tokens,), **kind)
    return hidden.bfloat16().requires_grad_(), lm_head.bfloat16().requires_grad_(), targets


# --- contestants: inputs in, the mean cross-entropy (or another loss) out --------------------------

def naive(hidden, lm_head, targets):
    return F.cross_entropy(F.linear(hidden, lm_head).float(), targets)


def native(hidden, lm_head, targets):
    return F.linear_cross_entropy(hidden, lm_head, targets, options=torch.nn.LinearCrossEntropyOptions())


def liger():
    from liger_kernel.transformers import LigerFusedLinearCrossEntropyLoss

    loss = LigerFusedLinearCrossEntropyLoss()
    return lambda hidden, lm_head, targets: loss(lm_head, hidden, targets)


def cut(**options):
    from cut_cross_entropy import linear_cross_entropy

    return lambda hidden, lm_head, targets: linear_cross_entropy(hidden, lm_head, targets, **options)


def ours(text):
    objective = Objective.parse(text)

    def mean(hidden, lm_head, targets):
        total, count, _ = linear_loss(hidden, lm_head, targets, objective)
        return total / count

    return mean


MAKERS = {
    "naive": lambda: naive,
    "torch.compile": lambda: torch.compile(naive),
    "torch linear_cross_entropy": lambda: native,
    "Liger": liger,
    "CCE": cut,
    "CCE, every gradient": lambda: cut(filter_eps=None),
    **{text: lambda text=text: ours(text) for text in OURS},
}


# --- measuring ---------------------------------------------------------------------------------

def run(contestant, inputs):
    """Milliseconds of one forward and backward pass."""
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    for tensor in inputs[:2]:
        tensor.grad = None
    begin.record()
    contestant(*inputs).backward()
    end.record()
    torch.cuda.synchronize()
    return begin.elapsed_time(end)


def peak(contestant, inputs):
    """Bytes above the inputs, and then the gradients that came of it."""
    for tensor in inputs[:2]:
        tensor.grad = None
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run(contestant, inputs)
    return torch.cuda.max_memory_allocated() - before


def truth(inputs):
    """The gradients of mean cross-entropy in float32, a few rows at a time."""
    hidden, lm_head = (tensor.detach().float().requires_grad_() for tensor in inputs[:2])
    for x, y in zip(hidden.split(1024), inputs[2].split(1024), strict=True):
        (F.cross_entropy(F.linear(x, lm_head), y, reduction="sum") / len(hidden)).backward()
    return hidden.grad, lm_head.grad


def error(inputs, true):
    return max(float((tensor.grad.float() - t).norm() / t.norm()) for tensor, t in zip(inputs[:2], true, strict=True))


def ready(inputs):
    """The contestants that run here, warm, and why the others do not."""
    able, absent = {}, {}
    for name, make in MAKERS.items():
        try:
            contestant = make()
            for _ in range(WARM_UPS):
                run(contestant, inputs)
            able[name] = contestant
        except Exception as reason:  # whatever another project raises
            absent[name] = f"{type(reason).__name__}: {(str(reason).strip() or '?').splitlines()[0]}"
        torch.cuda.empty_cache()
    return able, absent


def measure(size, rounds):
    inputs = problem(*size)
    able, absent = ready(inputs)
    times = {name: [] for name in able}
    for _ in range(rounds):
        for name, contestant in able.items():
            times[name].append(run(contestant, inputs))
    true = truth(inputs)
    for name, contestant in able.items():
        quartiles = statistics.quantiles(times[name], n=4)
        line = {"tokens": size[0], "width": size[1], "vocab": size[2], "contestant": name}
        line["median_ms"] = round(statistics.median(times[name]), 3)
        line |= {"q1_ms": round(quartiles[0], 3), "q3_ms": round(quartiles[2], 3)}
        line["peak_mb"] = round(peak(contestant, inputs) / 2**20, 1)
        is_plain = name not in OURS or name == "cross_entropy"
        line["gradient_error"] = float(f"{error(inputs, true):.3g}") if is_plain else None
        if name in OURS:
            line["route"] = first_route(*inputs, Objective.parse(name))
        yield line
    for name, reason in absent.items():
        yield {"tokens": size[0], "width": size[1], "vocab": size[2], "contestant": name, "not_measured": reason}


def versions():
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found | {"cuda": torch.version.cuda, "python": sys.version.split()[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--size", type=lambda text: tuple(map(int, text.split(","))))
    parser.add_argument("--block", type=lambda text: gpu.Block(*map(int, text.split(","))))
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("not measured: no GPU", file=sys.stderr)
        return 2
    if options.block:
        gpu.BLOCKS[2] = options.block
    lines = []
    for size in [options.size] if options.size else SIZES:
        for line in measure(size, options.rounds):
            lines.append(line)
            print(*line.values(), sep="\t", flush=True)
    if not options.block:
        RESULTS.parent.mkdir(exist_ok=True)
        about = {"device": torch.cuda.get_device_name(), "dtype": "bfloat16", "rounds": options.rounds}
        RESULTS.write_text(json.dumps(about | {"versions": versions(), "lines": lines}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
