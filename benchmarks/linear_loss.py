"""Time and memory of `linear_loss` compared with what PyTorch offers, interleaved in one process.

    python benchmarks/linear_loss.py [--rounds 5] [--quick] [--size 4096,64,50257]

A turn runs every contestant once, forward and backward, so that whatever else the machine does falls on all of them.
`ratio` is the median over turns of its time by that of naive cross-entropy in the same turn, with its quartiles;
`beside_ours` the same by our own cross-entropy. The first turn warms up; what takes over four times naive's time there
is not repeated, as its one round shows. Peak extra memory is the median over
three fresh processes, of the contestants in MEMORY_OF alone: the high-water mark above inputs and warm libraries, less
the two gradients that any method returns.
Writes docs/results/linear-loss-cpu.csv, and the chart next to it; with --size, that size's lines of it.
"""

import argparse
import csv
import math
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from linear_loss_chart import draw

from losslab import formula
from losslab.fused import linear_loss
from losslab.objective import Objective

SIZES = [(4096, 64, 50257), (2048, 256, 50257), (2048, 768, 50257), (8192, 256, 4096)]
SIZE = ("tokens", "width", "vocab")
RESULTS = Path(__file__).parents[1] / "docs" / "results" / "linear-loss-cpu.csv"
MEMORY_OF = ("naive", "native reference", "native chunked", "cross_entropy", "softcap(15) | cross_entropy",
             "squentropy", "cross_entropy + 0.1*entropy")  # fmt: skip
SLOW = 4.0  # times naive: measured once


def problem(tokens, width, vocab):
    rng = torch.Generator().manual_seed(0)
    seq = math.gcd(tokens, 128)  # rows of text, as some losses use the tokens around
    hidden = torch.randn(tokens // seq, seq, width, generator=rng).requires_grad_()
    lm_head = (0.1 * torch.randn(vocab, width, generator=rng)).requires_grad_()
    return hidden, lm_head, torch.randint(vocab, hidden.shape[:-1], generator=rng)


def naive(hidden, lm_head, targets):
    return F.cross_entropy(F.linear(hidden, lm_head).flatten(0, 1), targets.flatten(), reduction="sum")


def native(hidden, lm_head, targets, chunked=False):
    options = torch.nn.LinearCrossEntropyOptions() if chunked else None
    return F.linear_cross_entropy(hidden.flatten(0, 1), lm_head, targets.flatten(), reduction="sum", options=options)


def ours(text, vocab):
    objective, vocabulary = Objective.parse(text), {"unigram": torch.full((vocab,), 1 / vocab),
                                                    "prefix_of": torch.arange(vocab)}  # fmt: skip
    objective.check(vocab, vocabulary)

    def total(hidden, lm_head, targets):
        return linear_loss(hidden, lm_head, targets, objective, vocabulary=vocabulary).total

    return total


def formulas():
    for name in formula.names("losslab.losses"):
        try:
            Objective.parse(name)
            yield name
        except ValueError:  # a term
            yield f"cross_entropy + 0.1*{name}"
    yield "softcap(15) | cross_entropy"


def contestants(vocab, quick):
    yield "naive", naive
    if hasattr(F, "linear_cross_entropy"):
        yield "native reference", native
        yield "native chunked", lambda *inputs: native(*inputs, chunked=True)
    for text in ["cross_entropy", "softcap(15) | cross_entropy"] if quick else formulas():
        yield text, ours(text, vocab)


def run(contestant, inputs):
    contestant(*inputs).backward()
    for tensor in inputs[:2]:
        tensor.grad = None


def times(size, rounds, quick):
    inputs, named = problem(*size), dict(contestants(size[-1], quick))
    warm = {name: timed(contestant, inputs) for name, contestant in named.items()}
    seconds = {name: [value] if value > SLOW * warm["naive"] else [] for name, value in warm.items()}
    for _ in range(rounds):
        for name in (name for name in named if warm[name] <= SLOW * warm["naive"]):
            seconds[name].append(timed(named[name], inputs))
    return seconds


def timed(contestant, inputs):
    begun = time.perf_counter()
    run(contestant, inputs)
    return time.perf_counter() - begun


def high_water():
    status = Path("/proc/self/status")
    if status.exists():  # on Linux the other count is inherited from the process that started this one
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def measure_memory(name, size):
    """In a fresh process: the bytes above inputs and gradients."""
    contestant, inputs = dict(contestants(size[-1], False))[name], problem(*size)
    small = problem(64, 16, 97)
    run(contestant if name.startswith(("naive", "native")) else ours(name, 97), small)  # libraries, threads
    before = high_water()
    contestant(*inputs).backward()
    print(high_water() - before - sum(4 * tensor.numel() for tensor in inputs[:2]))


def memory(name, size):
    command = [sys.executable, __file__, "--memory", name, "--size", ",".join(map(str, size))]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(3)]
    return round(statistics.median(max(0, int(run.stdout)) for run in runs) / 2**20, 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="cross-entropy alone, and no file")
    parser.add_argument("--size", type=lambda text: tuple(map(int, text.split(","))))
    parser.add_argument("--memory", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory:
        measure_memory(options.memory, options.size)
        return
    lines = []
    for size in [options.size] if options.size else SIZES:
        seconds = times(size, options.rounds, options.quick)
        for name, values in seconds.items():
            low, middle, high = quartiles(values, seconds["naive"])
            lines.append({
                "tokens": size[0], "width": size[1], "vocab": size[2], "contestant": name,
                "median_seconds": round(statistics.median(values), 4), "ratio": middle, "ratio_q1": low,
                "ratio_q3": high, "beside_ours": quartiles(values, seconds["cross_entropy"])[1],
                "peak_extra_mb": None if options.quick or name not in MEMORY_OF else memory(name, size),
                "rounds": len(values), "threads": torch.get_num_threads(), "torch": torch.__version__,
            })  # fmt: skip
            print(*lines[-1].values(), sep="\t", flush=True)
    if not options.quick:
        save(lines)


def quartiles(values, others):
    """First quartile, median and third of the ratio over the turns that both took part in."""
    ratios = [own / other for own, other in zip(values, others, strict=False)]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return round(low, 3), round(middle, 3), round(high, 3)


def save(lines):
    """These lines, and those of other sizes that were measured before."""
    sizes, kept = {tuple(str(line[key]) for key in SIZE) for line in lines}, []
    if RESULTS.exists():
        with open(RESULTS, newline="", encoding="utf-8") as file:
            kept = [line for line in csv.DictReader(file) if tuple(line[key] for key in SIZE) not in sizes]
    RESULTS.parent.mkdir(exist_ok=True)
    with open(RESULTS, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(kept + lines)
    draw(RESULTS)


if __name__ == "__main__":
    main()
