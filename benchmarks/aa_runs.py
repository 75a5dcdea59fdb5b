"""Train many runs of one condition, which differ in the seed alone: what studies of equal losses are drawn from.

    python benchmarks/aa_runs.py --runs 120 --store runs/aa --workers 2

Stopped and called again, it continues: finished runs are kept. `--runs` may grow later. The nll of every run is printed
at the end, with its standard deviation over seeds.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path

from losslab import config as configuration
from losslab import processes, records, running
from losslab.progress import duration

RECORDED = 100_000  # tokens of a run


def condition(options: argparse.Namespace) -> configuration.ExperimentConfig:
    """The one condition, laid over the preset."""
    own = {"data": {"corpus": options.corpus}, "train": {"num_tokens": options.tokens}, "loss": options.loss}
    return configuration.override(configuration.preset(options.preset), own, source="the flags")


def told():
    """A line for every tenth of the tokens."""
    last = -1

    def progress(what, done, total, unit, runs=()):
        nonlocal last
        if what == "training" and total and (tenths := 10 * done // total) > last:
            last = tenths
            over = sum(run.phase == "over" for run in runs)
            print(f"{over} of {len(runs)} runs, {done:,} of {total:,} {unit}", file=sys.stderr, flush=True)

    return progress


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=120)
    parser.add_argument("--store", type=Path, default=Path("runs/aa"))
    parser.add_argument("--loss", default="cross_entropy")
    parser.add_argument("--corpus", default="tales")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--tokens", type=int, default=RECORDED)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--first", type=int, default=0, help="the lowest seed")
    parser.add_argument("--out", type=Path, help="a JSON file for the nll of every seed")
    options = parser.parse_args()
    say = lambda text: print(text, file=sys.stderr, flush=True)  # noqa: E731
    processes.adopt_orphans()
    planned = running.plan([condition(options)], range(options.first, options.first + options.runs), options.store,
                           tell=say)
    with records.lock(options.store, "store"):
        try:
            running.execute(planned, workers=options.workers, threads=1, tell=lambda text: None, progress=told())
        except running.Stopped as stopped:
            say(stopped)
            return 5
    found = [records.read(folder) for folder in planned.folders]
    nll = {run.seed: run.scores["nll"]["value"] for run in found if run.status == "finished"}
    if options.out:
        about = {"condition": found[0].condition, "config": found[0].spec["config"], "corpus": found[0].spec["corpus"],
                 "environment": found[0].environment, "nll": nll}
        options.out.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    seconds = sum(run.result.get("cost", {}).get("train_seconds", 0.0) for run in found)
    spread = statistics.stdev(nll.values()) if len(nll) > 1 else float("nan")
    print(f"{len(nll)} of {len(found)} runs finished in {duration(seconds)} of training; nll "
          f"{statistics.fmean(nll.values()) if nll else float('nan'):.4f}, standard deviation over seeds {spread:.4f}")
    return 0 if len(nll) == len(found) else 6


if __name__ == "__main__":
    sys.exit(main())
