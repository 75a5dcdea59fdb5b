"""Device, numerics, threads and memory of this machine."""

import math
import os
import platform
import sys
import time
from contextlib import nullcontext
from functools import cache
from pathlib import Path

import torch

from losslab import elsewhere, parallel

CGROUP = Path("/sys/fs/cgroup")  # where Linux says how much of the machine a container may use
MAX_THREADS = 1_024
BYTES_PER_PARAMETER = 16  # float32: the weight, its gradient and AdamW's two moments


def resolve_device(device: str) -> str:
    """`auto` becomes the best device present; a device that is not there is an error.

    Of runs that other machines compute (`elsewhere`) these are asked, here and in all that follows.
    """
    if nodes := elsewhere.nodes():
        return nodes.resolve_device(device)
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    kind = device.split(":")[0]
    if (kind == "cuda" and not torch.cuda.is_available()) or (kind == "mps" and not torch.backends.mps.is_available()):
        raise ValueError(f"train.device is {device}, but this machine has none; use cpu or auto")
    if ":" in device and int(device.split(":")[1]) >= torch.cuda.device_count():
        raise ValueError(f"train.device is {device}, but this machine has {torch.cuda.device_count()} of them; "
                         "they are counted from cuda:0")
    return device


def resolve_dtype(dtype: str, device: str) -> str:
    """`auto` becomes bfloat16 where the device multiplies it faster, float16 on a GPU without it, float32 otherwise.

    By capability: a GPU that has bfloat16, a CPU with AMX tiles, or one that is not Intel's with bfloat16 in AVX-512
    (AMD from Zen 4 on). An Intel CPU that has it without AMX converts more than it saves at the sizes of small models.
    """
    if nodes := elsewhere.nodes():
        return nodes.resolve_dtype(dtype, device)
    if dtype != "auto":
        return dtype
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    return "bfloat16" if device == "cpu" and is_good_at_bfloat16() else "float32"


def resolve_numerics(numerics: str, device: str, dtype: str) -> str:
    """`auto` becomes `fast` where `kernels.products.numerics` has something faster than PyTorch's own.

    By what the machine is and never by a stopwatch, so that equal machines give equal bits. For other machines it is
    `reference`, which all of them have.

    Raises:
        ValueError: for `fast` on another device than a CPU.
    """
    if numerics == "fast" and device != "cpu":
        raise ValueError(f"train.numerics fast is for a CPU, and train.device is {device}; leave it at auto")
    if numerics != "auto":
        return numerics
    if elsewhere.nodes():
        return "reference"
    is_faster = device == "cpu" and (dtype == "bfloat16" or (torch.backends.mkldnn.is_available() and is_foreign()))
    return "fast" if is_faster else "reference"


def is_foreign() -> bool:
    """Whether this is an x86 CPU that is not Intel's, for which MKL leaves out its fastest code."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    return bool(vendor := _cpuinfo("vendor_id") or platform.processor()) and "GenuineIntel" not in vendor


def is_good_at_bfloat16() -> bool:
    """Whether this CPU multiplies in bfloat16 so fast that training gains (`benchmarks/precision.py`)."""
    return _has("amx_tile") or (is_foreign() and _has("avx512_bf16"))


def _has(instructions: str) -> bool:
    probe = getattr(torch.cpu, f"_is_{instructions}_supported", None)  # private, but the only probe torch has
    return bool(probe and probe())


def autocast(device: str, dtype: str):
    """Matrix products in `dtype`; weights, statistics and sums stay float32."""
    if dtype == "float32":
        return nullcontext()
    return torch.autocast(device.split(":")[0], dtype=getattr(torch, dtype))


def widest(device: torch.device) -> torch.dtype:
    """In which sums over many tokens are kept: float64, and float32 on Apple's GPU, which has nothing wider."""
    return torch.float32 if device.type == "mps" else torch.float64


def cores() -> int:
    """How many CPU cores this process may use, by its affinity and by its container."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = (CGROUP / "cpu.max").read_text().split()
        return max(1, min(usable, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError, ZeroDivisionError):  # no container, or one without a limit ("max")
        return usable


def set_threads(threads: int) -> int:
    """Use `threads` CPU threads (0: as the environment says); how many that is.

    Raises:
        ValueError: for a number that is negative, or more than any machine has.
    """
    if not 0 <= threads <= MAX_THREADS:
        raise ValueError(f"threads must be between 0 and {MAX_THREADS:,}, got {threads}")
    if threads:
        torch.set_num_threads(threads)
    return torch.get_num_threads()


def busy(threads: int | None = None, workers: int = 1, own: float = 0.0) -> str | None:
    """A sentence where others already use the cores that `workers` runs of `threads` threads (None: one a core) need.

    `own` is the load that the caller's earlier runs left, which is not of others.

    Threads that wait for each other are slow as soon as one of them has to share its core: on a small machine that
    is in use, training with one thread has been six times as fast as with all.
    """
    try:
        load = os.getloadavg()[0]  # of the last minute
    except (AttributeError, OSError):  # not a Unix
        return None
    here = cores()
    threads = here if threads is None else threads
    wanted = threads * workers
    if load - own + wanted <= here + max(1.0, here / 10):  # what one other process or the last minute may leave
        return None
    advice = "--threads 1" if threads > 1 else "--workers 1" if workers > 1 else ""
    return (f"this machine is busy: its load is {load:.1f} on {here} core{'s' * (here > 1)}, and this adds {wanted} "
            f"thread{'s' * (wanted > 1)}{advice and f'; {advice} may be faster'}")


def total_memory(device: str = "cpu") -> int | None:
    """Bytes of memory: of the GPU that is named, or of this machine or container; None where nobody says."""
    if nodes := elsewhere.nodes():
        return nodes.memory
    if device.startswith("cuda"):
        return torch.cuda.get_device_properties(device).total_memory
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # not a Unix
        return None
    try:
        return min(total, int((CGROUP / "memory.max").read_text()))
    except (OSError, ValueError):
        return total


def check_fits(num_params: int, device: str = "cpu") -> None:
    """Before a model is built: whether its weights, gradients and optimizer can fit the memory at all.

    Raises:
        ValueError: with both sizes, where they cannot.
    """
    needed, total = num_params * BYTES_PER_PARAMETER, total_memory(device)
    if total is not None and needed > total:
        where = f"the device {device}" if device.startswith("cuda") else "this machine"
        raise ValueError(
            f"a model of {num_params:,} parameters needs {size_text(needed)} for weights, gradients and optimizer "
            f"alone, and {where} has {size_text(total)}; take fewer layers or a smaller width"
        )


def size_text(count: int) -> str:
    """A number of bytes for people, such as `1.5 GB`."""
    power = min(4, max(0, (len(str(count)) - 1) // 3))
    return f"{count / 1000**power:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB')[power]}"


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


@cache
def product_peak(device: str, dtype: str, threads: int) -> float:
    """Floating-point operations a second of a large matrix product here, the best of several; measured once a process.

    It is only shown, as what a training could reach; nothing that is computed depends on it.

    Args:
        device: of the product.
        dtype: `float32` or `bfloat16`.
        threads: CPU threads in use, on which the answer depends.
    """
    size = 4096 if device.startswith("cuda") else 768
    a = torch.full((size, size), 0.5, dtype=getattr(torch, dtype), device=device)
    best = math.inf
    for _ in range(6):  # the first one is warm-up
        started = time.perf_counter()
        first = (a @ a)[0, 0].item()  # waits for the device
        best = min(best, time.perf_counter() - started)
    assert first == size / 4
    return 2 * size**3 / best


def torch_version() -> str:
    """Of the torch that computes here."""
    return str(torch.__version__)


def describe(device: str, dtype: str) -> dict:
    """What a record says of the machine."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "processor": nodes.processor if (nodes := elsewhere.nodes()) else processor(device),
        "device": device,
        "dtype": dtype,
        "threads": torch.get_num_threads(),
        "world_size": parallel.world_size(),
    }


def processor(device: str) -> str:
    """The name of the GPU of this machine, or of its CPU."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name()
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(key: str) -> str:
    """What Linux says of the first core; nothing elsewhere."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next((line.split(":", 1)[1].strip() for line in file if line.startswith(key)), "")
    except OSError:
        return ""
