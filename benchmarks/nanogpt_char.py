"""Speed of the `char` preset compared with nanoGPT's own model and update, interleaved in one process.

    python benchmarks/nanogpt_char.py PATH_OF_A_NANOGPT_CHECKOUT [--threads 1]

Both train 4 layers, 4 heads, width 128, context 64, batch 12 on random characters, from batch to updated weights:
nanoGPT in float32, as it does on a CPU, losslab in float32 and in what `auto` takes here. Prints the median seconds
of a step of each and their ratios; data loading and logging are in neither.
"""

import argparse
import importlib.util
import json
import statistics
import time
from pathlib import Path

import torch

from losslab import config, machine, optim
from losslab.model import initialized
from losslab.objective import Objective
from losslab.training_loop import accumulate

VOCAB = 65


def nanogpt_step(checkout: Path):
    spec = importlib.util.spec_from_file_location("nanogpt_model", checkout / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sizes = module.GPTConfig(block_size=64, vocab_size=VOCAB, n_layer=4, n_head=4, n_embd=128, dropout=0.0, bias=False)
    model = module.GPT(sizes)
    optimizer = model.configure_optimizers(0.1, 1e-3, (0.9, 0.99), "cpu")

    def step(x, y):
        _, loss = model(x, y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()

    return step


def losslab_step(dtype: str):
    chosen = config.preset("char")
    numerics = machine.resolve_numerics("auto", "cpu", dtype)
    settings = config.override(chosen.train, {"device": "cpu", "dtype": dtype, "numerics": numerics})
    model = initialized(chosen.model, VOCAB, 0)
    optimizer, objective = optim.build(model, settings), Objective.parse("cross_entropy")
    parameters = list(model.parameters())

    def step(x, y):
        accumulate(model, (x, y), objective, settings, torch.device("cpu"))
        torch.nn.utils.clip_grad_norm_(parameters, 1.0).item()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=300)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    auto = machine.resolve_dtype("auto", "cpu")
    steps = {"nanoGPT": nanogpt_step(options.checkout), "losslab": losslab_step("float32")}
    if auto != "float32":
        steps[f"losslab, {auto}"] = losslab_step(auto)
    seconds = {name: [] for name in steps}
    generator = torch.Generator().manual_seed(0)
    for turn in range(options.rounds + 20):
        stream = torch.randint(VOCAB, (12, 65), generator=generator)
        for name, step in steps.items():
            begun = time.perf_counter()
            step(stream[:, :-1].contiguous(), stream[:, 1:].contiguous())
            if turn >= 20:  # warm
                seconds[name].append(time.perf_counter() - begun)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    quartiles = {name: statistics.quantiles(values, n=4)[::2] for name, values in seconds.items()}
    print(json.dumps({
        "threads": options.threads, "rounds": options.rounds, "torch": torch.__version__,
        "processor": machine.describe("cpu", auto)["processor"],
        "median_seconds": medians, "quartiles_seconds": quartiles,
        "ratio_to_nanogpt": {name: medians[name] / medians["nanoGPT"] for name in medians if name != "nanoGPT"},
    }, indent=1))


if __name__ == "__main__":
    main()
