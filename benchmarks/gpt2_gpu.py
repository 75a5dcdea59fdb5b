"""Training updates of GPT-2 on a GPU: losslab's recipes and nanoGPT's own model and update, interleaved in one process.

    python benchmarks/gpt2_gpu.py PATH_OF_A_NANOGPT_CHECKOUT [--size gpt2] [--batch 16] [--rounds 20] [--compile]

All train on the same random tokens in bfloat16, from batch to updated weights, in turns. Prints the median time of
an update, tokens per second, the share of the peak of a matrix product that was measured on the same device, and the
largest memory; then how many updates a second several processes of the size `tiny` make side by side. Writes
benchmarks/results/gpt2_gpu.json. Without a GPU it says so, with exit code 2.
"""

import argparse
import importlib.util
import json
import multiprocessing
import statistics
import sys
import time
from pathlib import Path

import torch

from losslab import config, optim
from losslab.model import initialized
from losslab.objective import Objective
from losslab.training_loop import accumulate

VOCAB = 50_257
TINY_SECONDS = 4.0
RESULTS = Path(__file__).parent / "results" / "gpt2_gpu.json"


def nanogpt(checkout: Path, size, compiled: bool):
    spec = importlib.util.spec_from_file_location("nanogpt_model", checkout / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.GPT(module.GPTConfig(
        block_size=size.num_positions, vocab_size=VOCAB, n_layer=size.n_layer, n_head=size.n_head, n_embd=size.n_embd,
        dropout=0.0, bias=size.bias)).cuda()
    optimizer = model.configure_optimizers(0.1, 6e-4, (0.9, 0.95), "cuda")
    forward = torch.compile(model) if compiled else model

    def update(x, y):
        with torch.autocast("cuda", torch.bfloat16):
            _, loss = forward(x.cuda(), y.cuda())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return update


def losslab(size: str, recipe: str, vocab: int = VOCAB):
    chosen = config.chosen(size=size, recipe=recipe)
    settings = config.override(chosen.train, {"device": "cuda", "dtype": "bfloat16", "micro_batch_size": 0})
    model = initialized(chosen.model, vocab, 0).to("cuda")
    optimizer, objective, parameters = optim.build(model, settings), Objective.parse("cross_entropy"), None
    parameters = list(model.parameters())

    def update(x, y):
        total, _, count = accumulate(model, (x, y), objective, settings, torch.device("cuda"))
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return total / count

    return update


def batches(vocab: int, batch: int, seq_len: int):
    generator = torch.Generator().manual_seed(0)
    while True:
        stream = torch.randint(vocab, (batch, seq_len + 1), generator=generator)
        yield stream[:, :-1].contiguous(), stream[:, 1:].contiguous()


def peak_flops(n: int = 8192) -> float:
    a, b = (torch.randn(n, n, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    times = []
    for _ in range(13):
        torch.cuda.synchronize()
        begun = time.perf_counter()
        a @ b
        torch.cuda.synchronize()
        times.append(time.perf_counter() - begun)
    return 2 * n**3 / statistics.median(times[3:])


def tiny(seconds: float, start, found) -> None:
    """One process that trains `tiny` for some seconds after all are ready."""
    update, stream = losslab("tiny", "classic", 512), batches(512, 8, 128)
    for _ in range(20):
        update(*next(stream))
    start.wait()
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        update(*next(stream))
        count += 1
    found.put(count / seconds)


def side_by_side(processes: int) -> float:
    """Updates of `tiny` a second, of all processes together."""
    context = multiprocessing.get_context("spawn")
    start, found = context.Barrier(processes), context.Queue()
    runs = [context.Process(target=tiny, args=(TINY_SECONDS, start, found)) for _ in range(processes)]
    for run in runs:
        run.start()
    rates = [found.get() for _ in runs]
    for run in runs:
        run.join()
    return sum(rates)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--size", default="gpt2")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("not measured: no GPU", file=sys.stderr)
        return 2
    size, peak = config.SIZES[options.size], peak_flops()
    makers = {"losslab, classic": lambda: losslab(options.size, "classic"),
              "losslab, modern": lambda: losslab(options.size, "modern"),
              "nanoGPT": lambda: nanogpt(options.checkout, size, False)}
    if options.compile:
        makers["nanoGPT, torch.compile"] = lambda: nanogpt(options.checkout, size, True)
    updates = {name: make() for name, make in makers.items()}
    seconds, memory, stream = {name: [] for name in updates}, {}, batches(VOCAB, options.batch, size.num_positions)
    for turn in range(options.rounds + 4):
        x, y = next(stream)
        for name, update in updates.items():
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            before, begun = torch.cuda.memory_allocated(), time.perf_counter()
            update(x, y)
            torch.cuda.synchronize()
            if turn >= 4:  # warm
                seconds[name].append(time.perf_counter() - begun)
            memory[name] = torch.cuda.max_memory_allocated() - before
    lines = []
    for name, times in seconds.items():
        median = statistics.median(times)
        rate = options.batch * size.num_positions / median
        lines.append({"contestant": name, "median_ms": round(1000 * median, 2), "tokens_per_second": round(rate),
                      "share_of_peak": round(rate * size.token_flops(VOCAB, size.num_positions) / peak, 4),
                      "memory_above_weights_mb": round(memory[name] / 2**20)})
        print(*lines[-1].values(), sep="\t", flush=True)
    del updates
    torch.cuda.empty_cache()
    several = {count: round(side_by_side(count), 1) for count in (1, 2, 4, 8)}
    print("updates of tiny a second, by processes:", several, flush=True)
    RESULTS.write_text(json.dumps({
        "device": torch.cuda.get_device_name(), "torch": torch.__version__, "peak_tflops": round(peak / 1e12, 1),
        "size": options.size, "batch": options.batch, "seq_len": size.num_positions, "rounds": options.rounds,
        "lines": lines, "tiny_updates_per_second_by_processes": several}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
