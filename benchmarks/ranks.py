"""What the training loop adds to a bare one in one process, and how fast ranks train as replicas and in parts.

    python benchmarks/ranks.py [--steps 40]                                    one process: the ratio of medians
    torchrun --nproc-per-node 2 benchmarks/ranks.py --width 256 --layers 6     tokens per second of both ways

In one process both loops are timed in turn. Under `torchrun` the number of tokens in an update stays, so that figures
of several numbers of ranks can be compared. With GPUs each rank takes one.
"""

import argparse
import statistics
import time

import torch

from losslab import optim, parallel
from losslab.config import ModelConfig, TrainConfig
from losslab.fused import linear_loss
from losslab.model import initialized
from losslab.objective import Objective
from losslab.training_loop import accumulate, over_ranks

VOCAB = 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("steps", 20), ("width", 128), ("layers", 4), ("batch", 16), ("context", 128)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    model = ModelConfig(n_layer=given.layers, n_head=4, n_embd=given.width, num_positions=given.context)
    device = parallel.join("cuda" if torch.cuda.is_available() else "cpu")
    config = TrainConfig(num_steps=given.steps, batch_size=given.batch)
    (alone if parallel.world_size() == 1 else together)(model, config, device, given.steps)
    parallel.leave(0)


def batch(config: TrainConfig, seq_len: int):
    """This rank's rows."""
    stream = torch.randint(VOCAB, (config.batch_size, seq_len + 1), generator=torch.Generator().manual_seed(0))
    own = stream[parallel.rank() :: parallel.world_size()]
    return own[:, :-1], own[:, 1:]


def alone(model_config: ModelConfig, config: TrainConfig, device: str, steps: int) -> None:
    objective, given = Objective.parse("cross_entropy"), batch(config, model_config.num_positions)
    model = initialized(model_config, VOCAB, 0).to(device)
    spread = over_ranks(model, "alone", device)
    x, y = (part.to(device) for part in given)

    def bare() -> None:
        total, count, _ = linear_loss(model(x), model.lm_head, y, objective, num_valid=y.numel())
        (total / count).backward()

    def loop() -> None:
        accumulate(spread, given, objective, config, torch.device(device))

    seconds: dict[str, list[float]] = {"bare": [], "loop": []}
    for turn in range(steps + 1):
        for name, call in (("bare", bare), ("loop", loop))[:: 1 if turn % 2 else -1]:
            seconds[name].append(timed(call, device))
            model.zero_grad(set_to_none=True)
    for name, of in (("median", statistics.median), ("best", min)):
        bare_ms, loop_ms = (1e3 * of(seconds[key][1:]) for key in ("bare", "loop"))
        print(f"gradients of an update, {name}: bare {bare_ms:.2f} ms, the training loop {loop_ms:.2f} ms, ratio "
              f"{loop_ms / bare_ms:.3f}")


def together(model_config: ModelConfig, config: TrainConfig, device: str, steps: int) -> None:
    objective, given = Objective.parse("cross_entropy"), batch(config, model_config.num_positions)
    for way in ("replicated", "sharded"):
        spread = over_ranks(initialized(model_config, VOCAB, 0), way, device)
        optimizer, seconds = optim.build(spread.model, config), []

        def update(spread=spread, optimizer=optimizer) -> None:
            accumulate(spread, given, objective, config, torch.device(device))
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

        for _ in range(steps + 2):
            parallel.barrier()
            seconds.append(timed(update, device))
        tokens = config.batch_size * model_config.num_positions
        if parallel.rank() == 0:
            print(f"{parallel.world_size()} ranks, {way}: {tokens / statistics.median(seconds[2:]):,.0f} tokens/s",
                  flush=True)


def timed(call, device: str) -> float:
    started = time.perf_counter()
    call()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
