"""Child processes: how they are started, what they may know, and that none of them outlives its use.

A child that runs a loss file gets its own session, so that all it started can be ended with it. A child that
measures is isolated: it sees the packages it needs, a short list of environment variables, and nothing else.
"""

import contextlib
import ctypes
import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

# what an isolated process may know of the environment: devices, libraries, language, and how sums are computed
ALLOWED = (
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT",
    "LANG", "LC_ALL", "LC_CTYPE", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS",
)
# what `torchrun` tells a rank; a child that trains by itself would wait for ranks that nobody started
RANKS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "MASTER_ADDR", "MASTER_PORT")
PACKAGES = ("torch", "numpy", "safetensors", "scipy", "tokenizers")  # what losslab's own code can need
# losslab by the place of its folder, which is on no path: modules in the same folder are not found. Behind the standard
# library come the folders of the packages. No garbage is collected while modules are read, and nothing is taken apart
# at the end: a third of the time that such a process takes to start and to end (0.9 of 2.9 s on a slow machine).
BOOT = """
import gc, importlib.util, os, sys
gc.disable()
folder, module, *folders = sys.argv[1:]
sys.path += folders
spec = importlib.util.spec_from_file_location("losslab", folder + "/__init__.py", submodule_search_locations=[folder])
sys.modules["losslab"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["losslab"])
main = importlib.import_module(module).main
gc.enable()
code = main()
sys.stdout.flush()
sys.stderr.flush()
os._exit(code)
"""
SUBREAPER = 36  # of prctl: orphans of our children become our children
STOPS = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGUSR2") if hasattr(signal, name)]
WARNING = getattr(signal, "SIGUSR2", None)  # how SLURM warns, as submitit asks it to; not every system has it
_started: set[int] = set()  # process ids of the children that this module started
_starting = threading.Lock()  # a child of another thread is no orphan before it is in the set


def isolated(module: str) -> list[str]:
    """The command that calls `main()` of `module`, whatever lies in the working directory or the environment.

    `-I` ignores `PYTHON*` variables, the user's site folder and the working directory; `-S` reads no `.pth` file and no
    `sitecustomize`. The packages are found all the same, because the folders they lie in are handed over.
    """
    return [sys.executable, "-I", "-S", *_boot(module)]


def ordinary(module: str) -> list[str]:
    """The command that calls `main()` of `module` with the user's own environment, for what runs a user's file."""
    return [sys.executable, "-P", *_boot(module)]


def _boot(module: str) -> list[str]:
    return ["-c", BOOT, str(Path(__file__).resolve().parent), module, *package_folders()]


def package_folders() -> list[str]:
    """Absolute paths of the folders that hold what losslab needs, in a virtual environment or anywhere else."""
    specs = [importlib.util.find_spec(name) for name in PACKAGES]
    return list(dict.fromkeys(str(Path(s.origin).resolve().parent.parent) for s in specs if s and s.origin))


def environment(threads: int, temporary: str | Path, own: Mapping[str, str] = {}) -> dict[str, str]:
    """The environment of an isolated process: the variables that are allowed, its own ones, its threads, its folder."""
    kept = {name: os.environ[name] for name in ALLOWED if name in os.environ}
    return kept | own | thread_variables(threads) | {"TMPDIR": str(temporary), "HOME": str(temporary)}


def inherited() -> dict[str, str]:
    """The user's own environment, for a child that is no rank of anything."""
    return {name: value for name, value in os.environ.items() if name not in RANKS}


def thread_variables(threads: int) -> dict[str, str]:
    return {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")} if threads else {}


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A folder that only this user can read, removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="losslab-")).resolve()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def start(command: Sequence[str], request: str, out: Path, err: Path, **options) -> subprocess.Popen:
    """Start `command` in its own session, with `request` as standard input and its output in two files.

    Ctrl-C reaches it through this process alone. Its standard input stays open behind the request, so that
    `parent_is_gone` can test it.
    """
    read, write = os.pipe()
    with open(out, "wb") as stdout, open(err, "ab") as stderr, _starting:
        process = subprocess.Popen(command, stdin=read, stdout=stdout, stderr=stderr, start_new_session=True, **options)
        _started.add(process.pid)
    os.close(read)
    process.request = os.fdopen(write, "wb", buffering=0)  # closed by the system when this process ends
    left = memoryview(request.encode() + b"\n")
    with contextlib.suppress(BrokenPipeError):  # it ended before it could read
        while left:  # a signal may cut a write short
            left = left[process.request.write(left):]
    return process


def end(process: subprocess.Popen) -> None:
    """Make sure that nothing is left of a child: neither itself, nor what it started."""
    process.request.close()
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    _started.discard(process.pid)
    _end_orphans()


def adopt_orphans() -> None:
    """From now on, what a child leaves behind becomes a child of this process, so that `end` finds it (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None, use_errno=True).prctl(SUBREAPER, 1, 0, 0, 0)


def _end_orphans() -> None:
    """End adopted processes: children that are in another session and that nobody here started."""
    for _ in range(1000):  # each that ends may leave its own children to us
        with _starting:
            strays = [pid for pid in _children() if pid not in _started and _is_elsewhere(pid)]
        if not strays:
            return
        for pid in strays:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)


def _children() -> list[int]:
    try:
        return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]
    except (OSError, ValueError):  # not Linux
        return []


def _is_elsewhere(pid: int) -> bool:
    try:
        return os.getsid(pid) != os.getsid(0)
    except OSError:
        return False


def parent_is_gone() -> bool:
    """In a child that `start` started: whether the other end of its standard input is closed."""
    import select

    try:
        ready, _, _ = select.select([0], [], [], 0)
        return bool(ready) and not os.read(0, 1)
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[], int]]:
    """Turn SIGTERM, Ctrl-C and SIGUSR2 into a question, "was I asked to stop?"; a second Ctrl-C stops at once.

    The answer is the number of a signal, or 0: SIGUSR2 if it was among them, else the first. SLURM warns by it of the
    end of a job's time, and puts such a job back into the queue, also where a SIGTERM came before.
    """
    asked: list[int] = []

    def ask(number, frame):
        if asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.insert(0 if number == WARNING else len(asked), number)

    if threading.current_thread() is not threading.main_thread():  # signals reach the main thread alone
        yield lambda: 0
        return
    before = {number: signal.signal(number, ask) for number in STOPS}
    try:
        yield lambda: int(asked[0]) if asked else 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
