"""How long an update takes: a few of them, timed in a separate process, since they may run a loss file."""

import json
import os
import sys
import time

from losslab import config as configuration
from losslab import machine, processes
from losslab.experiment.plan import Experiment
from losslab.model import initialized
from losslab.training_loop import train
from losslab.untrusted import one_line

UPDATES = 6  # the first is not counted


def measure(experiment: Experiment, *, threads: int, updates: int = UPDATES) -> dict:
    """`num_params`, `seconds_per_step` and the `fastest` of the timed updates, as the process that timed them says."""
    sources = experiment.objective.sources
    request = json.dumps({"config": configuration.to_dict(experiment.config), "threads": threads, "updates": updates,
                          "files": {source.path: source.text for source in sources},
                          "trusted": [source.sha256 for source in sources]})
    with processes.workplace() as place:
        process = processes.start(processes.ordinary("losslab.experiment.timing"), request, place / "answer",
                                  place / "said", env=os.environ | processes.thread_variables(threads))
        try:
            while process.poll() is None:
                time.sleep(0.05)
        finally:
            processes.end(process)
        try:
            found = json.loads((place / "answer").read_bytes()[:10_000])
            return {"num_params": int(found["num_params"]), "seconds_per_step": float(found["seconds_per_step"]),
                    "fastest": float(found["fastest"])}
        except (ValueError, TypeError, LookupError, OverflowError):
            said = (place / "said").read_text("utf-8", "replace").strip().splitlines() or ["it said nothing"]
            raise ValueError(f"a first update could not be timed: {one_line(said[-1])}") from None


def main() -> int:
    request = json.loads(sys.stdin.buffer.readline())
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        machine.set_threads(request["threads"])
        config = configuration.from_dict(request["config"], source="the request")
        experiment = Experiment(config, files=request["files"], trusted=request["trusted"], trains=True)
        json.dump(_timed(experiment, request["updates"]), answer)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    answer.close()
    return 0


def _timed(experiment: Experiment, updates: int) -> dict:
    config, tokenizer = experiment.config, experiment.corpus.tokenizer
    model = initialized(config.model, tokenizer.vocab_size, 0, experiment.objective.transforms)
    model = model.to(config.train.device)
    batches = experiment.corpus.batches("train", seed=0, batch_size=config.train.batch_size,
                                        seq_len=config.seq_len)
    steps: list[float] = []
    train(model, batches, experiment.objective, config.train,
          lambda info: steps.append(info.seconds) or len(steps) >= updates,
          vocabulary=experiment.vocabulary.to(config.train.device))
    each = [after - before for before, after in zip(steps, steps[1:], strict=False)] or steps
    return {"num_params": model.num_params, "seconds_per_step": sum(each) / len(each), "fastest": min(each)}
