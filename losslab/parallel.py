"""The processes that `torchrun` started, called ranks, and what they tell each other; one process is one rank.

Imported as a module, so that `parallel.any` and `parallel.sum` read as what they are. Nothing else in losslab calls
`torch.distributed`.
"""

import os
import sys
from collections.abc import Iterable

import torch
from torch import Tensor


def rank() -> int:
    """The number of this process, from 0."""
    return int(os.environ.get("RANK", 0))


def world_size() -> int:
    """How many processes work together; 1 without `torchrun`."""
    return int(os.environ.get("WORLD_SIZE", 1))


def join(device: str) -> str:
    """Meet the other ranks, if any; the device of this one."""
    if world_size() == 1:
        return device
    local = int(os.environ.get("LOCAL_RANK", 0))
    on_gpu = device.startswith("cuda")
    if on_gpu:
        torch.cuda.set_device(local)
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("nccl" if on_gpu else "gloo")
    return f"cuda:{local}" if on_gpu else device


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


def sum_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace the gradient of each parameter by its sum over ranks."""
    if world_size() > 1:
        for parameter in parameters:
            torch.distributed.all_reduce(parameter.grad)


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
