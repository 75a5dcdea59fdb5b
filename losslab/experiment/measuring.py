"""From trained weights to a result: what is asked of the evaluator, what is checked, and what is written down."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from losslab import checkpoint, processes, records
from losslab.evaluate.evaluator import measure_run
from losslab.experiment import fine_tuning
from losslab.experiment.plan import Experiment
from losslab.untrusted import one_line

ATTEMPTS = 3  # a process killed from outside is started again; one that keeps dying is not
COSTS = ("peak_memory_bytes", "loss_seconds", "cross_entropy_seconds", "loss_cost_ratio")
RANKS = "train/ranks"  # in the log: how many trained, on the first line after each start
MOST_BYTES = 50_000_000  # of an answer of the evaluator


class Refused(ValueError):
    """A checkpoint that is not what its specification asks for."""


def trained(experiment: Experiment, folder: Path) -> Path | None:
    """The last checkpoint of the run, if it is there and whole."""
    path = folder / "checkpoint" / f"step-{experiment.num_steps:08d}"
    try:
        if path.is_dir():
            checkpoint.verify(path)
            return path
    except checkpoint.Damaged:
        pass
    return None


def seconds_before(folder: Path) -> float:
    """Seconds of training that the newest whole checkpoint tells of; 0 where there is none."""
    try:
        return float(checkpoint.about(checkpoint.newest(folder / "checkpoint"))[0]["seconds"])
    except ValueError:
        return 0.0


def check_budget(experiment: Experiment, path: Path) -> None:
    """An error unless the checkpoint says that it is of this model, after these steps and tokens.

    The number of parameters is checked again where the weights are read: no other tensors are taken.
    """
    about, model = checkpoint.about(path)
    wanted = {"step": experiment.num_steps, "tokens": experiment.num_tokens,
              "vocab_size": experiment.corpus.tokenizer.vocab_size,
              "transform": experiment.objective.transform_text}
    for name, value in wanted.items():
        if about[name] != value:
            raise Refused(f"the checkpoint has {name} {about[name]!r}, and the specification asks for {value!r}; this "
                          "run is not counted")
    for name, value in asdict(replace(experiment.config.model, init_seed=None)).items():  # which is in no checkpoint
        if getattr(model, name) != value:
            raise Refused(f"the checkpoint's model has {name} {getattr(model, name)!r}, and the specification asks for "
                          f"{value!r}; this run is not counted")


def request(experiment: Experiment, path: Path) -> dict:
    """What the evaluator is told: all of it from the specification, but for the place of the weights."""
    config, corpus = experiment.config, experiment.corpus
    return {
        "weights": str((path / "model.safetensors").absolute()), "model": asdict(config.model),
        "vocab_size": corpus.tokenizer.vocab_size, "transform": experiment.objective.transform_text,
        "corpus": [corpus.name, str(corpus.folder.absolute()), corpus.meta["sum"]], "evaluate": asdict(config.evaluate),
        "seq_len": config.seq_len,
        "device": config.train.device,
        **({"also": also} if (also := fine_tuning.requests(experiment)) else {}),
    }


def here(experiment: Experiment, path: Path, device: str) -> dict:
    """Measure in this process, which has run no loss file."""
    return measure_run(request(experiment, path) | {"device": device})


def apart(
    experiment: Experiment, path: Path, *, threads: int, variables: Mapping[str, str] = {},
) -> Iterator[None]:
    """Measure in an isolated process; a generator that waits between its steps and returns what was measured.

    `variables` of the environment of that process are set so, such as which GPU it sees.

    Raises:
        Refused: with the sentence of the evaluator.
        OSError: if the process dies again and again.
    """
    asked = json.dumps(request(experiment, path) | ({"threads": threads} if threads else {}))
    why = ""
    for _ in range(ATTEMPTS):
        with processes.workplace() as place:
            out, err = place / "answer", place / "said"
            process = processes.start(processes.isolated("losslab.evaluate.__main__"), asked, out, err, cwd=place,
                                      env=processes.environment(threads, place, variables))
            try:
                while process.poll() is None:
                    yield
            finally:
                processes.end(process)
            said = one_line((err.read_text("utf-8", "replace").strip().splitlines() or ["it said nothing"])[-1])
            if process.returncode == 0:
                with open(out, "rb") as file:
                    return json.loads(file.read(MOST_BYTES))
        if process.returncode == 2:
            raise Refused(said)
        why = f"killed by signal {-process.returncode}" if process.returncode < 0 else said
    raise OSError(f"measuring was tried {ATTEMPTS} times and failed ({why}); the same command measures again")


def result(experiment: Experiment, folder: Path, path: Path, measured: dict, *, seconds: float, by: str) -> dict:
    """The result of a run that was trained and measured.

    Args:
        seconds: of training, by the clock of the process that waited for it.
        by: who measured.
    """
    logged = numbers(records.read(folder).log, "cost/")
    cost = {name: logged[name] for name in COSTS if name in logged}
    skipped = {"skipped_steps": skipped_steps(experiment, folder)} if experiment.config.train.skip_spikes else {}
    if experiment.config.train.dtype == "float16":
        skipped["overflowed_steps"] = _steps(experiment, folder, "overflowed_steps")
    counts = ranks_in(records.read(folder).log)
    ranks = {"ranks": counts} if counts and counts != [1] else {}
    cost |= {"train_seconds": seconds, "tokens_per_second": experiment.num_tokens / max(seconds, 1e-9)}
    status = "diverged" if "diverged" in measured else "finished"
    found = {key: value for key, value in measured.items() if key not in ("diverged", "also")}
    found |= fine_tuning.found(experiment, measured)
    if status == "diverged":
        found["diverged"] = {"step": experiment.num_steps, "value": measured["diverged"]}
    return {"status": status, "num_steps": experiment.num_steps, "step": experiment.num_steps,
            "tokens": experiment.num_tokens, **ranks, **skipped, **found, "cost": cost, "checkpoint": path.name,
            "measured_by": by}


def ranks_in(lines: list[dict]) -> list[int]:
    """How many ranks trained, by the log of a run that may have been stopped and continued with others."""
    found = (line.get(RANKS) for line in lines)
    return list(dict.fromkeys(int(count) for count in found if type(count) in (int, float) and 1 <= count < 2**20))


def skipped_steps(experiment: Experiment, folder: Path) -> int:
    """How many updates were left out as spikes, by the log."""
    return _steps(experiment, folder, "skipped_steps")


def _steps(experiment: Experiment, folder: Path, name: str) -> int:
    found = numbers(records.read(folder).log, "train/").get(name, 0)
    return min(experiment.num_steps, max(0, int(found))) if math.isfinite(found) else 0


def divergence(experiment: Experiment, folder: Path) -> dict | None:
    """The result of a run whose log ends with a divergence; None where it does not."""
    lines = records.read(folder).log
    found = numbers(lines[-1:], "diverged/")
    if not found:
        return None
    step, tokens = lines[-1]["step"], lines[-1]["tokens"]
    about = {"step": step, "value": str(found.get("objective")), "grad_norm": str(found.get("grad_norm")),
             "previous": found.get("previous")}
    return {"status": "diverged", "num_steps": experiment.num_steps, "step": step, "tokens": tokens, "diverged": about}


def told(result: dict) -> str:
    """A divergence as a sentence."""
    found = result["diverged"]
    if "grad_norm" not in found:
        return f"diverged: {found['value']}; recorded"
    return (f"diverged at step {found['step']}: objective is {found['value']}, the norm of its gradient "
            f"{found['grad_norm']} (objective {found['previous']} at the step before); recorded")


def numbers(lines: list[dict], prefix: str) -> dict[str, float]:
    """What the log says under `prefix`, numbers alone; the last line counts."""
    found = {}
    for line in lines:
        found |= {key.removeprefix(prefix): value for key, value in line.items()
                  if key.startswith(prefix) and type(value) in (int, float)}
    return found
