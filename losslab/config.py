"""Every setting of an experiment, its meaning beneath it, and the presets."""

import dataclasses
import difflib
import hashlib
import json
import tomllib
import types
import typing
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

IGNORE_INDEX = -100  # the target id that does not count; PyTorch's own default

Errors = (ValueError, OSError)  # what a user's mistake raises; everything else is a bug of the house


@dataclass(frozen=True)
class DataConfig:
    corpus: str = "tales"
    """Embedded corpus (`tales`, `pydoc`), a path, or the name of a hub data set."""
    tokenizer: str = "bytes"
    """`bytes`, `char`, `bpe:N` (trained on this corpus) or `gpt2`."""
    val_bytes: int = 1_000_000
    """Size of the validation split, in bytes of whole documents."""
    tune_bytes: int = 250_000
    """Size of the tune split where the corpus does not fix it, in bytes of whole documents."""
    max_bytes: int = 20_000_000
    """How much of an endless or streamed corpus is taken, in bytes (`tales`, hub data sets)."""

    def __post_init__(self):
        for name in ("val_bytes", "tune_bytes", "max_bytes"):
            if getattr(self, name) < 0:
                raise ValueError(f"data.{name} must not be negative, got {getattr(self, name)}")


@dataclass(frozen=True)
class ModelConfig:
    n_layer: int = 4
    """Transformer blocks."""
    n_head: int = 4
    """Attention heads in a block."""
    n_embd: int = 128
    """Width of the residual stream."""
    max_seq_len: int = 128
    """Context length in tokens."""
    dropout: float = 0.0
    """Probability of dropping an activation while training."""
    bias: bool = True
    """Whether linear layers and norms have biases, as GPT-2's do."""
    tied: bool = True
    """Whether the output weights are the token embedding, as GPT-2's are."""
    activation: str = "gelu_tanh"
    """Between the two maps of a block: `gelu_tanh`, which is GPT-2's, or the exact `gelu`, which is nanoGPT's."""

    def __post_init__(self):
        if self.n_layer < 1 or self.n_head < 1 or self.max_seq_len < 1 or self.n_embd < 1:
            raise ValueError("model.n_layer, n_head, n_embd and max_seq_len must be at least 1")
        if self.n_embd % self.n_head:
            raise ValueError(
                f"model.n_embd (={self.n_embd}) must be divisible by model.n_head (={self.n_head})"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"model.dropout must be in [0, 1), got {self.dropout}")
        if self.activation not in ("gelu_tanh", "gelu"):
            raise ValueError(f"model.activation must be gelu_tanh or gelu, got {self.activation!r}")


@dataclass(frozen=True)
class TrainConfig:
    num_tokens: int = 0
    """Training horizon in tokens; give this or `num_steps`."""
    num_steps: int = 0
    """Training horizon in optimizer updates; give this or `num_tokens`."""
    batch_size: int = 16
    """Sequences in one optimizer update."""
    micro_batch_size: int = 0
    """Sequences in one forward pass; 0 means the whole batch."""
    learning_rate: float = 1e-3
    """Peak learning rate."""
    min_learning_rate: float = 1e-4
    """Learning rate at the end of the cosine."""
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
    log_every: int = 10
    """Steps between log lines."""
    checkpoint_every: int = 0
    """Steps between checkpoints; 0 keeps only the last one and those of a stop."""

    def __post_init__(self):
        for name in ("batch_size", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"train.{name} must be at least 1, got {getattr(self, name)}")
        for name in ("num_tokens", "num_steps", "micro_batch_size", "warmup_steps", "checkpoint_every"):
            if getattr(self, name) < 0:
                raise ValueError(f"train.{name} must not be negative, got {getattr(self, name)}")
        for name in ("weight_decay", "grad_clip"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"train.{name} must not be negative, got {getattr(self, name)}")
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
        if self.learning_rate < 0:
            raise ValueError(f"train.learning_rate must not be negative, got {self.learning_rate}")
        if not 0 <= self.min_learning_rate <= self.learning_rate:
            raise ValueError(
                f"train.min_learning_rate (={self.min_learning_rate}) must lie between 0 and "
                f"train.learning_rate (={self.learning_rate})"
            )
        if self.device.split(":")[0] not in ("auto", "cpu", "cuda", "mps"):
            raise ValueError(f"train.device must be auto, cpu, cuda or mps, got {self.device!r}")
        if self.dtype not in ("auto", "float32", "bfloat16"):
            raise ValueError(f"train.dtype must be auto, float32 or bfloat16, got {self.dtype!r}")

    @property
    def grad_accum_steps(self) -> int:
        return self.batch_size // self.micro_batch_size if self.micro_batch_size else 1

    def horizon(self, seq_len: int) -> int:
        """Optimiser updates of the whole run."""
        if self.num_steps:
            return self.num_steps
        if not self.num_tokens:
            raise ValueError("the horizon is not set: give train.num_tokens or train.num_steps")
        return max(1, self.num_tokens // (self.batch_size * seq_len))


@dataclass(frozen=True)
class EvaluateConfig:
    every: int = 0
    """Steps between evaluations on `tune` while training; 0 means twenty in a run."""
    tune_tokens: int = 32_768
    """Size of the fixed part of `tune` that learning curves look at, in tokens."""
    stride: int = 0
    """Tokens between evaluation windows; 0 means disjoint windows of the context length."""
    batch_size: int = 32
    """Windows scored at once; changes speed, not results."""
    num_samples: int = 2
    """Texts generated at the end of a run."""
    sample_tokens: int = 200
    """Length of those texts, in tokens."""
    tasks: str = ""
    """Tasks that are run while training, such as `likelihood,blimp`; only looked at, never part of the condition."""
    tasks_every: int = 0
    """Steps between them; 0 means never."""
    tasks_limit: int = 100
    """Items of each task that are looked at while training; 0 means all."""
    benchmarks: str = ""
    """Folder with the files of those tasks; empty fetches them from the hub."""

    def __post_init__(self):
        for name in ("every", "stride", "num_samples", "sample_tokens", "tasks_every", "tasks_limit"):
            if getattr(self, name) < 0:
                raise ValueError(f"evaluate.{name} must not be negative, got {getattr(self, name)}")
        for name in ("tune_tokens", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"evaluate.{name} must be at least 1, got {getattr(self, name)}")
        if bool(self.task_names) != bool(self.tasks_every):
            raise ValueError(
                f"evaluate.tasks (={self.tasks!r}) and evaluate.tasks_every (={self.tasks_every}) go together; give "
                "both, or neither"
            )

    @property
    def task_names(self) -> list[str]:
        return [name.strip() for name in self.tasks.split(",") if name.strip()]


LOOKS = ("tasks", "tasks_every", "tasks_limit", "benchmarks")  # fields of `evaluate` that change no weight or verdict


@dataclass(frozen=True)
class ExperimentConfig:
    loss: str = "cross_entropy"
    """The objective's formula, or the path of a loss file."""
    seed: int = 0
    """Seed of the initial weights, the data order and dropout."""
    start: str = ""
    """Run or imported model whose weights, tokenizer and sizes training starts from; nothing: new weights."""
    data: DataConfig = field(default_factory=DataConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)

    def __post_init__(self):
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be between 0 and 2**32 - 1, got {self.seed}")

    @property
    def num_steps(self) -> int:
        return self.train.horizon(self.model.max_seq_len)

    @property
    def tokens_per_step(self) -> int:
        return self.train.batch_size * self.model.max_seq_len

    @property
    def evaluate_every(self) -> int:
        return self.evaluate.every or -(-self.num_steps // 20)


# --- presets -----------------------------------------------------------------------------------

def tiny() -> ExperimentConfig:
    """The demo: half a minute a run on one core."""
    return ExperimentConfig(
        model=ModelConfig(n_layer=2, n_head=4, n_embd=96, max_seq_len=128),
        train=TrainConfig(num_tokens=1_000_000, batch_size=8, learning_rate=4e-3, min_learning_rate=4e-4),
        data=DataConfig(max_bytes=4_000_000, val_bytes=200_000, tune_bytes=100_000),
        evaluate=EvaluateConfig(tune_tokens=8192),
    )


def char() -> ExperimentConfig:
    """nanoGPT's CPU run on Shakespeare's characters: 4 layers, width 128, context 64, 2,000 steps."""
    return ExperimentConfig(
        data=DataConfig(tokenizer="char"),
        model=ModelConfig(n_layer=4, n_head=4, n_embd=128, max_seq_len=64, bias=False, activation="gelu"),
        train=TrainConfig(num_steps=2000, batch_size=12, learning_rate=1e-3, min_learning_rate=1e-4, warmup_steps=100),
    )


def story_3m() -> ExperimentConfig:
    """A small story model with GPT-2's vocabulary: 6 layers, 8 heads, width 64, context 128."""
    return ExperimentConfig(
        data=DataConfig(corpus="tinystories", tokenizer="gpt2"),
        model=ModelConfig(n_layer=6, n_head=8, n_embd=64, max_seq_len=128),
        train=TrainConfig(num_tokens=10_000_000, batch_size=32, learning_rate=2e-3, min_learning_rate=2e-4),
    )


def _gpt2(n_layer: int, n_head: int, n_embd: int, learning_rate: float) -> ExperimentConfig:
    return ExperimentConfig(
        data=DataConfig(corpus="openwebtext", tokenizer="gpt2", max_bytes=40_000_000_000),
        model=ModelConfig(n_layer=n_layer, n_head=n_head, n_embd=n_embd, max_seq_len=1024),
        train=TrainConfig(
            num_tokens=10_000_000_000, batch_size=480, micro_batch_size=12, learning_rate=learning_rate,
            min_learning_rate=learning_rate / 10, warmup_steps=700, betas=(0.9, 0.95), checkpoint_every=1000,
        ),
    )


PRESETS: dict[str, typing.Callable[[], ExperimentConfig]] = {
    "tiny": tiny,
    "char": char,
    "story-3m": story_3m,
    "gpt2": lambda: _gpt2(12, 12, 768, 6e-4),
    "gpt2-medium": lambda: _gpt2(24, 16, 1024, 3e-4),
    "gpt2-large": lambda: _gpt2(36, 20, 1280, 2.5e-4),
    "gpt2-xl": lambda: _gpt2(48, 25, 1600, 2e-4),
}


def preset(name: str) -> ExperimentConfig:
    """The named preset; an unknown name is answered with the nearest one."""
    if not isinstance(name, str) or name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}{nearest(str(name), PRESETS)}; the presets are {', '.join(PRESETS)}")
    return PRESETS[name]()


# --- loading -----------------------------------------------------------------------------------

def nearest(name: str, known: typing.Iterable[str]) -> str:
    """`; did you mean X?`, or nothing when no known name is close."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""


def override(config, values: dict, *, source: str = "the configuration", prefix: str = ""):
    """`config` with nested `values` laid over it; unknown fields and wrong types are errors."""
    known = {f.name: f for f in fields(config)}
    hints = typing.get_type_hints(type(config))
    changed = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in known:
            sections = {n: getattr(f.default_factory, "__annotations__", ()) for n, f in known.items()}
            inner = [section for section, names in sections.items() if name in names]
            hint = f"; did you mean {inner[0]}.{name}?" if inner else nearest(name, known)
            raise ValueError(f"unknown field {prefix}{key} in {source}{hint}")
        current = getattr(config, name)
        if dataclasses.is_dataclass(current):
            if not isinstance(value, dict):
                raise ValueError(f"{prefix}{name} in {source} is a table of settings, got {value!r}")
            changed[name] = override(current, value, source=source, prefix=f"{prefix}{name}.")
        else:
            changed[name] = _typed(value, hints[name], f"{prefix}{name}", source)
    if "num_tokens" in changed and "num_steps" not in changed:  # the horizon given last wins over a preset's
        changed["num_steps"] = 0
    elif "num_steps" in changed and "num_tokens" not in changed:
        changed["num_tokens"] = 0
    return replace(config, **changed)


def _typed(value, hint, name: str, source: str):
    if isinstance(hint, types.GenericAlias):  # tuple[float, float]
        wanted = typing.get_args(hint)
        if not isinstance(value, list | tuple) or len(value) != len(wanted):
            raise ValueError(f"{name} in {source} takes {len(wanted)} numbers, got {value!r}")
        return tuple(_typed(v, h, name, source) for v, h in zip(value, wanted, strict=True))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise ValueError(f"{name} in {source} must be {hint.__name__}, got {value!r}")
    return value


def load(path: str | Path, start: str | None = None) -> ExperimentConfig:
    """A configuration from a TOML or JSON file, laid over the preset `start`, or its own `preset`, or `tiny`."""
    path = Path(path)
    text = path.read_text(encoding="utf-8")
    try:
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        raise ValueError(f"{path} is not a readable specification: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold one table of settings, got {values!r}")
    own = values.pop("preset", "tiny")
    return override(preset(start or own), values, source=path.name)


def from_dict(values: dict, source: str = "spec.json") -> ExperimentConfig:
    return override(ExperimentConfig(), values, source=source)


def to_dict(config) -> dict:
    return dataclasses.asdict(config)


def digest(value) -> str:
    """Twelve hexadecimal digits that name any JSON-able value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=list)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
