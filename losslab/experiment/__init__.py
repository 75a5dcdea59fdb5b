"""Runs: check, train, measure, record. Everything that trains, whoever asks for it, comes through here.

Where the formula names a loss file, this process never executes it: a child tries it, another child trains, a third
one measures, and this process writes the result. Without loss files all of it can happen here.
"""

import subprocess
import time
from collections.abc import Callable, Collection
from contextlib import nullcontext
from pathlib import Path

import losslab
from losslab import machine, parallel, processes, records
from losslab.config import ExperimentConfig
from losslab.experiment import measuring
from losslab.experiment.job import Job
from losslab.experiment.plan import Experiment, Tell
from losslab.experiment.training import Training
from losslab.experiment.worker import from_folder
from losslab.records import Record

__all__ = ["Experiment", "Job", "Training", "environment", "from_folder", "resume", "run"]
POLL_SECONDS = 0.1


def run(
    experiment: Experiment | ExperimentConfig, folder: str | Path, *, threads: int = 0,
    on_line: Callable[[dict], None] = lambda line: None, tell: Tell = lambda text: None,
) -> Record:
    """Train from the newest whole checkpoint in `folder`, or from the start; measure; write it down.

    A run that is done is read back. One that was stopped resumes bit-identically.

    Args:
        experiment: what is asked; a configuration is checked first.
        folder: of the run.
        threads: CPU threads; 0 as the environment says.
        on_line: takes each line of the log as it is written.
        tell: takes sentences for people.
    """
    if isinstance(experiment, ExperimentConfig):
        experiment = Experiment(experiment, tell=tell)
    folder = Path(folder)
    threads = machine.set_threads(threads)
    device = parallel.join(experiment.config.train.device, {
        "losslab": losslab.__version__, "torch": machine.torch_version(), "the condition of the run":
        experiment.condition, "the seed": str(experiment.config.seed), "train.ranks": experiment.ranks})
    is_main = parallel.rank() == 0
    if is_main:  # the other ranks only compute
        records.create(folder, experiment.spec, environment(experiment, threads))
        if records.read(folder).status not in ("finished", "diverged") and (busy := machine.busy(threads or None)):
            tell(busy)
    parallel.barrier()
    if experiment.runs_files and not experiment.trains:
        _in_processes(Job(experiment, folder, threads=threads, tell=tell, on_line=on_line, on_said=tell))
    else:
        with records.lock(folder) if is_main else nullcontext():
            if records.read(folder).status not in ("finished", "diverged"):
                if is_main:
                    (folder / "result.json").unlink(missing_ok=True)  # a failed run gets another chance
                    records.update(folder, experiment.spec)  # what changes no run may be set anew
                _here(experiment, folder, device, on_line, tell if is_main else lambda text: None)
    return records.read(folder)


def _in_processes(job: Job) -> None:
    with processes.stop_requests() as asked_to_stop:
        try:
            while not job.advance():
                if asked_to_stop() and not job.asked_to_stop:
                    job.stop()
                time.sleep(POLL_SECONDS)
        finally:
            job.close()


def _here(experiment: Experiment, folder: Path, device: str, on_line, tell: Tell) -> None:
    """Train and measure in this process; under `torchrun` on every rank, and the first one measures and writes."""
    is_main = parallel.rank() == 0
    try:
        path, seconds = measuring.trained(experiment, folder), 0.0
        if path is None:
            started = time.monotonic()
            training = Training(experiment, folder, device, on_line=on_line, tell=tell)
            status = training.go()
            if status == "stopped" or not is_main:
                return
            seconds = training.seconds_before + time.monotonic() - started
            if status == "diverged":
                found = measuring.divergence(experiment, folder)
                tell(measuring.told(found))
                return records.write_result(folder, found)
            path = measuring.trained(experiment, folder)
        if not is_main:
            return
        tell("measuring")
        by = "torchrun" if parallel.world_size() > 1 else "here"
        measured = measuring.here(experiment, path, device)
        found = measuring.result(experiment, folder, path, measured, seconds=seconds, by=by)
        if found["status"] == "diverged":
            tell(measuring.told(found))
        records.write_result(folder, found)
    except ValueError as error:  # a full disk may be emptied; a broken loss stays broken
        if is_main:
            records.write_result(folder, {"status": "failed", "error": str(error)})
        raise


def resume(
    folder: str | Path, *, trust: Collection[str] = (), tell: Tell = lambda text: None, threads: int = 0, **options,
) -> Record:
    """Continue a run as its folder specifies it, loss files included.

    Args:
        folder: of the run.
        trust: hashes of loss files that may run though they are not in the user's list.

    Raises:
        ValueError: if a loss file of the run is not allowed, before anything of it is run; if the corpus or the code of
            a loss is no longer what the run began with.
    """
    record = records.read(folder)
    if record.status == "imported":
        raise ValueError(f"{folder} is an imported model, not a run that can continue; `losslab train --start "
                         f"{folder}` starts one from it")
    experiment = from_folder(record, trust, trains=False, tell=tell)
    return run(experiment, folder, tell=tell, threads=threads or record.environment.get("threads", 0), **options)


def environment(experiment: Experiment, threads: int) -> dict:
    """What a record says of the machine, the program and the time."""
    train = experiment.config.train
    shared = {"ranks": experiment.ranks} if parallel.world_size() > 1 else {}
    return {**machine.describe(train.device, train.dtype), **shared, "threads": threads, "losslab": losslab.__version__,
            "commit": _commit(), "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def _commit() -> str | None:
    """The commit of a source checkout; None for an installed package."""
    root = Path(losslab.__file__).parent.parent
    if not (root / ".git").exists():
        return None
    done = subprocess.run(["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True,
                          check=False)
    return done.stdout.strip() or None
