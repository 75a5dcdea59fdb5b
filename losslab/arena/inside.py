"""The process in a jail: it puts up its walls, proves them, and only then reads the submission and computes its loss.

It is told by lines on standard input, and answers by lines of a fixed length on a pipe: a number and a letter. Numbers
come and go in shared memory. Whoever reads the answers takes them for data: once the submission runs, this process is
the submission's.
"""

import contextlib
import json
import os
import signal
import socket
import struct
import sys

from losslab.arena import memory, walls

ANSWER = struct.Struct("<qc")  # number of what was asked; `k` done, `e` an error, said in words
READY, LOAD, FIRST = 0, 1, 2  # numbers of the first things that are answered; calls count from `FIRST`
SEED = 0  # of random numbers that a loss draws, the same before each call: it is a function of what it is given


def main() -> int:
    """One JSON object a line for the walls and for the submission, then one number a line for each call."""
    asked = json.loads(sys.stdin.buffer.readline())
    apart = walls.namespaces()  # in every tier, where the system allows it
    layout = memory.Layout(*asked["layout"])
    inputs = memory.views(asked["inputs"], layout.inputs(), writes=False)
    outputs = memory.views(asked["outputs"], layout.outputs(), writes=True)
    import torch

    from losslab.objective import Objective  # what it needs is read before the walls are up

    torch.set_num_threads(1)
    torch.autograd.backward(torch.zeros(1, requires_grad=True).sum())  # what is read only when it is first used
    for block in (asked["inputs"], asked["outputs"]):
        os.close(block)
    memory.say(outputs, json.dumps(_shut(asked) | {"namespaces": apart}))
    _answer(asked["answers"], READY, b"k")
    submission = json.loads(sys.stdin.buffer.readline())
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    try:
        objective = Objective.parse(submission["formula"], submission["files"])
        _answer(asked["answers"], LOAD, b"k")
    except (Exception, SystemExit) as error:  # a submission may raise anything
        memory.say(outputs, f"{error}" if isinstance(error, ValueError) else f"{type(error).__name__}: {error}")
        _answer(asked["answers"], LOAD, b"e")
        return 0
    for line in sys.stdin.buffer:
        _call(int(line), objective, inputs, outputs, asked["answers"])
    os._exit(0)  # whatever was registered for the end of the process


def _call(number: int, objective, inputs, outputs, answers: int) -> None:
    import torch

    torch.manual_seed(SEED)
    rows, seq = inputs["shape"].tolist()
    tokens, vocab_size = rows * seq, len(inputs["logits"]) // len(inputs["targets"])
    logits = torch.from_numpy(inputs["logits"][: tokens * vocab_size].copy()).view(rows, seq, vocab_size)
    targets = torch.from_numpy(inputs["targets"][:tokens].copy()).view(rows, seq)
    try:
        losses, gradient = _scored(objective, logits, targets)
        outputs["losses"][:tokens] = losses.reshape(-1).numpy()
        outputs["gradient"][: tokens * vocab_size] = gradient.reshape(-1).numpy()
        outputs["length"][0] = 0
        letter = b"k"
    except (Exception, SystemExit) as error:
        memory.say(outputs, f"{error}" if isinstance(error, ValueError) else f"{type(error).__name__}: {error}")
        letter = b"e"
    _answer(answers, number, letter)


def _scored(objective, logits, targets):
    """The loss of each token and the gradient of their sum, both float32."""
    import torch

    before = targets.clone()
    leaf = logits.requires_grad_()
    losses = objective(leaf, targets)
    if not torch.equal(targets, before) or targets.requires_grad:
        raise ValueError("it changes the targets, which are what came and not the loss's to set")
    if not losses.requires_grad:
        raise ValueError("it gives no gradient: nothing that it returns depends on the logits differentiably")
    if not losses.dtype.is_floating_point:
        raise ValueError(f"it returns {losses.dtype}, and a loss is a floating-point number")
    (gradient,) = torch.autograd.grad(losses.sum(), leaf, allow_unused=True, materialize_grads=True)
    return losses.detach().float(), gradient.float()


def _answer(pipe: int, number: int, letter: bytes) -> None:
    os.write(pipe, ANSWER.pack(number, letter))


# --- the walls ---------------------------------------------------------------------------------

def _shut(asked: dict) -> dict:
    """Put up the walls of a tier, and try each of them; what was found."""
    alone = walls.num_threads() == 1
    walls.limits(asked["memory_bytes"], asked["file_bytes"], asked["seconds"])
    found = {"privileges": walls.no_privileges(), "one_thread": alone, "landlock": 0, "filtered": False}
    if asked["tier"] != "plain" and alone:
        if asked["tier"] == "sandlock":
            _confine_by_sandlock(asked)
        found["landlock"] = walls.landlock(asked["readable"], asked["listed"], [asked["scratch"]])
        found["filtered"] = walls.filtered()
    os.chdir(asked["scratch"])
    return found | probes(asked["canary"])


def _confine_by_sandlock(asked: dict) -> None:
    import sandlock

    sandlock.confine(sandlock.Sandbox(fs_readable=[*asked["readable"], *asked["listed"], "/dev"],
                                      fs_writable=[asked["scratch"], *walls.DEVICES]))


def probes(canary: str) -> dict[str, bool]:
    """What this process can still do to the rest of the machine; tried, not assumed.

    Args:
        canary: a file outside the jail, which the host made and can read.
    """
    return {"reads": _works(_read, canary), "lists": _works(os.listdir, os.path.dirname(canary)),
            "writes": _works(_write, canary + ".written"), "network": _works(_reach),
            "processes": _works(_start), "signals": _works(os.kill, os.getppid(), 0)}


def _works(what, *arguments) -> bool:
    try:
        what(*arguments)
    except (OSError, AttributeError):
        return False
    return True


def _read(path: str) -> None:
    with open(path, "rb") as file:
        file.read(1)


def _write(path: str) -> None:
    with open(path, "wb"):
        pass
    os.unlink(path)


def _reach() -> None:
    """An interface to the outside; where names cannot be asked for, that a socket can be had is enough."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)):
        if not [name for _, name in socket.if_nameindex() if name != "lo"]:
            raise OSError("there is no network here")


def _start() -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    with contextlib.suppress(OSError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
