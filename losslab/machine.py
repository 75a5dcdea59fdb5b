"""Device, numerics, ranks, threads and memory of the machine at hand."""

import os
import platform
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch


def resolve_device(device: str) -> str:
    """`auto` becomes the best device present; a device that is not there is an error."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind = device.split(":")[0]
    if (kind == "cuda" and not torch.cuda.is_available()) or (kind == "mps" and not torch.backends.mps.is_available()):
        raise ValueError(f"train.device is {device}, but this machine has none; use cpu or auto")
    return device


def resolve_dtype(dtype: str, device: str) -> str:
    """`auto` becomes bfloat16 where the device multiplies it faster, float32 otherwise.

    By capability: a GPU that has bfloat16, or a CPU with AMX tiles. A CPU that merely has bfloat16
    instructions converts more than it saves at the sizes of small models, so it stays with float32.
    """
    if dtype != "auto":
        return dtype
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    return "bfloat16" if device == "cpu" and has_amx() else "float32"


def has_amx() -> bool:
    """Whether this CPU has AMX tiles."""
    probe = getattr(torch.cpu, "_is_amx_tile_supported", None)  # private, but the only probe torch has
    return bool(probe and probe())


def autocast(device: str, dtype: str):
    """Matrix products in `dtype`; weights, statistics and sums stay float32."""
    if dtype == "float32":
        return nullcontext()
    return torch.autocast(device.split(":")[0], dtype=getattr(torch, dtype))


def has_onednn(like: torch.Tensor) -> bool:
    """Whether oneDNN can multiply a tensor like this one."""
    return (
        like.dtype == torch.float32 and like.device.type == "cpu" and torch.backends.mkldnn.is_available()
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def times_transposed(
    a: torch.Tensor, b: torch.Tensor, activation: str = "none", bias: torch.Tensor | None = None
) -> torch.Tensor:
    """`activation(a @ b.T + bias)` without gradients, by oneDNN where it is at hand: up to three times the speed of MKL
    on a CPU that is not Intel's."""
    if has_onednn(a):
        return torch.ops.mkldnn._linear_pointwise(a, b, bias, activation, [], "")
    z = torch.nn.functional.linear(a, b).to(torch.promote_types(a.dtype, torch.float32))
    if bias is not None:
        z += bias
    return z if activation == "none" else getattr(torch, activation + "_")(z)


def rank() -> int:
    return int(os.environ.get("RANK", 0))


def world_size() -> int:
    return int(os.environ.get("WORLD_SIZE", 1))


def join_ranks(device: str) -> str:
    """Meet the other processes that `torchrun` started, if any; the device of this one."""
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


def any_rank(flag: bool, device: str) -> bool:
    """Whether the flag is set on any rank; every rank gets the same answer."""
    if world_size() == 1:
        return flag
    flags = torch.tensor(float(flag), device=device)
    torch.distributed.all_reduce(flags)
    return bool(flags > 0)


def sum_over_ranks(numbers: torch.Tensor, device: str) -> torch.Tensor:
    """The sum of every rank's numbers, on every rank."""
    if world_size() == 1:
        return numbers
    shared = numbers.to(device)
    torch.distributed.all_reduce(shared)
    return shared.to(numbers.device)


def set_threads(threads: int) -> int:
    """Use `threads` CPU threads (0: as the environment says); how many that is."""
    if threads:
        torch.set_num_threads(threads)
    return torch.get_num_threads()


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Turn SIGTERM and Ctrl-C into a question, "was I asked to stop?"; a second Ctrl-C stops at once."""
    asked = []

    def ask(number, frame):
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.append(number)

    if threading.current_thread() is not threading.main_thread():  # signals reach the main thread alone
        yield lambda: False
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def peak_memory_bytes(device: str) -> int:
    """Largest memory so far: of the GPU where there is one, of this process otherwise."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated()
    try:
        import resource
    except ImportError:  # not a Unix
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes, Linux kibibytes


def describe(device: str, dtype: str) -> dict:
    """What a record says of the machine."""
    name = torch.cuda.get_device_name() if device.startswith("cuda") else _processor()
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "processor": name,
        "device": device,
        "dtype": dtype,
        "threads": torch.get_num_threads(),
        "world_size": world_size(),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
