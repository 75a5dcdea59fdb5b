"""Before anything is spent: do all machines see the store and have the same losslab, and which device?"""

import contextlib
import json
import platform
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Executor
from pathlib import Path

import losslab
from losslab import machine
from losslab.elsewhere import Nodes
from losslab.words import printable

PATIENCE_SECONDS = 10.0  # a network file system may show a new file late
POLL_SECONDS = 0.5
NAME = ".probe-"  # of the files, which are removed again


def nodes(
    executor: Executor, store: str | Path, *, device: str = "auto", tell: Callable[[str], None] = lambda text: None,
) -> Nodes:
    """Ask every machine of an executor, or one where the executor cannot name them, and say what all of them have.

    A file is written into the store here and read there, and another one the other way round.

    Args:
        executor: its machines.
        store: a folder; made if it is not there.
        device: that the runs ask for: `auto`, `cpu` or `cuda`.
        tell: takes a sentence where machines are unlike.

    Raises:
        ValueError: in one sentence, for the first machine that would not do.
    """
    store, word = Path(store).absolute(), secrets.token_hex(8)
    first = store / f"{NAME}{word}"
    try:
        store.mkdir(parents=True, exist_ok=True)
        first.write_text(word, encoding="utf-8")
    except OSError as error:
        raise ValueError(printable(f"cannot write to the store {store}: {error.strerror}; give a writable "
                                   "folder")) from None
    asked = json.dumps({"store": str(store), "word": word, "device": device})
    ask = getattr(executor, "everywhere", lambda function, text: [executor.submit(function, text)])
    try:
        found = [json.loads(_answer(future)) for future in ask(look, asked)]
        for each in found:
            _check(each, store, word, device)
    finally:
        _remove(first)  # before the others: a machine that answers later finds it gone, and removes its own
        for path in store.glob(f"{NAME}{word}-*"):
            _remove(path)
    for what in ("processor", "torch"):
        kinds = sorted({each[what] for each in found})
        if len(kinds) > 1:
            tell(printable(f"the machines differ in {what} ({', '.join(kinds)}); the report will name the runs of "
                           "each"))
    return _common(found)


def look(text: str) -> str:
    """On another machine: what it has, and whether the store lies there; JSON in and out."""
    asked = json.loads(text)
    store, word = Path(asked["store"]), asked["word"]
    first = store / f"{NAME}{word}"
    device = "cuda" if asked["device"] != "cpu" and machine.resolve_device("auto") == "cuda" else "cpu"
    found = {"node": platform.node(), "losslab": losslab.__version__, "torch": machine.torch_version(),
             "device": device, "processor": machine.processor(device), "memory": machine.total_memory(device),
             "bfloat16": device == "cuda" and machine.resolve_dtype("auto", device) == "bfloat16",
             "sees": _appears(first, word), "wrote": ""}
    if found["sees"]:
        own = store / f"{NAME}{word}-{secrets.token_hex(8)}"
        with contextlib.suppress(OSError):
            own.write_text(word, encoding="utf-8")
            found["wrote"] = own.name
        if not _holds(first, word):  # nobody waits for this answer, and all was removed: another machine was refused
            _remove(own)
    return json.dumps(found)


def _appears(path: Path, word: str) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        if _holds(path, word):
            return True
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)


def _holds(path: Path, word: str) -> bool:
    with contextlib.suppress(OSError):
        return path.read_text(encoding="utf-8") == word
    return False


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _answer(future) -> str:
    try:
        return future.result()
    except CancelledError:
        raise ValueError("the executor dropped the question whether its machines see the store; look at its "
                         "logs") from None
    except Exception as error:  # engines raise classes of their own; what they say is what is known
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(printable(f"a machine could not answer whether it sees the store: {lines[-1]}; is losslab "
                                   "installed there, as it is here?")) from None


def _check(found: dict, store: Path, word: str, device: str) -> None:
    node = found["node"]
    if found["losslab"] != losslab.__version__:
        raise ValueError(printable(f"{node} has losslab {found['losslab']}, and this machine {losslab.__version__}; "
                                   "install the same on all"))
    if not found["sees"] or (found["wrote"] and not _appears(store / found["wrote"], word)):
        raise ValueError(printable(f"{node} does not share the store {store} with this machine: a file that one of "
                                   "them wrote did not appear on the other; give --store a folder that all machines "
                                   "have under the same path"))
    if not found["wrote"]:
        raise ValueError(printable(f"{node} cannot write to the store {store}; give --store a folder that all machines "
                                   "may write to"))
    if device == "cuda" and found["device"] != "cuda":
        raise ValueError(printable(f"train.device is cuda, and {node} has no GPU to give; use cpu, or ask the executor "
                                   "for GPUs"))


def _common(found: Sequence[dict]) -> Nodes:
    devices = {each["device"] for each in found}
    if len(devices) > 1:
        named = ", ".join(f"{each['node']} has {each['device']}" for each in found)
        raise ValueError(printable(f"the machines have unlike devices ({named}), and a study has one; give --device "
                                   "cpu, or --device cuda with machines that all have GPUs"))
    memory = [each["memory"] for each in found if each["memory"] is not None]
    return Nodes(devices.pop(), all(each["bfloat16"] for each in found), min(memory, default=None),
                 " / ".join(sorted({each["processor"] for each in found})))
