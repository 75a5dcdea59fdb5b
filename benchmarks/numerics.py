"""Time of an update with the numerics `fast` and `reference`, interleaved in one process.

    python benchmarks/numerics.py [--rounds 60] [--threads 1]

Trains the presets `tiny` and `char` in float32 and bfloat16 and recipe `modern` on tokens that follow each other, from
batch to updated weights, in turns, and writes the median seconds and their ratio to
benchmarks/results/numerics_PROCESSOR_threadsN.json.
"""

import argparse
import json
import re
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch

from losslab import config, machine, optim
from losslab.model import initialized
from losslab.objective import Objective
from losslab.training_loop import accumulate

CASES = [(size, recipe, dtype) for recipe in ("classic", "modern") for size in ("tiny", "char")
         for dtype in ("float32", "bfloat16")]
VOCAB = {"tiny": 512, "char": 65}
RESULTS = Path(__file__).parent / "results"


def updater(size: str, recipe: str, dtype: str, numerics: str):
    chosen = config.chosen(size=size, recipe=recipe)
    settings = config.override(chosen.train, {"device": "cpu", "dtype": dtype, "numerics": numerics})
    model, objective = initialized(chosen.model, VOCAB[size], 0), Objective.parse("cross_entropy")
    optimizer, parameters = optim.build(model, settings), list(model.parameters())

    def update(step: int, x, y) -> float:
        optim.set_learning_rates(optimizer, step, 1000, settings)
        total, _, count = accumulate(model, (x, y), objective, settings, torch.device("cpu"))
        torch.nn.utils.clip_grad_norm_(parameters, 1.0).item()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return total / count

    return update, settings.batch_size, chosen.seq_len


def in_turns(updaters: dict[str, tuple], vocab_size: int, rounds: int) -> tuple[dict[str, float], dict[str, list]]:
    """Of each updater the median seconds of an update, and its losses."""
    seconds, losses = {name: [] for name in updaters}, {name: [] for name in updaters}
    generator = torch.Generator().manual_seed(0)
    _, batch, seq = next(iter(updaters.values()))
    for turn in range(rounds + 5):
        first = torch.randint(vocab_size, (batch, 1), generator=generator)
        stream = (first + torch.arange(seq + 1)) % vocab_size  # something to learn
        for name, (update, *_) in updaters.items():
            begun = time.perf_counter()
            losses[name].append(update(turn, stream[:, :-1].contiguous(), stream[:, 1:].contiguous()))
            if turn >= 5:  # warm
                seconds[name].append(time.perf_counter() - begun)
    return {name: statistics.median(values) for name, values in seconds.items()}, losses


def measure(size: str, recipe: str, dtype: str, rounds: int) -> dict:
    medians, losses = in_turns({name: updater(size, recipe, dtype, name) for name in ("reference", "fast")},
                               VOCAB[size], rounds)
    apart = max(abs(a - b) for a, b in zip(*losses.values(), strict=True))
    return {"size": size, "recipe": recipe, "dtype": dtype, "median_seconds": medians,
            "reference_over_fast": medians["reference"] / medians["fast"], "losses_differ_by_at_most": apart}


def run(about: str, name: str, measure: Callable[..., dict], cases: Iterable[tuple]) -> None:
    """Read the flags, measure the cases, print a line for each, and write them to a file for this processor."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    lines = []
    for case in cases:
        lines.append(measure(*case, options.rounds))
        print(json.dumps(lines[-1]), flush=True)
    found = machine.describe("cpu", "float32 and bfloat16") | {"rounds": options.rounds, "lines": lines}
    processor = re.sub(r"\W+", "_", found["processor"]).strip("_")
    place = RESULTS / f"{name}_{processor}_threads{options.threads}.json"
    place.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    run(__doc__, "numerics", measure, CASES)
