"""The one door: build, train, evaluate, record."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

import losslab
from losslab import checkpoint, machine, optim, records, start
from losslab import config as configuration
from losslab.config import ExperimentConfig
from losslab.corpus import Corpus
from losslab.corpus.progress import as_lines
from losslab.evaluate import tasks
from losslab.evaluate.nll import nll
from losslab.evaluate.ruler import first_tokens, measure
from losslab.fused import linear_loss
from losslab.generate import generate
from losslab.model import GPT2
from losslab.objective import Objective
from losslab.records import Record
from losslab.train import Diverged, StepInfo, train

Tell = Callable[[str], None]


class Vocabulary(Mapping):
    """The vocabulary vectors of a corpus on one device, each built when a loss first asks for it."""

    def __init__(self, build: Mapping[str, Callable[[], np.ndarray]], device: str = "cpu"):
        self._build, self._device = build, device
        self._built: dict[str, torch.Tensor] = {}

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self._built:
            vector = torch.as_tensor(self._build[name]())
            vector = vector.float() if vector.is_floating_point() else vector
            self._built[name] = vector.to(self._device)
        return self._built[name]

    def __contains__(self, name) -> bool:
        return name in self._build

    def __iter__(self):
        return iter(self._build)

    def __len__(self) -> int:
        return len(self._build)

    def to(self, device: str) -> "Vocabulary":
        return Vocabulary({name: partial(self.__getitem__, name) for name in self}, device)


class Experiment:
    """One configuration and one seed, checked before anything is spent on it."""

    def __init__(
        self, config: ExperimentConfig, *, files: dict[str, str] | None = None, corpus: Corpus | None = None,
        tell: Tell = lambda text: None,
    ):
        device = machine.resolve_device(config.train.device)
        numerics = replace(config.train, device=device, dtype=machine.resolve_dtype(config.train.dtype, device))
        self.start = start.read(config.start) if config.start else None
        config = self.start.settle(config) if self.start else config
        self.objective = self.start.objective(config.loss, files) if self.start else Objective.parse(config.loss, files)
        self.config = replace(config, loss=str(self.objective), train=numerics)  # one spelling of a formula
        tokenizer = self.start.tokenizer if self.start else None
        self.corpus = corpus or Corpus.open(config.data, tokenizer=tokenizer, progress=as_lines(tell))
        self.corpus.check(config.model.max_seq_len)
        self.vocabulary = Vocabulary(self.corpus.vocabulary())
        self.objective.check(self.corpus.tokenizer.vocab_size, self.vocabulary)
        self.num_steps = config.num_steps
        for name in config.evaluate.task_names:
            tasks.check(name)

    @property
    def condition(self) -> str:
        """Names everything but the seed: what replicates share, and what is never mixed."""
        settings = self._settings
        del settings["seed"], settings["data"]["corpus"]  # a corpus is its digest, wherever it lies
        if self.start:  # and so are weights
            settings["start"] = self.start.weights
        settings |= {"loss": self.objective.explicit, "corpus": self.corpus.digest, "format": 1}  # of the settings
        for name in configuration.LOOKS:
            del settings["evaluate"][name]
        settings["train"] |= {"num_tokens": 0, "num_steps": self.num_steps}  # one horizon, however it was given
        return configuration.digest(settings)

    @property
    def _settings(self) -> dict:
        settings = configuration.to_dict(self.config)
        if not self.start:  # as it was written before there was a choice
            del settings["start"]
        return settings

    @property
    def spec(self) -> dict:
        about = self.corpus.describe()
        return {
            "version": losslab.__version__,
            "condition": self.condition,
            "config": self._settings,
            "objective": self.objective.explicit,
            "losses": [{"path": s.path, "sha256": s.sha256, "source": s.text} for s in self.objective.sources],
            "corpus": {name: value for name, value in about.items() if name not in ("sample", "folder")},
            **({"start": self.start.weights} if self.start else {}),
        }

    def folder(self, store: str | Path) -> Path:
        """Where this run lies in a store."""
        slug = re.sub(r"[^A-Za-z0-9.]+", "-", str(self.objective)).strip("-")[:40]
        return Path(store) / f"{slug}-{self.condition}-seed{self.config.seed}"

    def run(self, folder: str | Path, *, threads: int = 0, on_line: Callable[[dict], None] = lambda line: None,
            tell: Tell = lambda text: None) -> Record:
        """Train from the newest whole checkpoint in `folder`, or from the start; evaluate; write it down.

        A run that is done is read back. One that was stopped goes on, and ends in the same bytes as if it had not been.
        """
        machine.set_threads(threads)
        device = machine.join_ranks(self.config.train.device)
        environment = {**machine.describe(device, self.config.train.dtype), "losslab": losslab.__version__,
                       "commit": _commit()}
        is_main = machine.rank() == 0
        if is_main:  # the other ranks only compute
            records.create(folder, self.spec, environment)
        machine.barrier()
        with records.lock(folder) if is_main else nullcontext():
            if records.read(folder).status not in ("finished", "diverged"):
                _Run(self, Path(folder), device, on_line, tell if is_main else _silent).go()
        return records.read(folder)


def _silent(text: str) -> None: ...


class _Run:
    """The life of one run folder in one process."""

    def __init__(self, experiment: Experiment, folder: Path, device: str, on_line, tell: Tell):
        self.experiment, self.folder, self.device, self.on_line, self.tell = experiment, folder, device, on_line, tell
        self.config, self.corpus, self.objective = experiment.config, experiment.corpus, experiment.objective
        config, tokenizer = self.config, self.corpus.tokenizer
        self.is_main = machine.rank() == 0
        restored = None
        if checkpoint.steps(folder / "checkpoint"):
            try:
                restored = checkpoint.load(checkpoint.newest(folder / "checkpoint", warn=tell), device=device)
            except checkpoint.Damaged:
                tell("no checkpoint of this run is whole; starting it over")
        if restored is None:
            transform = self.objective.transform_text
            self.model = GPT2.initialized(config.model, tokenizer.vocab_size, config.seed, transform)
            if experiment.start:
                experiment.start.load_into(self.model)
            self.model = self.model.to(device)
        else:
            self.model = restored.model
        self.optimizer = optim.adamw(self.model, config.train)
        self.step = restored.step if restored else 0
        self.tokens = restored.tokens if restored else 0
        self.seconds_before = restored.seconds if restored else 0.0
        if restored and self.step < experiment.num_steps:
            checkpoint.restore_optimizer(restored.path, self.model, self.optimizer)
            tell(f"going on from step {self.step} of {experiment.num_steps}")
        tell(
            f"{self.objective}, seed {config.seed}: {self.model.num_params:,} parameters, {experiment.num_steps:,} "
            f"steps of {config.tokens_per_step:,} tokens, {self.corpus.name} in {tokenizer.name}, {device} "
            f"{config.train.dtype}"
        )
        self.log = records.Log(folder, step=self.step) if self.is_main else None
        self.tune = first_tokens(self.corpus.documents("tune"), tokenizer, config.evaluate.tune_tokens)
        self.vocabulary = experiment.vocabulary.to(device)
        self.task_names = config.evaluate.task_names

    def go(self) -> None:
        config = self.config
        batches = self.corpus.batches(
            "train", seed=config.seed, batch_size=config.train.batch_size, seq_len=config.model.max_seq_len,
            rank=machine.rank(), world=machine.world_size(),
        )
        try:
            with machine.stop_requests() as self.asked_to_stop:
                outcome = train(
                    self.model, batches, self.objective, config.train, self.on_step, seed=config.seed,
                    start_step=self.step, start_tokens=self.tokens, optimizer=self.optimizer,
                    vocabulary=self.vocabulary,
                )
            if isinstance(outcome, Diverged):
                what = f"objective is {outcome.objective}, the norm of its gradient {outcome.grad_norm}"
                self.tell(f"diverged at step {outcome.step}: {what} (objective {outcome.previous} at the step before); "
                          "recorded")
                found = {"step": outcome.step, "value": str(outcome.objective), "grad_norm": str(outcome.grad_norm),
                         "previous": outcome.previous}
                self.finish("diverged", step=outcome.step, tokens=outcome.tokens, diverged=found)
            elif not outcome.stopped and self.is_main:
                path = self.save(outcome.step, outcome.tokens, outcome.seconds, with_optimizer=False)
                self.finish("finished", step=outcome.step, tokens=outcome.tokens, **self.measurements(path, outcome))
        except (ValueError, OSError) as error:
            if not isinstance(error, OSError):  # a full disk may be emptied; a broken loss stays broken
                self.finish("failed", step=self.step, tokens=self.tokens, error=str(error))
            raise

    def on_step(self, info: StepInfo) -> bool:
        config = self.config
        # agreed on by all ranks, or one of them would wait for the others forever
        stop = machine.any_rank(self.asked_to_stop(), self.device) and not info.is_last
        if info.nll is not None:
            if info.step == 1 and not self.experiment.start:
                self.check_first(info.nll)
            observed = {f"train/{name}": value for name, value in info.observed.items()}
            self.line(info, **{"train/objective": info.objective, **observed,
                               "learning_rate": info.learning_rate, "grad_norm": info.grad_norm})
        if self.is_main and (info.step % config.evaluate_every == 0 or info.is_last):
            scores = nll(self.model, self.tune, self.corpus.tokenizer, batch_size=config.evaluate.batch_size)
            self.line(info, **{"tune/nll": scores["nll"].value, "tune/bits_per_byte": scores["bits_per_byte"].value})
        if self.task_names and info.step % config.evaluate.tasks_every == 0:
            self.run_tasks(info)
        every = config.train.checkpoint_every
        if stop or (every and info.step % every == 0 and not info.is_last):
            self.save(info.step, info.tokens, info.seconds)
        if stop:
            again = f"losslab train --resume {self.folder}"
            self.tell(f"stopped at step {info.step} of {info.num_steps}; `{again}` goes on")
        return stop

    def run_tasks(self, info: StepInfo) -> None:
        """Scores of the tasks that are looked at while training; one that cannot be run is said once and left out.

        Every rank takes part, since tasks share their items over ranks.
        """
        rules = self.config.evaluate
        settings = tasks.Settings(
            benchmarks=Path(rules.benchmarks) if rules.benchmarks else None, limit=rules.tasks_limit,
            progress=self.tell, data=self.config.data, evaluate=rules, split="tune",
        )
        for name in list(self.task_names):
            try:
                scores = tasks.run(name, self.model, self.corpus.tokenizer, settings).scores
                self.line(info, **{f"task/{name}/{key}": score.value for key, score in scores.items()})
            except (ValueError, OSError, ModuleNotFoundError) as error:
                self.tell(f"the task {name} is left out of this run: {error}")
                self.task_names.remove(name)
            finally:
                self.model.train()  # an error may have left it in evaluation

    def line(self, info: StepInfo, **values) -> None:
        line = {"step": info.step, "tokens": info.tokens, "seconds": self.seconds_before + info.seconds, **values}
        if self.is_main:
            self.log.write(**line)
            self.on_line({**line, "num_steps": info.num_steps})

    def check_first(self, value: float) -> None:
        expected = torch.tensor(float(self.corpus.tokenizer.vocab_size)).log().item()
        if abs(value / expected - 1) > 0.02:
            self.tell(
                f"the untrained model's nll is {value:.4f}, not ln V = {expected:.4f} within 2 %: its initial logits "
                "are not near zero, or batches and vocabulary do not belong together"
            )

    def save(self, step: int, tokens: int, seconds: float, *, with_optimizer: bool = True) -> Path:
        if not self.is_main:
            return self.folder
        return checkpoint.save(
            self.folder / "checkpoint", self.model, self.corpus.tokenizer, step=step, tokens=tokens,
            seconds=self.seconds_before + seconds, optimizer=self.optimizer if with_optimizer else None,
        )

    def measurements(self, path: Path, outcome) -> dict:
        """Scores of the saved weights, the cost, and samples."""
        seconds = self.seconds_before + outcome.seconds
        peak = machine.peak_memory_bytes(self.device)  # before evaluation adds to it
        cost = {"train_seconds": seconds, "tokens_per_second": outcome.tokens / max(seconds, 1e-9),
                "peak_memory_bytes": peak, **self.loss_cost()}
        self.tell("measuring")
        measured = self.measure_apart(path) if self.objective.sources else measure(
            path, self.config.data, self.config.evaluate, device=self.device, partial=self.folder
        )
        saved = checkpoint.load(path, device=self.device)
        samples = []
        for index in range(self.config.evaluate.num_samples):
            prompt = self.prompt(index)
            text = generate(saved.model, saved.tokenizer, prompt, num_tokens=self.config.evaluate.sample_tokens,
                            seed=index)
            samples.append({"prompt": prompt, "text": text})
        model = {"num_params": self.model.num_params, "num_params_non_embedding": self.model.num_params_non_embedding}
        return {**measured, "cost": cost, "samples": samples, "model": model, "checkpoint": path.name}

    def measure_apart(self, path: Path) -> dict:
        """The ruler in a fresh process: code of a loss file cannot reach it."""
        request = {"checkpoint": str(path), "data": configuration.to_dict(self.config.data),
                   "evaluate": configuration.to_dict(self.config.evaluate), "device": self.device,
                   "partial": str(self.folder)}
        done = subprocess.run([sys.executable, "-m", "losslab.evaluate"], input=json.dumps(request),
                              capture_output=True, text=True, check=False)
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
            raise OSError(f"the evaluation process of {self.folder} failed: {last[0]}; call again to go on from there")
        return json.loads(done.stdout)

    def prompt(self, index: int) -> str:
        """Nothing where documents have beginnings; otherwise some words of the validation text."""
        documents = self.corpus.documents("val")
        if documents[0].ends:
            return ""
        words = self.corpus.tokenizer.decode(documents[0].tokens[200 * index : 200 * index + 200]).split(" ")
        return " ".join(words[1:6])

    def loss_cost(self, repetitions: int = 9) -> dict:
        """Seconds that the objective takes from hidden states to their gradients, beside cross-entropy's.

        The best of several, in turns: what other processes take from this one only ever adds.
        """
        config, head, vocabulary = self.config, self.model.lm_head, self.vocabulary
        plain = Objective.parse("cross_entropy")
        batch = self.corpus.batches("train", seed=0, batch_size=config.train.micro_batch_size or
                                    config.train.batch_size, seq_len=config.model.max_seq_len)(0)
        tokens, targets = (torch.as_tensor(part).to(self.device) for part in batch)
        with torch.no_grad(), machine.autocast(self.device, config.train.dtype):
            hidden = self.model(tokens)
        hidden.requires_grad_()
        times: dict[str, list[float]] = {"loss_seconds": [], "cross_entropy_seconds": []}
        for _ in range(repetitions + 1):  # interleaved; the first round warms up
            for name, objective in (("loss_seconds", self.objective), ("cross_entropy_seconds", plain)):
                started = time.perf_counter()
                with machine.autocast(self.device, config.train.dtype):
                    total = linear_loss(hidden, head, targets, objective, vocabulary=vocabulary).total
                torch.autograd.grad(total, [hidden, head])
                if self.device.startswith("cuda"):
                    torch.cuda.synchronize()
                times[name].append(time.perf_counter() - started)
        best = {name: min(values[1:]) for name, values in times.items()}
        return {**best, "loss_cost_ratio": best["loss_seconds"] / best["cross_entropy_seconds"]}

    def finish(self, status: str, **values) -> None:
        if self.is_main:
            result = {"status": status, "num_steps": self.experiment.num_steps, **values}
            records.write_result(self.folder, result)


def run(config: ExperimentConfig, folder: str | Path, **options) -> Record:
    """One experiment into one folder; see `Experiment` and `Experiment.run`."""
    return Experiment(config).run(folder, **options)


def resume(folder: str | Path, *, tell: Tell = lambda text: None, threads: int = 0, **options) -> Record:
    """Go on with a run from what its folder says, loss files included.

    Raises:
        ValueError: if the corpus or the code of a loss is no longer what the run began with.
    """
    record = records.read(folder)
    if record.status == "imported":
        raise ValueError(f"{folder} is an imported model, not a run to go on with; `losslab train --start {folder}` "
                         "starts one from it")
    files = {loss["path"]: loss["source"] for loss in record.spec["losses"]}
    experiment = Experiment(record.config, files=files, tell=tell)
    if experiment.condition != record.condition:
        was, now = record.spec["corpus"]["digest"], experiment.corpus.digest
        why = (
            f"its corpus was {was} and is now {now}" if was != now
            else f"the weights in {record.config.start} are not those it began with"
            if record.spec.get("start") != experiment.spec.get("start")
            else "its numerics or settings cannot be had here"
        )
        raise ValueError(f"{folder} cannot go on: {why}; start a new run instead")
    return experiment.run(folder, tell=tell, threads=threads or record.environment.get("threads", 0), **options)


def _commit() -> str | None:
    """The commit of a source checkout; None for an installed package."""
    root = Path(losslab.__file__).parent.parent
    if not (root / ".git").exists():
        return None
    done = subprocess.run(["git", "-C", str(root), "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True,
                          check=False)
    return done.stdout.strip() or None


def main(arguments: list[str] | None = None) -> int:
    """A study's worker: run the folder that is named, with the threads that are named."""
    folder, threads = arguments or sys.argv[1:]
    try:
        record = resume(folder, threads=int(threads))
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return {"finished": 0, "diverged": 4}.get(record.status, 5)


if __name__ == "__main__":
    sys.exit(main())
