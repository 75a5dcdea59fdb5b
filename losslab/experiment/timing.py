"""How long a run takes: a few updates and a little evaluation, timed in separate processes, since they may run a loss
file; as many at once as are to train at once, because they share a machine."""

import contextlib
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from losslab import checkpoint, machine, optim, processes, trackers
from losslab import config as configuration
from losslab.evaluate.document_scores import nll
from losslab.evaluate.temperature import first_tokens, fit_temperature
from losslab.experiment.gauges import loss_cost
from losslab.experiment.plan import Experiment
from losslab.generate import generate
from losslab.model import initialized
from losslab.training_loop import train
from losslab.untrusted import one_line

FEWEST, MOST, SECONDS = 6, 200, 3.0  # updates that are timed, the first not counted; more of them up to these seconds
EVALUATED = 8_192  # tokens, on which evaluation is timed
WRITTEN = 20  # tokens of a sample
COMPARED = 2  # timings of the loss alone, of which a run makes more
FOUND = ("num_params", "start_seconds", "step_seconds", "fastest_seconds", "score_seconds", "judge_seconds",
         "fit_seconds", "write_seconds", "loss_seconds", "save_seconds", "save_all_seconds")


def measure(
    experiments: Sequence[Experiment], *, threads: int,
    place: Callable[[], AbstractContextManager[Mapping[str, str]]] = lambda: nullcontext({}),
) -> list[dict]:
    """What experiments take, timed at once: all of them share the machine while they are.

    Args:
        experiments: one process each.
        threads: CPU threads of each; 0 as the environment says.
        place: entered for each, as for a `Job`; gives variables for the environment of its process, such as which GPU.

    Returns:
        of each `num_params`; `start_seconds`, until it can train; `step_seconds` of an update, the mean, and
        `fastest_seconds`, of the fastest, which other programs disturb least; `score_seconds`,
        `judge_seconds` and `fit_seconds`, of a token of `tune` that is scored, of one of `val`, which is scored at two
        temperatures, and of one that the temperature is fitted on; `write_seconds`, of a token that it writes;
        `loss_seconds`, of timing the loss and cross-entropy once; `save_seconds` of a checkpoint, and
        `save_all_seconds` of one with the optimizer's state. As the process says that timed them.

    Raises:
        ValueError: where an experiment fails at its first updates.
    """
    with contextlib.ExitStack() as stack:
        folders = [stack.enter_context(processes.workplace()) for _ in experiments]
        started = [_start(experiment, folder, threads, stack.enter_context(place()))
                   for experiment, folder in zip(experiments, folders, strict=True)]
        try:
            while any(process.poll() is None for process in started):
                time.sleep(0.05)
        finally:
            for process in started:
                processes.end(process)
        return [_answer(folder) for folder in folders]


def _start(experiment: Experiment, folder: Path, threads: int, variables: Mapping[str, str]):
    sources = experiment.objective.sources
    request = json.dumps({"config": configuration.to_dict(experiment.config), "threads": threads, "began": time.time(),
                          "files": {source.path: source.text for source in sources},
                          "trusted": [source.sha256 for source in sources]})
    return processes.start(processes.ordinary("losslab.experiment.timing"), request, folder / "answer",
                           folder / "said", env=trackers.without_keys(processes.inherited())
                           | processes.thread_variables(threads) | variables)


def _answer(folder: Path) -> dict:
    try:
        found = json.loads((folder / "answer").read_bytes()[:10_000])
        told = {name: float(found[name]) for name in FOUND}
        if not all(math.isfinite(value) and value >= 0 for value in told.values()):
            raise ValueError
        return told | {"num_params": int(told["num_params"])}
    except (ValueError, TypeError, LookupError, OverflowError):
        said = (folder / "said").read_text("utf-8", "replace").strip().splitlines() or ["it said nothing"]
        raise ValueError(f"a first update could not be timed: {one_line(said[-1])}") from None


def main() -> int:
    request = json.loads(sys.stdin.buffer.readline())
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        machine.set_threads(request["threads"])
        config = configuration.from_dict(request["config"], source="the request")
        experiment = Experiment(config, files=request["files"], trusted=request["trusted"], trains=True)
        json.dump(_timed(experiment, request["began"]), answer)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    answer.close()
    return 0


def _timed(experiment: Experiment, began: float) -> dict:
    config, tokenizer = experiment.config, experiment.corpus.tokenizer
    model = initialized(config.model, tokenizer.vocab_size, 0, experiment.objective.transforms)
    if config.train.checkpoint_activations:
        model.recompute_blocks()
    model = model.to(config.train.device)
    batches = experiment.batches(seed=0, batch_size=config.train.batch_size)
    vocabulary = experiment.vocabulary.to(config.train.device)
    ready = time.time() - began
    steps: list[float] = []

    def enough(info) -> bool:
        steps.append(info.seconds)
        return len(steps) >= MOST or len(steps) >= FEWEST and info.seconds > SECONDS

    optimizer = optim.build(model, config.train)
    train(model, batches, experiment.objective, config.train, enough, optimizer=optimizer, vocabulary=vocabulary)
    each = [after - before for before, after in zip(steps, steps[1:], strict=False)] or steps
    documents = first_tokens(experiment.corpus.documents("tune"), tokenizer,
                             min(EVALUATED, config.evaluate.tune_tokens))
    tokens = sum(len(document.tokens) + document.ends for document in documents)
    options = {"batch_size": config.evaluate.batch_size, "seq_len": config.seq_len}
    nll(model, documents[:1], tokenizer, **options)  # not counted, as the first update
    score = _seconds(lambda: nll(model, documents, tokenizer, **options))
    judge = _seconds(lambda: nll(model, documents, tokenizer, temperature=1.1, **options))
    fit = _seconds(lambda: fit_temperature(model, documents, tokenizer, **options))
    write = _seconds(lambda: generate(model, tokenizer, "", num_tokens=WRITTEN, seed=0))
    loss = loss_cost(experiment, model, config.train.device, COMPARED)
    saved = [_save_seconds(model, tokenizer, of) for of in (None, optimizer)]
    return {"num_params": model.num_params, "start_seconds": ready, "step_seconds": sum(each) / len(each),
            "fastest_seconds": min(each), "score_seconds": score / max(1, tokens),
            "judge_seconds": judge / max(1, tokens), "fit_seconds": fit / max(1, tokens),
            "write_seconds": write / WRITTEN, "save_seconds": saved[0], "save_all_seconds": saved[1],
            "loss_seconds": loss["loss_seconds"] + loss["cross_entropy_seconds"]}


def _save_seconds(model, tokenizer, optimizer) -> float:
    with tempfile.TemporaryDirectory() as folder:
        return _seconds(lambda: checkpoint.save(Path(folder), model, tokenizer, step=1, tokens=1, seconds=0.0,
                                                optimizer=optimizer))


def _seconds(call) -> float:
    started = time.monotonic()
    call()
    return time.monotonic() - started
