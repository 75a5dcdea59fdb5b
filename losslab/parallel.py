"""The processes that `torchrun` started, called ranks, and what they tell each other; one process is one rank.

Imported as a module, so that `parallel.any` and `parallel.sum` read as what they are. Nothing else in losslab calls
`torch.distributed`, but for `spread`, which lets several ranks train one model.
"""

import os
import secrets
import sys
import time
from collections.abc import Mapping
from datetime import timedelta

import torch
from torch import Tensor

PATIENCE = timedelta(minutes=30)  # for the slowest rank: each prepares its corpus, and the first one evaluates


def rank() -> int:
    """The number of this process, from 0."""
    return int(os.environ.get("RANK", 0)) if world_size() > 1 else 0


def world_size() -> int:
    """How many processes work together; 1 without `torchrun`."""
    return int(os.environ.get("WORLD_SIZE", 1))


def on_this_machine() -> int:
    """How many of them are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", world_size()))


def device_of(device: str) -> str:
    """The device of this rank: each of those on one machine has its own GPU."""
    if world_size() == 1 or not device.startswith("cuda"):
        return device
    return f"cuda:{int(os.environ.get('LOCAL_RANK', 0))}"


def check_device(device: str) -> None:
    """An error where the device of this rank is not there."""
    own = device_of(device)
    if world_size() > 1 and own.startswith("cuda") and int(own.split(":")[1]) >= torch.cuda.device_count():
        raise ValueError(f"{on_this_machine()} ranks on a machine with {torch.cuda.device_count()} GPUs; each "
                         "needs its own, so give torchrun a smaller --nproc-per-node")


def join(device: str, told: Mapping[str, str] | None = None) -> str:
    """Meet the other ranks, if any; the device of this one.

    Args:
        device: on which this rank computes.
        told: what must be the same on all ranks, such as a version, by its name. It is compared before the ranks
            compute anything together.

    Raises:
        ValueError: where ranks differ in it, or this machine has fewer GPUs than ranks.
    """
    if world_size() == 1:
        return device
    own = device_of(device)
    on_gpu = own.startswith("cuda")
    check_device(device)
    if on_gpu:
        torch.cuda.set_device(own)
    if not torch.distributed.is_initialized():
        store, *_ = next(torch.distributed.rendezvous("env://", rank(), world_size()))
        store.set_timeout(PATIENCE)
        store = torch.distributed.PrefixStore(f"losslab/{_start(store, rank(), world_size())}", store)
        _check_alike(store, {"device": own.split(":")[0], **(told or {})})
        torch.distributed.init_process_group("nccl" if on_gpu else "gloo", store=store, rank=rank(),
                                             world_size=world_size(), timeout=PATIENCE)
    return own


def _start(store, rank: int, world_size: int) -> str:
    """A name for this start of the ranks, on which all of them agree.

    After a restart the store still holds what the ranks before have written, addresses above all, and which restart
    this is, the machines count differently. So each rank says hello with its own word; the first one proposes a
    name for the words that it reads, until every rank has found its own word there.
    """
    deadline, word = time.monotonic() + PATIENCE.total_seconds(), secrets.token_hex(8)
    store.set(f"losslab/hello/{rank}", word)
    name, words = "", [""]
    while time.monotonic() < deadline:
        if rank == 0 and words != (found := [_text(store, f"hello/{other}") for other in range(world_size)]):
            name, words = secrets.token_hex(8), found
            store.set("losslab/proposed", " ".join([name, *words]))
        elif rank > 0:
            name, *words = _text(store, "proposed").split(" ")
        if len(words) == world_size and words[rank] == word:
            store.set(f"losslab/{name}/accepted/{rank}", "")
            if store.check([f"losslab/{name}/accepted/{other}" for other in range(world_size)]):
                return name
        time.sleep(0.02)
    raise ValueError(f"not all of {world_size} ranks came within {PATIENCE}; look for an error of another one above")


def _text(store, key: str) -> str:
    return store.get(f"losslab/{key}").decode()


def _check_alike(store, told: Mapping[str, str]) -> None:
    """Through the store at which the ranks meet, so that nothing of theirs has to fit together yet."""
    store.set(f"losslab/told/{rank()}", "\n".join(told.values()))
    first = _text(store, "told/0").split("\n")
    for other in range(1, world_size()):
        found = _text(store, f"told/{other}").split("\n")
        for name, here, there in zip(told, first, found, strict=False):
            if here != there:
                raise ValueError(f"the ranks are not alike: {name} is {here} on rank 0 and {there} on rank {other}; "
                                 "give all of them the same program and the same settings")


def barrier() -> None:
    """Wait until every rank is here."""
    if world_size() > 1:
        torch.distributed.barrier()


def any(flag: bool, device: str) -> bool:
    """Whether the flag is set on any rank; every rank gets the same answer."""
    if world_size() == 1:
        return flag
    return bool(sum(torch.tensor(float(flag)), device) > 0)


def sum(numbers: Tensor, device: str | torch.device) -> Tensor:
    """The sum of every rank's numbers, on every rank and where `numbers` are.

    Args:
        numbers: of one shape on all ranks.
        device: through which the ranks speak, as `join` gave it.
    """
    if world_size() == 1:
        return numbers
    shared = numbers.to(device, copy=True)
    torch.distributed.all_reduce(shared)
    return shared.to(numbers.device)


def everyone(numbers: Tensor, device: str | torch.device) -> Tensor:
    """`[ranks, n]`: the numbers `[n]` of every rank, on every rank and where `numbers` are."""
    table = numbers.new_zeros(world_size(), len(numbers))
    table[rank()] = numbers
    return sum(table, device)


# --- tensors of which each rank holds a part -----------------------------------------------------

def is_part(tensor: Tensor) -> bool:
    """Whether this rank holds a part of the tensor alone; told by what it can, since its class takes long to load."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """The tensor with all its parts; every rank must call this at the same place. One that has no parts as it is."""
    return tensor.full_tensor() if is_part(tensor) else tensor


def own_part(full: Tensor, like: Tensor) -> Tensor:
    """Of a whole tensor the rows that this rank holds of `like`, a tensor in parts of the same shape."""
    local = like.to_local()
    rows = -(-len(full) // world_size())  # as torch.chunk: the last ranks may have fewer, or none
    part = full[min(len(full), rank() * rows) : min(len(full), (rank() + 1) * rows)]
    assert part.shape == local.shape, (tuple(part.shape), tuple(local.shape))
    return part


def put(full: Tensor, where: Tensor) -> None:
    """Copy a whole tensor over `where`, which may be in parts."""
    if is_part(where):
        where.to_local().copy_(own_part(full, where))
    else:
        where.copy_(full)


def collected(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """All parts of tensors in the memory of the first rank's machine, and nothing on the others.

    One tensor after the other, so that a device holds no more than one of them whole. Every rank must call this with
    the same names in the same order.
    """
    found = {}
    for name, tensor in tensors.items():
        full = whole(tensor)
        if rank() == 0:
            found[name] = full.cpu() if is_part(tensor) else full
    return found


def leave(code: int) -> None:
    """End this process; under `torchrun` without tearing anything down.

    About one teardown in six of a gloo group aborts (torch 2.13: "terminate called without an active exception"),
    which would turn a finished run into a failed one.
    """
    if world_size() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
