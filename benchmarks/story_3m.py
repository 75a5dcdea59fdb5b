"""Training story-3m with the streamed head and with the dense one: tokens per second and peak memory.

    python benchmarks/story_3m.py --corpus ../shared/data/tinystories [--steps 12] [--turns 3]

Each measurement is `losslab train` in a separate process, in alternation; the head differs and nothing else, as the
first losses show. Tokens per second are the median over the steps after the first two. Peak memory is the high-water
mark of the training steps above that of the process before its first step. Writes benchmarks/results/story_3m.json.
"""

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

RESULTS = Path(__file__).parent / "results" / "story_3m.json"


def high_water() -> int:
    """Bytes of resident memory at its highest since it was last reset (Linux)."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) * 1024


def measure(route: str, corpus: str, steps: int) -> None:
    """In a fresh process: steps of the one training loop, as the command line runs them."""
    from losslab import experiment, fused
    from losslab.cli import main

    fused.DENSE_BYTES = math.inf if route == "dense" else 0
    seen, true = [], experiment.train

    def watched(model, batches, objective, config, on_step, **options):
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark begins anew
        before = high_water()

        def note(info):
            seen.append({"seconds": info.seconds, "tokens": info.tokens, "objective": info.objective,
                         "extra_bytes": high_water() - before})  # fmt: skip
            return on_step(info)

        return true(model, batches, objective, config, note, **options)

    experiment.train = watched
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            main(["train", "--preset", "story-3m", "--corpus", corpus, "--train.num-steps", str(steps),
                  "--train.num-tokens", "0", "--train.log-every", "1000", "--data.val-bytes", "1000",
                  "--evaluate.tune-tokens", "256", "--evaluate.num-samples", "0", "--json"])  # fmt: skip
        except SystemExit as end:
            if end.code:
                raise
    print("\n" + json.dumps(seen))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--route", choices=("dense", "streamed"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    corpus = str(Path(options.corpus).resolve())
    if options.route:
        measure(options.route, corpus, options.steps)
        return
    found: dict[str, list[list[dict]]] = {"dense": [], "streamed": []}
    for _ in range(options.turns):
        for route, runs in found.items():
            command = [sys.executable, __file__, "--route", route, "--corpus", corpus, "--steps", str(options.steps)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
    lines = {route: summary(runs) for route, runs in found.items()}
    about = {"torch": torch.__version__, "threads": torch.get_num_threads(), "cpu": platform.processor() or "unknown",
             "steps": options.steps, "turns": options.turns}  # fmt: skip
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({**about, "routes": lines}, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(lines, indent=1))


def summary(runs: list[list[dict]]) -> dict:
    rates = []
    for run in runs:
        for before, after in zip(run[1:], run[2:], strict=False):
            rates.append((after["tokens"] - before["tokens"]) / (after["seconds"] - before["seconds"]))
    quartiles = statistics.quantiles(rates, n=4)
    return {
        "tokens_per_second": round(statistics.median(rates), 1),
        "quartiles": [round(quartiles[0], 1), round(quartiles[2], 1)],
        "peak_extra_mb": round(statistics.median(run[-1]["extra_bytes"] for run in runs) / 1e6, 1),
        "objectives": [round(step["objective"], 5) for step in runs[0]],
    }


if __name__ == "__main__":
    main()
