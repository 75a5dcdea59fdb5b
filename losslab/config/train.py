"""The settings of training: horizon, batch, optimizer and schedule."""

import re
from dataclasses import dataclass

from losslab.config import rates
from losslab.config.field import instead, outside
from losslab.config.horizon import Growth
from losslab.config.numbers import check_fields, shown
from losslab.words import nearest

HORIZON = "the number of optimizer updates"
OPTIMIZERS = ("adamw", "muon")
SCHEDULES = ("cosine", "linear", "wsd", "wsd_sqrt")
STABLE = ("wsd", "wsd_sqrt")  # those whose decay is a share of the run


@dataclass(frozen=True)
class TrainConfig:
    num_tokens: int = instead(0, HORIZON)
    """Training horizon in tokens; give this or `num_steps`."""
    num_steps: int = instead(0, HORIZON)
    """Training horizon in optimizer updates; give this or `num_tokens`."""
    seq_len: int = 0
    """Tokens in a training sequence and in an evaluation window; 0 means `model.num_positions`, which is the most."""
    batch_size: int = 16
    """Sequences in one optimizer update."""
    micro_batch_size: int = 0  # of the identity: it changes how sums round, and what a loss of a whole batch sees
    """Sequences in one forward pass; 0 means the whole batch."""
    initial_batch_size: int = 0
    """Sequences in the first update where the batch grows; 0 means that it does not grow."""
    batch_warmup_steps: int = 0
    """Steps in which the batch grows linearly from `initial_batch_size` to `batch_size`."""
    optimizer: str = "adamw"
    """`adamw`; or `muon` for the matrices of the blocks, with AdamW for all else."""
    learning_rate: float = 1e-3
    """Peak learning rate, of the matrices of the blocks; the ratios below give the others theirs."""
    embedding_rate_ratio: float = 1.0
    """Learning rate of the embeddings (and of output weights tied to them), as a multiple of `learning_rate`."""
    head_rate_ratio: float = 1.0
    """Learning rate of the output weights where they are not tied, as a multiple of `learning_rate`."""
    vector_rate_ratio: float = 1.0
    """Learning rate of norms and biases, as a multiple of `learning_rate`."""
    schedule: str = "cosine"
    """Of the learning rate after the warm-up: `cosine` or `linear` over the whole run; `wsd` is stable and then linear
    over `decay_share` of the run, `wsd_sqrt` one minus the root of the progress there."""
    decay_share: float = 0.4
    """Share of the run, at its end, in which the learning rate of `wsd` and `wsd_sqrt` decays."""
    min_learning_rate_ratio: float = instead(0.1, "the learning rate at the end of the schedule, as a number")
    """Learning rate at the end of the schedule, as a share of the peak."""
    warmup_steps: int = 100
    """Steps of linear warm-up; with `cosine`, at most a tenth of the run is used."""
    weight_decay: float = 0.1
    """Decoupled weight decay, on matrices and embeddings only."""
    betas: tuple[float, float] = (0.9, 0.99)
    """AdamW's decay rates of the two moments."""
    momentum: float = 0.95
    """Muon's decay rate of its momentum."""
    grad_clip: float = 1.0
    """Largest norm of the gradient; 0 turns clipping off."""
    skip_spikes: bool = False
    """Whether to leave out an update whose loss or gradient norm is beyond 6 standard deviations of the last 128 steps;
    in a comparison all arms do, or none."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `mps`; resolved once and then part of the condition."""
    dtype: str = "auto"
    """Precision of matrix products: `auto`, `float32`, `bfloat16` (Muon's among them) or `float16`, with gradients that
    are scaled; part of the condition."""
    numerics: str = "auto"
    """Products of the model on a CPU: `auto`, `reference` (PyTorch's own) or `fast`; part of the condition."""
    ranks: str = outside("auto", "it changes how sums round, as the number of ranks does")
    """How several ranks share a model: `replicated`, each has all of it; `sharded`, each has a part; `auto`, replicated
    where that fits the device. Of no effect in one process."""
    checkpoint_activations: bool = outside(False, "the same numbers, computed twice")
    """Whether to keep the inputs of the blocks alone and compute the rest again: less memory, a third more products."""
    log_every: int = outside(10, "what the log shows")
    """Steps between log lines."""
    checkpoint_every: int = outside(0, "resuming is bit-identical")
    """Steps between checkpoints; 0 keeps only the last one and those of a stop."""

    def __post_init__(self):
        check_fields(self, "train.")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"train.betas must both be in [0, 1), got {list(self.betas)}")
        if self.num_tokens and self.num_steps:
            raise ValueError(
                f"train.num_tokens (={self.num_tokens}) and train.num_steps (={self.num_steps}) both set the "
                "horizon; give one of them"
            )
        self._check_batches()
        self._check_optimizer()
        if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,3})?", self.device):
            raise ValueError(f"train.device must be auto, cpu, cuda or mps, or cuda:N, got {shown(self.device)}")
        if self.dtype not in ("auto", "float32", "bfloat16", "float16"):
            raise ValueError(f"train.dtype must be auto, float32, bfloat16 or float16, got {shown(self.dtype)}")
        if self.ranks not in ("auto", "replicated", "sharded"):
            raise ValueError(f"train.ranks must be auto, replicated or sharded, got {shown(self.ranks)}"
                             f"{nearest(str(self.ranks), ('replicated', 'sharded'))}")
        if self.numerics not in ("auto", "reference", "fast"):
            raise ValueError(f"train.numerics must be auto, reference or fast, got {shown(self.numerics)}")

    def _check_batches(self) -> None:
        for name in ("batch_size", "initial_batch_size"):
            if self.micro_batch_size and getattr(self, name) % self.micro_batch_size:
                raise ValueError(
                    f"train.{name} (={getattr(self, name)}) must be divisible by "
                    f"train.micro_batch_size (={self.micro_batch_size})"
                )
        if bool(self.initial_batch_size) != bool(self.batch_warmup_steps):
            raise ValueError(
                f"train.initial_batch_size (={self.initial_batch_size:,}) and train.batch_warmup_steps "
                f"(={self.batch_warmup_steps:,}) go together; give both, or neither"
            )
        if self.initial_batch_size > self.batch_size:
            raise ValueError(f"train.initial_batch_size (={self.initial_batch_size:,}) must be at most "
                             f"train.batch_size (={self.batch_size:,}), to which it grows")

    def _check_optimizer(self) -> None:
        for name, known in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
            if (value := getattr(self, name)) not in known:
                raise ValueError(f"train.{name} must be {', '.join(known[:-1])} or {known[-1]}, got {shown(value)}"
                                 f"{nearest(str(value), known)}")
        if self.momentum >= 1:
            raise ValueError(f"train.momentum must be in [0, 1), got {self.momentum}")
        fields = self.__dataclass_fields__
        if self.optimizer != "muon" and self.momentum != fields["momentum"].default:
            raise ValueError(f"train.momentum (={self.momentum}) is Muon's, and train.optimizer is {self.optimizer}; "
                             "leave it out, or give train.optimizer muon")
        if self.schedule not in STABLE and self.decay_share != fields["decay_share"].default:
            raise ValueError(f"train.decay_share (={self.decay_share}) is that of {' and '.join(STABLE)}, and "
                             f"train.schedule is {self.schedule}, which decays over the whole run; leave it out, or "
                             "choose one of those")

    @property
    def min_learning_rate(self) -> float:
        """Learning rate at the end of the schedule."""
        return rates.lowest(self.learning_rate, self.min_learning_rate_ratio)

    @property
    def grad_accum_steps(self) -> int:
        return self.batch_size // self.micro_batch_size if self.micro_batch_size else 1

    @property
    def growth(self) -> Growth:
        """The batch of each update."""
        return Growth(self.batch_size, self.initial_batch_size, self.batch_warmup_steps, self.micro_batch_size or 1)

    def horizon(self, num_positions: int) -> int:
        """Optimizer updates of the whole run, for a model of so many positions."""
        if self.num_steps:
            return self.num_steps
        if not self.num_tokens:
            raise ValueError("the horizon is not set: give train.num_tokens or train.num_steps")
        return self.growth.updates(self.num_tokens // (self.seq_len or num_positions))

    def phases(self, num_steps: int) -> tuple[int, int]:
        """Updates of the warm-up, and the update from which on the learning rate decays; it is at its peak between.

        A cosine takes at most a tenth of the run for its warm-up, as it always did.

        Example:
            >>> TrainConfig(schedule="wsd", warmup_steps=10, decay_share=0.4).phases(100)
            (10, 60)
            >>> TrainConfig(warmup_steps=100).phases(50)
            (5, 5)
        """
        if self.schedule == "cosine":
            warmup = min(self.warmup_steps, num_steps // 10)
            return warmup, warmup
        if self.schedule not in STABLE:
            return self.warmup_steps, self.warmup_steps
        return self.warmup_steps, num_steps - round(self.decay_share * num_steps)

    def check_horizon(self, num_positions: int) -> None:
        """An error where the schedule, or the growth of the batch, is longer than the run; no horizon is none."""
        if not (self.num_steps or self.num_tokens):
            return
        num_steps = self.horizon(num_positions)
        warmup, start = self.phases(num_steps)
        if warmup > start or warmup >= num_steps:
            decay = f" and a decay over {num_steps - start:,} (train.decay_share)" if self.schedule in STABLE else ""
            raise ValueError(f"the schedule {self.schedule} is longer than the run: train.warmup_steps "
                             f"(={self.warmup_steps:,}){decay} do not fit {num_steps:,} updates; give fewer, or a "
                             "longer run")
        if self.batch_warmup_steps > num_steps:
            raise ValueError(f"train.batch_warmup_steps (={self.batch_warmup_steps:,}) is longer than the run of "
                             f"{num_steps:,} updates; give fewer, or a longer run")
