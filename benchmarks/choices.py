"""Items per second of multiple choice: prefixes shared and options batched, against one option at a time.

    python benchmarks/choices.py --data FOLDER [--rounds 3] [--zero-shot 150] [--ten-shot 9] [--threads 2]

FOLDER holds hf_eval/ and core_eval/. The model has GPT-2's smallest shape (124M parameters) and random weights in
float32; speed does not depend on what they are. `zero_shot` is a sample of PIQA's and ARC-Easy's validation rows
together, `ten_shot` one of CORE's ARC-Easy with its ten examples; 0 takes all items. Each round takes its own part of
the sample and runs every way on it, each round beginning with another one.

`together` is `requests.answers`. `alone` is the plain program: `model.logits(model(tokens))` of each option's whole
sequence, one by one; the goals are ratios to it. `alone_scored` is the same with logits at scored places only, which
leaves sharing and batching: with four options its ratio cannot pass 4 by sharing.
Writes benchmarks/results/choices.json.
"""

import argparse
import json
import random
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from losslab import config, machine, tokenizer
from losslab.evaluate import benchmark_rows, bundle, prompts, questions
from losslab.evaluate.requests import Request, answers
from losslab.model import initialized

RESULTS = Path(__file__).parent / "results" / "choices.json"
GOALS = {"zero_shot": 2.0, "ten_shot": 4.0}


def together(model, requests):
    return [answer.nats.sum() for answer in answers(model, requests)]


@torch.no_grad()
def alone(model, requests, *, scored_only=False):
    found = []
    for request in requests:
        both = torch.from_numpy(np.concatenate([request.context, request.continuation]).astype(np.int64))
        num_scored = len(request.continuation)
        hidden = model(both[None, :-1])[0]
        logits = model.logits(hidden[-num_scored:] if scored_only else hidden)[-num_scored:]
        found.append(torch.nn.functional.cross_entropy(logits, both[-num_scored:], reduction="sum").item())
    return found


def alone_scored(model, requests):
    return alone(model, requests, scored_only=True)


WAYS = (together, alone, alone_scored)


def zero_shot(data, encoder, limit):
    for name in ("piqa", "arc_easy"):
        for row in benchmark_rows.rows(data / "hf_eval" / f"{name}.validation.jsonl.gz", ()):
            yield lambda ask=questions.BENCHMARKS[name].ask, row=row: questions.question(encoder, limit, ask(row))


def ten_shot(data, encoder, limit):
    folder = bundle.find(data, print)
    task = next(task for task in bundle.tasks(folder) if task.label == "arc_easy")
    items = prompts.chosen(bundle.rows(folder, task), 0)
    for index in range(len(items)):
        yield lambda index=index: prompts.question(encoder, limit, items, index, task)


def measure(name, model, made, num_items, rounds):
    """Items a second of each way, and how many times those of the others `together` makes."""
    sample = list(made)
    random.Random(0).shuffle(sample)
    sample = [make() for make in sample[: num_items or None]]
    seconds, worst = {way.__name__: [] for way in WAYS}, 0.0
    for turn in range(rounds):
        part, said = sample[turn::rounds], {}
        requests = [one.request for question in part for one in question.options if one.request is not None]
        for way in WAYS[turn % 3 :] + WAYS[: turn % 3]:
            begun = time.perf_counter()
            said[way.__name__] = way(model, requests)
            seconds[way.__name__].append(time.perf_counter() - begun)
        worst = max(worst, *(abs(a - b) / b for a, b in zip(said["together"], said["alone"], strict=True)))
        spent = ", ".join(f"{way} {times[-1]:.1f} s" for way, times in seconds.items())
        print(f"{name}, round {turn + 1} of {rounds}: {len(part)} items, {spent}", flush=True)
    ratios = {
        way: sorted(slow / fast for slow, fast in zip(seconds[way], seconds["together"], strict=True))
        for way in ("alone", "alone_scored")
    }
    return {
        "items": len(sample), "all_items": not num_items, "rounds": rounds, "seconds": seconds,
        "items_per_second": {way: len(sample) / sum(times) for way, times in seconds.items()},
        "ratio_median": {way: statistics.median(found) for way, found in ratios.items()},
        "ratio_range": {way: [found[0], found[-1]] for way, found in ratios.items()},
        "goal": {"alone": GOALS[name]}, "largest_relative_difference_of_nats": worst,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--zero-shot", type=int, default=150)
    parser.add_argument("--ten-shot", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    machine.set_threads(given.threads)
    shape = config.ModelConfig(n_layer=12, n_head=12, n_embd=768, num_positions=1024)
    encoder = tokenizer.make("gpt2")
    model = initialized(shape, encoder.vocab_size, seed=0).eval()
    alone(model, [Request([1] * 50, [2])] * 3)  # libraries, threads
    about = {"machine": machine.describe("cpu", "float32"), "parameters": model.num_params}
    for name, make, num_items in (("zero_shot", zero_shot, given.zero_shot), ("ten_shot", ten_shot, given.ten_shot)):
        made = make(given.data, encoder, shape.num_positions)
        about[name] = measure(name, model, made, num_items, given.rounds)
        median = about[name]["ratio_median"]
        print(f"{name}: {median['alone']:.2f} times the items a second of the plain program (goal {GOALS[name]:g}), "
              f"{median['alone_scored']:.2f} times those of one with logits at scored places only")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
