"""Time of an update in float32 and in bfloat16, interleaved in one process: whether a CPU is good at bfloat16.

    python benchmarks/precision.py [--rounds 60] [--threads 1]

The updates of benchmarks/numerics.py, each in the numerics that `auto` takes. Writes the median seconds and their
ratio to benchmarks/results/precision_PROCESSOR_threadsN.json. Two minutes on an idle machine.
"""

import argparse
import json
import re
import statistics
import time
from pathlib import Path

import torch
from numerics import VOCAB, updater

from losslab import machine

RESULTS = Path(__file__).parent / "results"
DTYPES = ("float32", "bfloat16")
CASES = [(size, recipe) for size in ("tiny", "char") for recipe in ("classic", "modern")]


def measure(size: str, recipe: str, rounds: int) -> dict:
    updates = {dtype: updater(size, recipe, dtype, machine.resolve_numerics("auto", "cpu", dtype)) for dtype in DTYPES}
    seconds, losses = {dtype: [] for dtype in DTYPES}, {dtype: [] for dtype in DTYPES}
    generator = torch.Generator().manual_seed(0)
    _, batch, seq = updates["float32"]
    for turn in range(rounds + 5):
        first = torch.randint(VOCAB[size], (batch, 1), generator=generator)
        stream = (first + torch.arange(seq + 1)) % VOCAB[size]  # something to learn
        for dtype, (update, *_) in updates.items():
            begun = time.perf_counter()
            losses[dtype].append(update(turn, stream[:, :-1].contiguous(), stream[:, 1:].contiguous()))
            if turn >= 5:  # warm
                seconds[dtype].append(time.perf_counter() - begun)
    medians = {dtype: statistics.median(values) for dtype, values in seconds.items()}
    return {"size": size, "recipe": recipe, "median_seconds": medians,
            "float32_over_bfloat16": medians["float32"] / medians["bfloat16"],
            "last_loss": {dtype: values[-1] for dtype, values in losses.items()}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    lines = []
    for case in CASES:
        lines.append(measure(*case, options.rounds))
        print(json.dumps(lines[-1]), flush=True)
    about = machine.describe("cpu", "float32 and bfloat16") | {"rounds": options.rounds}
    processor = re.sub(r"\W+", "_", about["processor"]).strip("_")
    place = RESULTS / f"precision_{processor}_threads{options.threads}.json"
    place.write_text(json.dumps(about | {"lines": lines}, indent=1) + "\n")


if __name__ == "__main__":
    main()
