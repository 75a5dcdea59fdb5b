"""Fresh processes that need no start: forked off one that has loaded torch and losslab, and nothing that tests load."""

import importlib
import multiprocessing
import os
import sys
import traceback
from multiprocessing import reduction
from types import SimpleNamespace

import pytest
import torch

from losslab import processes

LOADED = ["torch", "numpy", "pytest", "losslab.experiment.worker", "losslab.experiment.timing",
          "losslab.evaluate.__main__"]  # fmt: skip
SECONDS = 120
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(LOADED)


def forked(work, *arguments):
    """What `work(*arguments)` returns in a fresh process; it is a function of a test module."""
    return _together([{}], work, arguments)[0]


def on_two_ranks(work, *arguments):
    """What `work(*arguments)` returns on each of two ranks."""
    return on_ranks(2, work, *arguments)


def on_ranks(count, work, *arguments, seconds=SECONDS):
    """What `work(*arguments)` returns on each of some ranks, which find each other as under `torchrun`.

    A rank that ends itself with code 0, as a command does, gives None.
    """
    meeting = torch.distributed.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    common = {"WORLD_SIZE": str(count), "MASTER_ADDR": "localhost", "MASTER_PORT": str(meeting.port),
              "TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}  # fmt: skip
    own = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]
    return _together([common | each for each in own], work, arguments, seconds)


def _together(environments, work, arguments, seconds=SECONDS):
    """What each answers; there is one process for each of the environments."""
    pipes, processes = [], []
    for own in environments:
        here, there = _forks.Pipe()
        processes.append(_forks.Process(target=_child, args=(there, os.getcwd(), os.environ | own, work, arguments)))
        processes[-1].start()
        there.close()
        pipes.append(here)
    try:
        return [_answer(*one, seconds) for one in zip(pipes, processes, strict=True)]
    finally:
        for pipe, process in zip(pipes, processes, strict=True):
            pipe.close()  # which ends it
            process.join(10)
            process.kill()
            process.join()
            process.close()


def _answer(pipe, process, seconds):
    assert pipe.poll(seconds), "a forked process gave no answer"
    try:
        failed, answer = pipe.recv()
    except EOFError:
        process.join()
        failed, answer = process.exitcode, None
    assert not failed, failed
    return answer


def _child(pipe, folder, environment, work, arguments):
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(1)
    try:
        pipe.send(("", work(*arguments)))
    except Exception:
        pipe.send((traceback.format_exc(), None))
    try:
        pipe.recv()  # until all have answered: another rank may still be listening
    except EOFError:
        os._exit(0)  # as `parallel.leave` does, without tearing down


# --- the processes that losslab itself starts --------------------------------------------------

@pytest.fixture
def forking(monkeypatch):
    """Where it is not their start that is tested, losslab's own children are forked too."""
    fork_children(monkeypatch)


def fork_children(patch):
    patch.setattr(processes, "subprocess", SimpleNamespace(Popen=Child))


class Child:
    """What `losslab.processes` asks of a `Popen`, for a command that it made itself."""

    def __init__(self, command, *, stdin, stdout, stderr, start_new_session, env=None, cwd=None):
        module = command[command.index("-c") + 3]  # behind the code and the folder of losslab
        streams = [_Stream(stdin), _Stream(stdout.fileno()), _Stream(stderr.fileno())]
        environment = dict(os.environ if env is None else env)
        self._process = _forks.Process(target=_main_of, args=(module, streams, str(cwd or os.getcwd()), environment))
        self._process.start()
        self.pid = self._process.pid

    @property
    def returncode(self):
        return self._process.exitcode

    def poll(self):
        return self._process.exitcode

    def wait(self):
        self._process.join()
        return self._process.exitcode

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        self._process.kill()


class _Stream:
    """An open file that goes along to a forked process."""

    def __init__(self, number):
        self.number = number

    def __reduce__(self):
        return _received, (reduction.DupFd(self.number),)


def _received(duplicate):
    return duplicate.detach()


def _main_of(module, streams, folder, environment):
    os.setsid()
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.stdin, sys.stdout, sys.stderr = open(0, closefd=False), open(1, "w", closefd=False), open(2, "w", closefd=False)
    code = importlib.import_module(module).main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
