"""Every setting of an experiment, its meaning beneath it.

A setting belongs to the identity of a run unless it says otherwise here. `outside`: it changes neither the weights nor
a score, so runs that differ in it alone are one. `instead`: the identity has something else in its place.
"""

import re
from dataclasses import dataclass, field

from losslab.config import rates
from losslab.config.numbers import MAX_PARAMETERS, MAX_UPDATE_TOKENS, TOKENS, check_fields, shown

IGNORE_INDEX = -100  # the target id that does not count; PyTorch's own default

Errors = (ValueError, OSError)  # what a user's mistake raises; everything else is a bug of losslab

DIGEST = "the digest of the corpus: of the text of every split, and of the vocabulary"
HORIZON = "the number of optimizer updates"
WATCHED = "scores in the log alone"


def outside(default, why: str):
    """A setting that is no part of the identity of a run, and why not."""
    return field(default=default, metadata={"outside": why})


def instead(default, what: str):
    """A setting that the identity of a run has in another form, and in which."""
    return field(default=default, metadata={"instead": what})


@dataclass(frozen=True)
class DataConfig:
    corpus: str = instead("tales", DIGEST)
    """Embedded corpus (`tales`, `pydoc`), a path, or the name of a hub data set."""
    tokenizer: str = instead("bytes", DIGEST)
    """`bytes`, `char`, `bpe:N` (trained on this corpus) or `gpt2`."""
    val_bytes: int = instead(1_000_000, DIGEST)
    """Size of the validation split, in bytes of whole documents."""
    tune_bytes: int = instead(250_000, DIGEST)
    """Size of the tune split where the corpus does not fix it, in bytes of whole documents."""
    max_bytes: int = instead(20_000_000, DIGEST)
    """How much of an endless or streamed corpus is taken, in bytes (`tales`, hub data sets)."""
    seed: int | None = None
    """Seed of the order of the training batches; that of the run unless given."""

    def __post_init__(self):
        check_fields(self, "data.")


@dataclass(frozen=True)
class ModelConfig:
    n_layer: int = 4
    """Transformer blocks."""
    n_head: int = 4
    """Attention heads in a block."""
    n_embd: int = 128
    """Width of the residual stream."""
    num_positions: int = 128
    """Rows of the position table: the longest text in tokens that the model can read."""
    dropout: float = 0.0
    """Probability of dropping an activation while training."""
    bias: bool = True
    """Whether linear layers and norms have biases, as GPT-2's do."""
    tied: bool = True
    """Whether the output weights are the token embedding, as GPT-2's are."""
    init_seed: int | None = None
    """Seed of the initial weights; that of the run unless given."""
    activation: str = "gelu_tanh"
    """Between the two maps of a block: `gelu_tanh`, which is GPT-2's, or the exact `gelu`, which is nanoGPT's."""

    def __post_init__(self):
        check_fields(self, "model.")
        if self.n_embd % self.n_head:
            raise ValueError(
                f"model.n_embd (={self.n_embd}) must be divisible by model.n_head (={self.n_head})"
            )
        if self.dropout >= 1:
            raise ValueError(f"model.dropout must be in [0, 1), got {self.dropout}")
        if self.activation not in ("gelu_tanh", "gelu"):
            raise ValueError(f"model.activation must be gelu_tanh or gelu, got {shown(self.activation)}")
        if (count := self.num_params(0)) > MAX_PARAMETERS:
            raise ValueError(
                f"a model with model.n_layer {self.n_layer:,}, model.n_embd {self.n_embd:,} and "
                f"model.num_positions {self.num_positions:,} has {count:.2g} parameters, more than the "
                f"{MAX_PARAMETERS:.0e} that are allowed"
            )

    def num_params(self, vocab_size: int) -> int:
        """How many parameters a model of these sizes has, without building it.

        Example:
            >>> ModelConfig(n_layer=12, n_head=12, n_embd=768, num_positions=1024).num_params(50257)  # GPT-2
            124439808
        """
        width, biases = self.n_embd, 1 if self.bias else 0
        norm = width * (1 + biases)
        attention = 4 * width * width + 4 * width * biases  # queries, keys and values, then their way out
        mlp = 8 * width * width + 5 * width * biases
        tables = (vocab_size * (1 if self.tied else 2) + self.num_positions) * width
        return tables + self.n_layer * (2 * norm + attention + mlp) + norm


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
    learning_rate: float = 1e-3
    """Peak learning rate."""
    min_learning_rate_ratio: float = instead(0.1, "the learning rate at the end of the cosine, as a number")
    """Learning rate at the end of the cosine, as a share of the peak."""
    warmup_steps: int = 100
    """Steps of linear warm-up; at most a tenth of the run is used."""
    weight_decay: float = 0.1
    """AdamW weight decay, on matrices and embeddings only."""
    betas: tuple[float, float] = (0.9, 0.99)
    """AdamW's decay rates of the two moments."""
    grad_clip: float = 1.0
    """Largest norm of the gradient; 0 turns clipping off."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `mps`; resolved once and then part of the condition."""
    dtype: str = "auto"
    """Precision of matrix products: `auto`, `float32` or `bfloat16`; part of the condition."""
    numerics: str = "auto"
    """Products of the model on a CPU: `auto`, `reference` (PyTorch's own) or `fast`; part of the condition."""
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
        if self.micro_batch_size and self.batch_size % self.micro_batch_size:
            raise ValueError(
                f"train.batch_size (={self.batch_size}) must be divisible by "
                f"train.micro_batch_size (={self.micro_batch_size})"
            )
        if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,3})?", self.device):
            raise ValueError(f"train.device must be auto, cpu, cuda or mps, or cuda:N, got {shown(self.device)}")
        if self.dtype not in ("auto", "float32", "bfloat16"):
            raise ValueError(f"train.dtype must be auto, float32 or bfloat16, got {shown(self.dtype)}")
        if self.numerics not in ("auto", "reference", "fast"):
            raise ValueError(f"train.numerics must be auto, reference or fast, got {shown(self.numerics)}")

    @property
    def min_learning_rate(self) -> float:
        """Learning rate at the end of the cosine."""
        return rates.lowest(self.learning_rate, self.min_learning_rate_ratio)

    @property
    def grad_accum_steps(self) -> int:
        return self.batch_size // self.micro_batch_size if self.micro_batch_size else 1

    def horizon(self, num_positions: int) -> int:
        """Optimizer updates of the whole run, for a model of so many positions."""
        if self.num_steps:
            return self.num_steps
        if not self.num_tokens:
            raise ValueError("the horizon is not set: give train.num_tokens or train.num_steps")
        return max(1, self.num_tokens // (self.batch_size * (self.seq_len or num_positions)))


@dataclass(frozen=True)
class EvaluateConfig:
    every: int = outside(0, "how many points the learning curve has")
    """Steps between evaluations on `tune` while training; 0 means twenty in a run."""
    tune_tokens: int = 32_768  # of the identity: the temperature of `nll_calibrated` is fitted on them
    """Size of the fixed part of `tune` on which learning curves are computed, in tokens."""
    split: str = "val"
    """Split that a run is scored on at its end: `val`; `tune` for a trial of tuning, which must not see `val`."""
    stride: int = 0
    """Tokens between evaluation windows; 0 means disjoint windows of `train.seq_len`."""
    batch_size: int = outside(32, "speed alone")
    """Windows scored at once; changes speed, not results."""
    num_samples: int = outside(2, "texts, no score")
    """Texts generated at the end of a run."""
    sample_tokens: int = outside(200, "texts, no score")
    """Length of those texts, in tokens."""
    tasks: str = outside("", WATCHED)
    """Tasks that are run while training, such as `likelihood,blimp`; only logged, never part of the condition."""
    tasks_every: int = outside(0, WATCHED)
    """Steps between them; 0 means never."""
    tasks_limit: int = outside(100, WATCHED)
    """Items of each task that are scored while training; 0 means all."""
    benchmarks: str = outside("", WATCHED)
    """Folder with the files of those tasks; empty fetches them from the hub."""

    def __post_init__(self):
        check_fields(self, "evaluate.")
        if self.split not in ("val", "tune"):
            raise ValueError(f"evaluate.split must be val or tune, got {shown(self.split)}")
        if bool(self.task_names) != bool(self.tasks_every):
            raise ValueError(
                f"evaluate.tasks (={shown(self.tasks)}) and evaluate.tasks_every (={self.tasks_every}) go together; "
                "give both, or neither"
            )

    @property
    def task_names(self) -> list[str]:
        return [name.strip() for name in self.tasks.split(",") if name.strip()]


@dataclass(frozen=True)
class ExperimentConfig:
    loss: str = instead("cross_entropy", "the formula with every default written out, and the hashes of loss files")
    """The objective's formula, or the path of a loss file."""
    seed: int = outside(0, "replicates differ in it")
    """Seed of dropout, and of the initial weights and the data order unless they have their own."""
    start: str = instead("", "the sha256 of the weights")
    """Run or imported model whose weights, tokenizer and sizes training starts from; nothing: new weights."""
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)

    def __post_init__(self):
        for name, seed in (("seed", self.seed), ("model.init_seed", self.init_seed), ("data.seed", self.data_seed)):
            if not 0 <= seed < 2**32:
                raise ValueError(f"{name} must be between 0 and 2**32 - 1, got {shown(seed)}")
        if not self.start:  # which has its own model
            self.check_seq_len()
        if self.tokens_per_step > MAX_UPDATE_TOKENS:
            raise ValueError(
                f"train.batch_size (={self.train.batch_size:,}) sequences of train.seq_len "
                f"(={self.seq_len:,}) tokens are {self.tokens_per_step:.2g} tokens per update, more than the "
                f"{MAX_UPDATE_TOKENS:,} that are allowed"
            )
        if (tokens := self.train.num_steps * self.tokens_per_step) > TOKENS[0]:
            raise ValueError(
                f"train.num_steps (={self.train.num_steps:,}) updates of {self.tokens_per_step:,} tokens are "
                f"{tokens:.2g} tokens, more than the {TOKENS[0]:.0e} that are allowed ({TOKENS[1]})"
            )

    def check_seq_len(self) -> None:
        """An error where a training sequence has more tokens than the model has positions."""
        if self.train.seq_len > self.model.num_positions:
            raise ValueError(f"train.seq_len (={self.train.seq_len:,}) must be at most model.num_positions "
                             f"(={self.model.num_positions:,}), the rows of the model's position table")

    @property
    def init_seed(self) -> int:
        """Seed of the initial weights."""
        return self.seed if self.model.init_seed is None else self.model.init_seed

    @property
    def data_seed(self) -> int:
        """Seed of the order of the training batches."""
        return self.seed if self.data.seed is None else self.data.seed

    @property
    def seq_len(self) -> int:
        """Tokens in a training sequence."""
        return self.train.seq_len or self.model.num_positions

    @property
    def num_steps(self) -> int:
        return self.train.horizon(self.model.num_positions)

    @property
    def tokens_per_step(self) -> int:
        return self.train.batch_size * self.seq_len

    @property
    def evaluate_every(self) -> int:
        return self.evaluate.every or -(-self.num_steps // 20)
