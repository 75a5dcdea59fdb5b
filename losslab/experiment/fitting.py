"""How ranks share the model of a run, what it takes of each device's memory, and whether that is there."""

import math

from losslab import elsewhere, machine, memory, parallel
from losslab.config import ExperimentConfig, TrainConfig
from losslab.machine import size_text


def way(config: ExperimentConfig, vocab_size: int, *, takes_logits: bool = False) -> str:
    """`alone`, `replicated` or `sharded`: as `train.ranks` says, or replicas where they fit.

    Args:
        config: with the device that is used.
        vocab_size: number of token ids.
        takes_logits: whether the objective has a loss that takes the logits of a whole micro-batch.
    """
    if parallel.world_size() == 1:
        return "alone"
    if config.train.ranks != "auto":
        return config.train.ranks
    there = available(config.train.device)
    needed = sum(plan(config, vocab_size, "replicated", takes_logits=takes_logits).values())
    return "replicated" if there is None or needed <= memory.USABLE * there else "sharded"


def available(device: str) -> int | None:
    """Bytes of memory for one rank; None where nobody says.

    Ranks on the CPU of one machine share its memory, and a GPU may be shared by several runs.
    """
    total = machine.total_memory(parallel.device_of(device))
    shares = elsewhere.runs_on_a_gpu() if device.startswith("cuda") else parallel.on_this_machine()
    return total if total is None else total // shares


def plan(config: ExperimentConfig, vocab_size: int, way: str, *, takes_logits: bool = False) -> dict[str, int]:
    """Bytes on each device, by parts."""
    return memory.plan(config.model, config.train, vocab_size, seq_len=config.seq_len, world=parallel.world_size(),
                       way=way, takes_logits=takes_logits)


def told(config: ExperimentConfig, vocab_size: int, *, takes_logits: bool = False) -> dict:
    """The plan of a run for people and programs.

    Returns:
        JSON-able: `ranks`, `runs_on_a_gpu` (that share one), `way`, `bytes` by parts, `total`, `available` (None where
        nobody says), `rows` (sequences in one forward pass of a rank) and `most_rows` (those that fit, None where
        nobody says).
    """
    chosen = way(config, vocab_size, takes_logits=takes_logits)
    parts, there = plan(config, vocab_size, chosen, takes_logits=takes_logits), available(config.train.device)
    rows = memory.own_rows(config.train, parallel.world_size())
    return {"ranks": parallel.world_size(), "runs_on_a_gpu": elsewhere.runs_on_a_gpu(), "way": chosen,
            "bytes": parts, "total": sum(parts.values()), "available": there, "rows": rows,
            "most_rows": None if there is None else memory.most_rows(there, parts, rows)}


def text(found: dict) -> str:
    """The plan in a sentence.

    Example:
        >>> text({"ranks": 2, "way": "sharded", "bytes": {"weights": 4_000_000, "head": 1_000}, "total": 4_001_000,
        ...       "available": 8_000_000, "rows": 8, "most_rows": 20})
        'about 4 MB of 8 MB on each of 2 devices (sharded; weights 4 MB, head 1 kB), 8 sequences at a time; 20 fit'
    """
    parts = ", ".join(f"{name} {size_text(value)}" for name, value in found["bytes"].items())
    where = " on one device" if found["ranks"] == 1 else f" on each of {found['ranks']} devices"
    if (runs := found.get("runs_on_a_gpu", 1)) > 1:
        where = f" for each of {runs} runs{where}"
    there = "" if found["available"] is None else f" of {size_text(found['available'])}"
    shared = "" if found["way"] == "alone" else f"{found['way']}; "
    fits = "" if found["most_rows"] is None else f"; {found['most_rows']:,} fit"
    return (f"about {size_text(found['total'])}{there}{where} ({shared}{parts}), {found['rows']:,} "
            f"sequence{'s' * (found['rows'] != 1)} at a time{fits}")


def check(config: ExperimentConfig, vocab_size: int, *, takes_logits: bool = False) -> None:
    """An error where there are more ranks than sequences, or the plan is larger than the memory of a GPU.

    A CPU's memory can be more than it says, by what it swaps; there the run is tried.
    """
    world, first = parallel.world_size(), len(config.train.growth.rows(0))
    if world > first:
        name = "batch_size" if first == config.train.batch_size else "initial_batch_size"
        raise ValueError(f"train.{name} (={first}) must be at least the number of ranks, {world}")
    if not config.train.device.startswith("cuda"):
        return
    found = told(config, vocab_size, takes_logits=takes_logits)
    if found["available"] is None or found["total"] <= found["available"]:
        return
    advice = []
    if found["most_rows"]:
        advice.append(f"train.micro_batch_size {_divisor(config.train, found['most_rows'])}")
    if not config.train.checkpoint_activations:
        advice.append("train.checkpoint_activations true")
    if found["way"] == "replicated":
        advice.append("train.ranks sharded")
    if found["runs_on_a_gpu"] > 1:
        advice.append("a smaller --per-device")
    advice.append("more ranks" if found["way"] == "sharded" else "a smaller model")
    raise ValueError(f"this run does not fit its GPU: it takes {text(found)}; give {' or '.join(advice)}")


def _divisor(train: TrainConfig, most: int) -> int:
    """The largest micro-batch of at most so many sequences that divides the batch, also the one that it grows from."""
    common = math.gcd(train.batch_size, train.initial_batch_size)
    return max(size for size in range(1, min(most, common) + 1) if common % size == 0)


def check_early(config: ExperimentConfig, device: str) -> None:
    """Before a corpus is opened: whether each rank has a device, and weights, gradients and moments can fit it."""
    parallel.check_device(device)  # first of all, since nobody can ask a GPU that is not there for its memory
    params = config.model.num_params(257)
    if device.startswith("cuda") and config.train.ranks != "replicated":
        params = math.ceil(params / parallel.world_size())
    machine.check_fits(params, device)
