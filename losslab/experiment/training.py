"""What happens in the process that trains: from the newest whole checkpoint to the last one, with a log.

It leaves a checkpoint and a log, and nothing else that is believed.
"""

from collections.abc import Callable
from pathlib import Path

import torch

from losslab import checkpoint, machine, optim, parallel, processes, records, signals
from losslab.evaluate import tasks
from losslab.evaluate.document_scores import nll
from losslab.evaluate.temperature import first_tokens
from losslab.experiment.alike import check_alike
from losslab.experiment.gauges import frequency_nll, logit_scale, loss_cost
from losslab.experiment.measuring import RANKS
from losslab.experiment.plan import Experiment, Tell
from losslab.model import initialized
from losslab.progress import Lines
from losslab.training_loop import Diverged, StepInfo, over_ranks, train

SKIPPED = "train/skipped_steps"  # so far
OVERFLOWS, SCALE = "train/overflowed_steps", "train/gradient_scale"  # of float16: updates left out so far, the factor


class Training:
    """The training of one run folder.

    Args:
        experiment: with an `Objective`, so loss files of it were executed.
        on_line: takes each line of the log.
        is_alone: asked after each step, whether nobody waits for this training any more.
    """

    def __init__(
        self, experiment: Experiment, folder: Path, device: str, *, on_line: Callable[[dict], None] = lambda line: None,
        tell: Tell = lambda text: None, is_alone: Callable[[], bool] = lambda: False,
    ):
        self.experiment, self.folder, self.device, self.on_line, self.tell = experiment, folder, device, on_line, tell
        self.is_alone = is_alone
        self.config, self.corpus, self.objective = experiment.config, experiment.corpus, experiment.objective
        config, tokenizer = self.config, self.corpus.tokenizer
        self.is_main = parallel.rank() == 0
        restored = None
        if checkpoint.steps(folder / "checkpoint"):
            try:
                restored = checkpoint.load(checkpoint.newest(folder / "checkpoint", warn=tell))
            except checkpoint.Damaged:
                tell("no checkpoint of this run is whole; starting it over")
        check_alike(restored, folder, device)
        if restored is None:
            transforms = self.objective.transforms
            self.model = initialized(config.model, tokenizer.vocab_size, config.init_seed, transforms)
            if experiment.start:
                experiment.start.load_into(self.model)
        else:
            self.model = restored.model
        if config.train.checkpoint_activations:
            self.model.recompute_blocks()
        self.spread = over_ranks(self.model, experiment.ranks, device)
        self.optimizer = optim.build(self.model, config.train)
        self.scaler = optim.Scaler(config.train.dtype)
        self.step = restored.step if restored else 0
        self.tokens = restored.tokens if restored else 0
        self.seconds_before = restored.seconds if restored else 0.0
        if restored and self.step < experiment.num_steps:
            checkpoint.restore_optimizer(restored.path, self.model, self.optimizer)
            self.scaler.state = restored.scaler
            tell(f"continuing from step {self.step} of {experiment.num_steps}")
        threads = torch.get_num_threads()
        ranks = f"{parallel.world_size()} ranks ({self.spread.way}), " if parallel.world_size() > 1 else ""
        tell(
            f"{self.objective}, seed {config.seed}: {self.model.num_params:,} parameters, {experiment.num_steps:,} "
            f"steps of {config.tokens_per_step:,} tokens, {self.corpus.name} in {tokenizer.name}, {device} "
            f"{config.train.dtype}, {ranks}{threads} thread{'s' * (threads > 1)}; "
            f"{signals.tokens_per_parameter(experiment.num_tokens, self.model.num_params)}"
        )
        if parallel.world_size() > 1 and not self.objective.scored_alone:
            tell(f"{self.objective} reads several tokens at once: where they are of several sequences, the number "
                 "of ranks changes it as train.micro_batch_size does")
        self.log = records.Log(folder, step=self.step) if self.is_main else None
        self.tune = first_tokens(self.corpus.documents("tune"), tokenizer, config.evaluate.tune_tokens)
        self.detector = signals.Detector(
            experiment.num_steps, tokenizer.vocab_size, config.train.log_every,
            frequencies=frequency_nll(self.tune, tokenizer.vocab_size), window=restored.window if restored else (),
        )
        self.peak = machine.product_peak(device, config.train.dtype, threads) if self.is_main else 0.0
        self.skipped = restored.skipped or 0 if restored else 0  # updates
        if self.is_main and self.step:
            log = records.read(folder).log
            self.detector.replay(log)
            if restored.skipped is None:  # an earlier losslab wrote it
                self.skipped = int(next((line[SKIPPED] for line in reversed(log) if SKIPPED in line), 0))
        self.told_ranks = False
        self.vocabulary = experiment.vocabulary.to(device)
        self.task_names = config.evaluate.task_names

    def go(self) -> str:
        """Train to the end, or to where it is asked to stop: `finished`, `diverged` or `stopped`."""
        config = self.config
        batches = self.experiment.batches(rank=parallel.rank(), world=parallel.world_size())
        with processes.stop_requests() as asked:
            self.asked_to_stop = lambda: asked() or self.is_alone()
            outcome = train(
                self.spread, batches, self.objective, config.train, self.on_step, seed=config.seed,
                start_step=self.step, start_tokens=self.tokens, optimizer=self.optimizer, vocabulary=self.vocabulary,
                scaler=self.scaler, **({"skip": self.detector.spikes.far_out} if config.train.skip_spikes else {}),
            )
        if isinstance(outcome, Diverged):
            self.write(outcome, **{"diverged/objective": outcome.objective, "diverged/grad_norm": outcome.grad_norm,
                                   **({} if outcome.previous is None else {"diverged/previous": outcome.previous})})
            return "diverged"
        if outcome.stopped:
            return "stopped"
        peak, model = machine.peak_memory_bytes(self.device), self.spread.whole()
        if self.is_main:  # the peak first: the cost of the loss adds to it
            self.write(outcome, **{"cost/peak_memory_bytes": peak,
                                   **{f"cost/{name}": value for name, value in self.loss_cost(model).items()}})
        # last of all: from here on the run is trained
        self.save(outcome.step, outcome.tokens, outcome.seconds, with_optimizer=False)
        return "finished"

    def loss_cost(self, model) -> dict[str, float]:
        """As the function; nothing where it takes more memory than is left, since no weights are saved yet."""
        try:
            return loss_cost(self.experiment, model, self.device)
        except torch.OutOfMemoryError:
            self.tell("the cost of the loss is left out: timing it takes more memory than is left")
            return {}

    def on_step(self, info: StepInfo) -> bool:
        config = self.config
        # agreed on by all ranks, or one of them would wait for the others forever
        stop = parallel.any(self.asked_to_stop(), self.device) and not info.is_last
        if not info.overflowed:  # which float16 does now and then, and has no norm
            self.tell_signs(info, self.detector.step(info.step, info.objective, info.grad_norm))
        self.skipped += info.skipped and not info.overflowed
        if info.nll is not None:
            self.detector.batch(info.step, info.nll)
            if info.step == 1 and not self.experiment.start:
                self.check_first(info.nll)
            observed = {f"train/{name}": value for name, value in info.observed.items()}
            self.line(info, **{"train/objective": info.objective, **observed,
                               "learning_rate": info.learning_rate, "grad_norm": info.grad_norm,
                               **self.speed(info),
                               **({SKIPPED: self.skipped} if config.train.skip_spikes else {}),
                               **({OVERFLOWS: self.scaler.skipped, SCALE: self.scaler.scale}
                                  if self.scaler.is_used else {}),
                               **({} if self.told_ranks else {RANKS: parallel.world_size()})})
            self.told_ranks = True
        looks = info.step % config.evaluate_every == 0 or info.is_last
        model = self.spread.whole() if looks else self.model  # every rank takes part
        if self.is_main and looks:
            scores = nll(model, self.tune, self.corpus.tokenizer, batch_size=config.evaluate.batch_size,
                         seq_len=config.seq_len)
            deviation, largest = logit_scale(model, self.tune, config.seq_len)
            self.line(info, **{"tune/nll": scores["nll"].value, "tune/bits_per_byte": scores["bits_per_byte"].value,
                               signals.DEVIATION: deviation, signals.LARGEST: largest})
            self.tell_signs(info, self.detector.look(info.step, tune_nll=scores["nll"].value, deviation=deviation,
                                                     largest=largest))
        if self.task_names and info.step % config.evaluate.tasks_every == 0:
            self.run_tasks(info)
        every = config.train.checkpoint_every
        if stop or (every and info.step % every == 0 and not info.is_last):
            self.save(info.step, info.tokens, info.seconds)
        if stop:
            again = f"losslab train --resume {self.folder}"
            self.tell(f"stopped at step {info.step} of {info.num_steps}; `{again}` continues")
        return stop

    def run_tasks(self, info: StepInfo) -> None:
        """Scores of the tasks that are run while training; one that cannot be run is reported once and left out.

        Every rank takes part, since tasks share their items over ranks; what one of them cannot run is left out by all.
        """
        rules = self.config.evaluate
        settings = tasks.Settings(
            benchmarks=Path(rules.benchmarks) if rules.benchmarks else None, limit=rules.tasks_limit,
            progress=Lines(self.tell), data=self.config.data, evaluate=rules, split="tune",
            seq_len=self.config.seq_len,
        )
        model = self.spread.whole()
        for name in list(self.task_names):
            try:
                scores = tasks.run(name, model, self.corpus.tokenizer, settings).scores
            except (ValueError, OSError, ModuleNotFoundError) as error:
                self.tell(f"the task {name} is left out of this run: {error}")
                self.task_names.remove(name)
            else:  # a log that cannot be written is no matter of a task, and of the first rank alone
                self.line(info, **{f"task/{name}/{key}": score.value for key, score in scores.items()})
            finally:
                self.model.train()  # an error may have left it in evaluation

    def speed(self, info: StepInfo) -> dict[str, float]:
        """The share of the peak of a matrix product here that the model's own products reach, over this process."""
        flops = self.config.model.token_flops(self.corpus.tokenizer.vocab_size, self.config.seq_len)
        rate = (info.tokens - self.tokens) / max(info.seconds, 1e-9)
        return {signals.UTILIZATION: rate * flops / (self.peak * parallel.world_size())} if self.peak else {}

    def tell_signs(self, info: StepInfo, found: list[signals.Event]) -> None:
        for event in found:
            self.line(info, **event.numbers)

    def line(self, info: StepInfo, **values) -> None:
        line = self.write(info, **values)
        if line:
            self.on_line({**line, "num_steps": info.num_steps})

    def write(self, at, **values) -> dict | None:
        """One line of the log about `at`, which has a step, tokens and seconds; on the first rank alone."""
        if not self.is_main:
            return None
        line = {"step": at.step, "tokens": at.tokens, "seconds": self.seconds_before + at.seconds, **values}
        self.log.write(**line)
        return line

    def check_first(self, value: float) -> None:
        expected = torch.tensor(float(self.corpus.tokenizer.vocab_size)).log().item()
        if abs(value / expected - 1) > 0.02:
            self.tell(
                f"the untrained model's nll is {value:.4f}, not ln V = {expected:.4f} within 2 %: its initial logits "
                "are not near zero, or batches and vocabulary do not belong together"
            )

    def save(self, step: int, tokens: int, seconds: float, *, with_optimizer: bool = True) -> Path:
        if not self.is_main and not self.spread.is_sharded:
            return self.folder
        return checkpoint.save(
            self.folder / "checkpoint", self.model, self.corpus.tokenizer, step=step, tokens=tokens,
            seconds=self.seconds_before + seconds, optimizer=self.optimizer if with_optimizer else None,
            window=self.detector.window if with_optimizer else (),
            scaler=self.scaler.state if with_optimizer else {},
            skipped=self.skipped if with_optimizer and self.config.train.skip_spikes else None,
        )
