"""Two ranks without two starts: forked off a process that has loaded torch, they meet as `torchrun` lets them meet."""

import multiprocessing
import os
import traceback

import torch

LOADED = ["torch", "numpy", "pytest", "losslab.experiment", "losslab.training_loop"]
SECONDS = 120


def on_two_ranks(work, *arguments):
    """What `work(*arguments)` returns on each rank, in their order; None of a rank that ended itself with code 0.

    `work` is a function of a test module. It joins and leaves the other rank as a command under `torchrun` does.
    """
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(LOADED)
    meeting = torch.distributed.TCPStore("localhost", 0, is_master=True, wait_for_workers=False)
    environment = os.environ | {
        "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(meeting.port),
        "TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}  # fmt: skip
    pipes, ranks = [], []
    for rank in ("0", "1"):
        here, there = forks.Pipe()
        own = environment | {"RANK": rank, "LOCAL_RANK": rank}
        ranks.append(forks.Process(target=_rank, args=(there, os.getcwd(), own, work, arguments)))
        ranks[-1].start()
        there.close()
        pipes.append(here)
    try:
        answers = [_answer(*one) for one in zip(pipes, ranks, strict=True)]
    finally:
        for pipe, process in zip(pipes, ranks, strict=True):
            pipe.close()  # which ends it
            process.join(10)
            process.kill()
            process.join()
            process.close()
    return answers


def _answer(pipe, process):
    assert pipe.poll(SECONDS), "a rank gave no answer"
    try:
        failed, answer = pipe.recv()
    except EOFError:
        process.join()
        failed, answer = process.exitcode, None
    assert not failed, failed
    return answer


def _rank(pipe, folder, environment, work, arguments):
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    torch.set_num_threads(1)
    try:
        pipe.send(("", work(*arguments)))
    except Exception:
        pipe.send((traceback.format_exc(), None))
    try:
        pipe.recv()  # until both have answered: the other may still be listening
    except EOFError:
        os._exit(0)  # as `parallel.leave` does, without tearing down
