"""One run on the machine that an executor chose for it: what that machine is told, and what it answers.

Both are JSON, and the run itself is in its folder on a path that all machines share. The folder is read as one that
somebody continues: the machine that cannot give what the run began with refuses it.
"""

import json
import os
import platform
import time
from collections.abc import Callable, Collection
from pathlib import Path

import losslab
from losslab import machine, processes, records
from losslab.experiment import Job, environment, from_folder
from losslab.experiment.plan import Experiment

POLL_SECONDS = 0.2
WAIT_SECONDS = 600.0  # for a machine that was given up for lost, and is still at work on the run
STOP = ".stop"  # a file in the run folder, by which the run is asked to save and to end
ENDED = ("finished", "diverged")


def request(folder: Path, *, threads: int, trusted: Collection[str], condition: str) -> str:
    """What a machine is told of a run: its folder, and nothing that could be executed."""
    return json.dumps({"folder": str(folder.absolute()), "place": os.getcwd(), "threads": threads,
                       "trusted": list(trusted), "condition": condition, "losslab": losslab.__version__})


def run(text: str) -> str:
    """Train and measure one run, or continue it.

    Returns:
        JSON: the `node`, the `status` of the run (`refused` where this machine cannot give what it needs), the `signal`
        that stopped it or 0 (`processes.stop_requests`), and what is to be `told` to people, a list of sentences.
    """
    asked, told = json.loads(text), []
    with processes.stop_requests() as signalled:
        try:
            status = _run(asked, told.append, signalled)
        except ValueError as error:
            status = "refused"
            told.append(str(error))
        return json.dumps({"node": platform.node(), "status": status, "signal": signalled(), "told": told})


def _run(asked: dict, tell: Callable[[str], None], signalled: Callable[[], int]) -> str:
    folder, node = Path(asked["folder"]), platform.node()
    if asked["losslab"] != losslab.__version__:
        raise ValueError(f"{node} refuses {folder.name}: it has losslab {losslab.__version__}, and the study began "
                         f"with {asked['losslab']}; install the same on all machines")
    if not records.is_run(folder):
        raise ValueError(f"{node} refuses {folder.name}: it does not see the folder {folder}; give --store a folder "
                         "that all machines share")
    if os.path.isdir(asked["place"]):  # relative paths of texts and loss files begin there
        os.chdir(asked["place"])
    machine.set_threads(asked["threads"])
    processes.adopt_orphans()
    record = records.read(folder)
    if record.status in ENDED:
        return record.status
    try:
        if record.condition != asked["condition"]:
            raise ValueError(f"{folder} holds another run by now ({record.condition}, not {asked['condition']})")
        experiment = from_folder(record, asked["trusted"], trains=False, tell=lambda text: None)
        check_numerics(experiment)
    except ValueError as error:
        raise ValueError(f"{node} refuses {folder.name}: {error}") from None

    def is_asked() -> bool:
        return bool(signalled()) or (folder / STOP).exists()

    if not _wait_for_lock(folder, is_asked):
        return "stopped"
    if sentence := _note_machine(experiment, folder, asked["threads"]):
        tell(sentence)
    job = Job(experiment, folder, threads=asked["threads"], tell=tell)
    try:
        while not job.advance():
            time.sleep(POLL_SECONDS)
            if not job.asked_to_stop and is_asked():  # before it is seen that a worker ended: SLURM signals that, too
                job.stop()
    finally:
        job.close()
    return records.read(folder).status


def check_numerics(experiment: Experiment) -> None:
    """That this machine multiplies as the run says, and does not merely imitate it.

    A device that is not there is found before, where the run is read.

    Raises:
        ValueError: in one sentence.
    """
    import torch

    train = experiment.config.train
    if train.device.startswith("cuda") and train.dtype == "bfloat16" and \
            not torch.cuda.is_bf16_supported(including_emulation=False):
        raise ValueError(f"train.dtype is bfloat16, which {machine.processor(train.device)} has not; use float32 or "
                         "float16")
    if train.numerics == "fast" and not torch.backends.mkldnn.is_available():
        raise ValueError("train.numerics is fast, and this torch has no oneDNN; use reference")


def _wait_for_lock(folder: Path, is_asked: Callable[[], bool]) -> bool:
    """Wait for another machine to leave the run; whether it did before this one was asked to stop."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            with records.lock(folder):
                return True
        except records.StoreBusy:
            if is_asked():
                return False
            if time.monotonic() > deadline:
                raise
            time.sleep(1.0)


def _note_machine(experiment: Experiment, folder: Path, threads: int) -> str:
    """Write down which machine computes: in place of the one that planned, or next to one that began.

    Returns:
        a sentence where the run continues on another machine than before, else nothing.
    """
    own, record = environment(experiment, threads) | {"node": platform.node()}, records.read(folder)
    if not any((folder / name).exists() for name in ("log.jsonl", "checkpoint")):  # nothing is computed yet
        records.note_environment(folder, own)
        return ""
    before = record.environment
    if own["processor"] != before.get("processor"):
        more = [name for name in str(before.get("continued_on", "")).split("; ") if name]
        if own["processor"] not in more:
            records.note_environment(folder, before | {"continued_on": "; ".join([*more, own["processor"]])})
    last = before.get("last_node", before.get("node"))
    if last in (None, own["node"]):
        return ""
    records.note_environment(folder, records.read(folder).environment | {"last_node": own["node"]})
    return f"{folder.name} was last on {last} and continues on {own['node']}"
