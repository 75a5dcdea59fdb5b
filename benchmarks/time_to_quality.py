"""Seconds of training until a model is as good as nanoGPT's CPU run: `modern` against `classic`, size `char`.

    python benchmarks/time_to_quality.py CORPUS [--seeds 5] [--first-seed 1000] [--threads 1] [--dtype auto] [--dry]

Trains both recipes as they stand, seed by seed in turns, on the same text, and scores each model on the whole
validation split. Only the seconds of updates are counted: neither evaluation nor the making of model and corpus. Prints
a table, and writes docs/results/time-to-quality.md and benchmarks/results/time_to_quality.json. With --dry a fiftieth
of the updates and two seeds, and nothing is written. On an idle machine 10 minutes.
"""

import argparse
import json
import statistics
from dataclasses import replace
from pathlib import Path

import torch

from losslab import config as configuration
from losslab import machine
from losslab.corpus import Corpus
from losslab.evaluate.document_scores import nll
from losslab.model import initialized
from losslab.objective import Objective
from losslab.stats.inference import t_interval
from losslab.training_loop import Trained, train

HERE = Path(__file__).parent
PAGE, RECORD = HERE.parent / "docs/results/time-to-quality.md", HERE / "results/time_to_quality.json"
BEGIN, END = "<!-- measured -->", "<!-- end -->"  # of what this script writes into the page
RECIPES = "classic", "modern"
GOAL = 1.909  # nats/token of nanoGPT's own code on the same text


def settings_of(recipe: str, options) -> configuration.ExperimentConfig:
    """The recipe as it stands, with the machine's dtype and products, as a run has them."""
    dtype = machine.resolve_dtype(options.dtype, "cpu")
    chosen = configuration.override(configuration.chosen(size="char", recipe=recipe), {
        "data": {"corpus": options.corpus, "tokenizer": "char"},
        "train": {"device": "cpu", "dtype": dtype, "numerics": machine.resolve_numerics("auto", "cpu", dtype)},
    })
    if options.dry:
        steps = chosen.train.horizon(chosen.model.num_positions) // 50 + 1
        chosen = replace(chosen, train=replace(chosen.train, num_tokens=0, num_steps=steps))
    return chosen


def one(settings: configuration.ExperimentConfig, corpus: Corpus, seed: int) -> dict:
    """Train once and score once."""
    size = settings.seq_len
    model = initialized(settings.model, corpus.tokenizer.vocab_size, seed)
    batches = corpus.batches("train", seed=seed, batch_size=settings.train.batch_size, seq_len=size,
                             growth=settings.train.growth)
    trained = train(model, batches, Objective.parse("cross_entropy"), settings.train, seed=seed)
    if not isinstance(trained, Trained):
        raise ValueError(f"the run of seed {seed} diverged at update {trained.step}; give another --first-seed")
    score = nll(model, corpus.documents("val"), corpus.tokenizer, batch_size=64,
                seq_len=settings.model.num_positions)["nll"]
    return {"seed": seed, "nll": score.value, "seconds": trained.seconds, "updates": trained.step,
            "tokens": trained.tokens}


def summary(runs: dict[str, list[dict]], threads: int, dtype: str) -> dict:
    arms = {}
    for name, found in runs.items():
        values, seconds = [run["nll"] for run in found], [run["seconds"] for run in found]
        arms[name] = {"nll": statistics.mean(values), "interval": t_interval(values),
                      "median_seconds": statistics.median(seconds), "updates": found[0]["updates"],
                      "tokens": found[0]["tokens"], "runs": found}
    pairs = [slow["seconds"] / fast["seconds"] for slow, fast in zip(*runs.values(), strict=True)]
    return {"threads": threads, "dtype": dtype, "torch": torch.__version__, "goal": GOAL, "arms": arms,
            "machine": machine.describe("cpu", dtype)["processor"],
            "ratio_of_medians": arms["classic"]["median_seconds"] / arms["modern"]["median_seconds"],
            "ratio_of_pairs": [min(pairs), max(pairs)]}


def table(found: dict) -> str:
    lines = ["| recipe | updates | tokens | nll on `val`, nats/token | seconds, median | seconds, from - to |",
             "| --- | --- | --- | --- | --- | --- |"]
    for name, arm in found["arms"].items():
        seconds = [run["seconds"] for run in arm["runs"]]
        low, high = arm["interval"]
        lines.append(f"| `{name}` | {arm['updates']:,} | {arm['tokens']:,} | {arm['nll']:.4f} [{low:.4f}, {high:.4f}] "
                     f"(n={len(seconds)}) | {arm['median_seconds']:.1f} | {min(seconds):.1f} - {max(seconds):.1f} |")
    low, high = found["ratio_of_pairs"]
    reached = found["arms"]["modern"]["nll"] <= GOAL
    threads = f"{found['threads']} thread{'s' * (found['threads'] > 1)}"
    return "\n".join([*lines, "", f"`classic` takes {found['ratio_of_medians']:.2f} times as long as `modern` (ratio "
                      f"of medians; of single pairs {low:.2f} to {high:.2f}). The mean of `modern` is "
                      f"{'at most' if reached else 'above'} {GOAL}. {threads}, {found['dtype']}, torch "
                      f"{found['torch']}, {found['machine']}. Intervals are Student's, over seeds, at 95 %."])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", help="tinyshakespeare's input.txt")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--dry", action="store_true")
    options = parser.parse_args()
    machine.set_threads(options.threads)
    settings = {name: settings_of(name, options) for name in RECIPES}
    corpus = Corpus.open(settings["classic"].data)
    runs = {name: [] for name in RECIPES}
    for turn in range(2 if options.dry else options.seeds):
        for name in RECIPES[:: 1 if turn % 2 == 0 else -1]:  # neither is always the first
            runs[name].append(one(settings[name], corpus, options.first_seed + turn))
            print(json.dumps({"recipe": name, **runs[name][-1]}), flush=True)
    found = summary(runs, options.threads, settings["classic"].train.dtype)
    print(table(found))
    if not options.dry:
        RECORD.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        before, rest = PAGE.read_text("utf-8").split(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n{table(found)}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
