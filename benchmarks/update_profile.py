"""Where the time of an update goes, and how much of it no code could save.

    python benchmarks/update_profile.py [--size char] [--recipe classic] [--threads 1]

The same update as in benchmarks/nanogpt_char.py. Its operators are timed by PyTorch's profiler and put into groups;
their sum is scaled to the time without a profiler. The roof is the time of the matrix products of all linear layers
alone, forward and both gradients, at the same shapes with their results written to memory that is there, by the faster
of the two libraries (MKL, oneDNN). Writes benchmarks/results/update_profile_SIZE_threadsN.json. One minute on an idle
machine.
"""

import argparse
import json
import statistics
import time
from collections import Counter
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

from losslab import config, optim
from losslab.kernels import products
from losslab.model import initialized
from losslab.objective import Objective
from losslab.training_loop import accumulate

RESULTS = Path(__file__).parent / "results"
VOCAB = {"char": 65, "tiny": 257}
GROUPS = {  # part of an operator's name -> what it is, the first that fits
    "attention": "attention", "linear": "matrix products", "addmm": "matrix products", "mm": "matrix products",
    "bmm": "matrix products", "norm": "norms and clipping", "gelu": "activation", "adam": "optimizer",
    "foreach": "optimizer", "embedding": "embeddings", "index": "embeddings", "softmax": "loss", "exp": "loss",
    "gather": "loss", "scatter": "loss",
}


def updater(size: str, recipe: str):
    chosen = config.chosen(size=size, recipe=recipe)
    settings = config.override(chosen.train, {"device": "cpu", "dtype": "float32"})
    model, objective = initialized(chosen.model, VOCAB[size], 0), Objective.parse("cross_entropy")
    optimizer, parameters = optim.build(model, settings), list(model.parameters())

    def update(x, y) -> None:
        accumulate(model, (x, y), objective, settings, torch.device("cpu"))
        torch.nn.utils.clip_grad_norm_(parameters, 1.0).item()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return update, model, (settings.batch_size, chosen.seq_len)


def seconds(work, rounds: int) -> float:
    """The median, after ten rounds that warm up."""
    taken = []
    for turn in range(rounds + 10):
        begun = time.perf_counter()
        work()
        if turn >= 10:
            taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def roof(model, tokens: int, rounds: int) -> tuple[float, float]:
    """Seconds of the products of one update, and their floating-point operations."""
    total, flops = 0.0, 0.0
    shapes = Counter(tuple(layer.weight.shape) for layer in model.modules() if isinstance(layer, torch.nn.Linear))
    for (n, k), count in shapes.items():
        x, weight, g = torch.randn(tokens, k), torch.randn(n, k), torch.randn(tokens, n)
        for a, b in ((x, weight.t()), (g, weight), (g.t(), x)):
            out = torch.empty(a.shape[0], b.shape[1])
            ways = [lambda a=a, b=b, out=out: torch.mm(a, b, out=out)]
            if products.has_onednn(a):
                ways.append(lambda a=a, b=b: products.times_transposed(a, b.t()))
            total += count * min(seconds(way, rounds) for way in ways)
            flops += count * 2 * a.shape[0] * a.shape[1] * b.shape[1]
    return total, flops


def shares(update, batch) -> dict[str, float]:
    """Of the time in operators, the share of each group."""
    with profile(activities=[ProfilerActivity.CPU]) as told:
        for _ in range(20):
            update(*batch)
    found: Counter = Counter()
    for event in told.key_averages():
        name = event.key.lower()
        group = next((group for part, group in GROUPS.items() if part in name), "the rest")
        found[group] += event.self_cpu_time_total
    whole = sum(found.values())
    return {group: found[group] / whole for group in sorted(found, key=found.get, reverse=True)}


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--size", default="char", choices=VOCAB)
    flags.add_argument("--recipe", default="classic")
    flags.add_argument("--threads", type=int, default=1)
    flags.add_argument("--rounds", type=int, default=100)
    asked = flags.parse_args()
    torch.set_num_threads(asked.threads)
    update, model, (rows, seq) = updater(asked.size, asked.recipe)
    stream = torch.randint(VOCAB[asked.size], (rows, seq + 1), generator=torch.Generator().manual_seed(0))
    batch = stream[:, :-1].contiguous(), stream[:, 1:].contiguous()
    whole = seconds(lambda: update(*batch), asked.rounds)
    least, flops = roof(model, rows * seq, asked.rounds)
    found = {
        "size": asked.size, "recipe": asked.recipe, "threads": asked.threads, "torch": torch.__version__,
        "milliseconds": 1e3 * whole, "roof_milliseconds": 1e3 * least, "roof_share": least / whole,
        "roof_gflop_per_second": flops / least / 1e9,
        "milliseconds_by_group": {group: 1e3 * whole * share for group, share in shares(update, batch).items()},
    }
    out = RESULTS / f"update_profile_{asked.size}_threads{asked.threads}.json"
    out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
