"""The process that trains one run folder; the only one that executes a loss file for more than a trial.

It reads one JSON object from standard input: the folder, the threads, and the hashes of loss files that may run. Its
exit code says how it ended; the folder holds the rest.
"""

import contextlib
import json
import sys
import time
from collections.abc import Collection, Iterator
from pathlib import Path

from losslab import config as configuration
from losslab import lossfile, machine, processes, records
from losslab.config import rates
from losslab.experiment.plan import Experiment, Tell
from losslab.experiment.training import Training
from losslab.lossfile import Source

CODES = {"finished": 0, "diverged": 4, "stopped": 5}
CANNOT = 2  # a sentence on standard error says why; to try again would not help
WAIT_SECONDS = 600.0  # for an earlier worker, whose parent was killed, to notice and to save


def main() -> int:
    request = json.loads(sys.stdin.buffer.readline())
    folder = Path(request["folder"])
    try:
        machine.set_threads(request["threads"])
        experiment = from_folder(records.read(folder), request["trusted"], trains=True, tell=_say)
        with _alone(folder / "checkpoint"):
            training = Training(experiment, folder, experiment.config.train.device, tell=_say,
                                is_alone=processes.parent_is_gone)
            return CODES[training.go()]
    except ValueError as error:
        _say(error)
        return CANNOT
    except OSError as error:  # a full disk may be emptied, and the run continues from its last checkpoint
        _say(error)
        return 1


def from_folder(record: records.Record, trusted: Collection[str], *, trains: bool, tell: Tell) -> Experiment:
    """The experiment that a run folder asks for, which must be the one that it began as.

    Raises:
        ValueError: before any loss file is run, if its hash is not allowed or the folder contradicts itself; then, if
            the corpus, the weights it starts from, or the numerics are no longer what they were.
    """
    spec = record.spec
    if (written := spec.get("identity", 1)) > configuration.VERSION:
        raise ValueError(f"{record.path} was written by a newer losslab (identity version {written}, this one knows up "
                         f"to {configuration.VERSION}); update losslab to continue it")
    config = record.config
    sources = [Source(loss["path"], loss["source"]) for loss in spec["losses"]]
    for source, loss in zip(sources, spec["losses"], strict=True):
        if source.sha256 != loss["sha256"]:
            raise ValueError(f"{record.path} is damaged: the loss file in its spec.json is not the one it was written "
                             "with; start a new run")
    lossfile.check(sources, trusted, what=f"{record.path}",
                   where=f"its text is the source in {record.path / 'spec.json'}")
    if rates.OLD in spec["config"].get("train", {}):  # it was not converted
        raise ValueError(f"{record.path} cannot continue: it ends at the learning rate "
                         f"{spec['config']['train'][rates.OLD]}, which no ratio of its peak gives to the last bit; "
                         "start a new run instead")
    told = configuration.digest(configuration.identity(
        config, objective=spec["objective"], corpus=spec["corpus"]["digest"], weights=spec.get("start", ""),
        reference=spec.get("reference", "")))
    if told != record.condition:
        raise ValueError(f"{record.path} is damaged: its spec.json gives the condition {told} and says that it is "
                         f"{record.condition}; start a new run")
    files = {source.path: source.text for source in sources}
    allowed = [*trusted, *(source.sha256 for source in sources)]
    experiment = Experiment(config, files=files, trusted=allowed, trains=trains, tell=tell)
    if experiment.condition != record.condition:
        was, now = spec["corpus"]["digest"], experiment.corpus.digest
        why = (
            f"its corpus was {was} and is now {now}" if was != now
            else f"the weights in {config.start} are not those it began with"
            if spec.get("start") != (experiment.start.weights if experiment.start else None)
            else f"the weights in {config.data.curriculum_model}, whose nll orders its documents, are not those it "
            "began with"
            if spec.get("reference") != (experiment.reference.weights if experiment.reference else None)
            else "its loss, numerics or settings cannot be had here"
        )
        raise ValueError(f"{record.path} cannot continue: {why}; start a new run instead")
    return experiment


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """The lock on a folder of checkpoints, waited for."""
    deadline = time.monotonic() + WAIT_SECONDS
    with contextlib.ExitStack() as held:
        while True:
            try:
                held.enter_context(records.lock(folder, "training in"))
                break
            except records.StoreBusy:
                if time.monotonic() > deadline or processes.parent_is_gone():
                    raise
                time.sleep(0.5)
        yield


def _say(text) -> None:
    print(text, file=sys.stderr, flush=True)
