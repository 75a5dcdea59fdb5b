"""Every setting of an experiment, its meaning beneath it.

A setting belongs to the identity of a run unless it says otherwise here. `outside`: it changes neither the weights nor
a score, so runs that differ in it alone are one. `instead`: the identity has something else in its place.
"""

from dataclasses import dataclass, field

from losslab.config.field import instead, outside
from losslab.config.model import ModelConfig
from losslab.config.numbers import MAX_UPDATE_TOKENS, TOKENS, check_fields, shown
from losslab.config.train import TrainConfig

IGNORE_INDEX = -100  # the target id that does not count; PyTorch's own default

Errors = (ValueError, OSError)  # what a user's mistake raises; everything else is a bug of losslab

DIGEST = "the digest of the corpus: of the text of every split, and of the vocabulary"
WATCHED = "scores in the log alone"

CURRICULA, PACINGS = ("", "length", "nll"), ("linear", "step")
PACKINGS, TOO_LONG = ("auto", "stream", "packed", "padded"), ("truncate", "leave_out")


@dataclass(frozen=True)
class DataConfig:
    corpus: str = instead("tales", DIGEST)
    """Embedded corpus (`tales`, `pydoc`), a path, or the name of a hub data set."""
    tokenizer: str = instead("bytes", DIGEST)
    """`bytes`, `gpt2`; or trained on this corpus: `char`, `bpe:N`, `wordpiece:N`, `unigram:N`."""
    val_bytes: int = instead(1_000_000, DIGEST)
    """Size of the validation split, in bytes of whole documents."""
    tune_bytes: int = instead(250_000, DIGEST)
    """Size of the tune split where the corpus does not fix it, in bytes of whole documents."""
    max_bytes: int = instead(20_000_000, DIGEST)
    """How much of an endless or streamed corpus is taken, in bytes (`tales`, hub data sets)."""
    template: str = instead("auto", DIGEST)
    """How text is made of instruction data: `alpaca`, `chat`, `plain`, or `auto`, which goes by the keys of a row."""
    mask_prompts: bool = True
    """Whether a training on instruction data learns its answers alone, and not the prompts before them."""
    packing: str = "auto"
    """How documents share the rows of a batch: `stream`, one behind the other, attending to those before; `packed`,
    whole, attending to themselves alone; `padded`, one a row; `auto`: instruction data `packed`, all else `stream`."""
    too_long: str = "truncate"
    """What becomes of a document that is longer than a row of `packed` or `padded`: `truncate` or `leave_out`."""
    seed: int | None = None
    """Seed of the order of the training batches; that of the run unless given."""
    curriculum: str = ""
    """Documents that are trained on first: those that are short (`length`) or easy for a model (`nll`); empty: none."""
    curriculum_model: str = instead("", "the sha256 of the weights")
    """Run or imported model whose nll of each document is its difficulty, for `nll`."""
    hardest_first: bool = False
    """Whether a curriculum begins with the hardest documents."""
    pacing: str = "linear"
    """How a curriculum admits documents: `linear`, or `step`, in a few stairs."""
    pacing_start: float = 0.1
    """Share of the documents that a curriculum begins with."""
    pacing_end: float = 0.5
    """Share of the run after which a curriculum has admitted all documents."""
    pacing_stairs: int = 5
    """Equal rises from the first share to all documents, for `step`."""

    def __post_init__(self):
        check_fields(self, "data.")
        for name, known in (("curriculum", CURRICULA), ("pacing", PACINGS), ("packing", PACKINGS),
                            ("too_long", TOO_LONG)):
            if getattr(self, name) not in known:
                raise ValueError(f"data.{name} must be {' or '.join(filter(None, known))}, "
                                 f"got {shown(getattr(self, name))}")
        if not self.curriculum:
            for name in ("curriculum_model", "hardest_first", "pacing", "pacing_start", "pacing_end", "pacing_stairs"):
                if (value := getattr(self, name)) != self.__dataclass_fields__[name].default:
                    raise ValueError(f"data.{name} (={shown(value)}) is of a curriculum, and there is none; give "
                                     f"data.curriculum length or nll, or leave data.{name} out")
        if self.curriculum == "nll" and not self.curriculum_model:
            raise ValueError("data.curriculum nll orders documents by the nll of a model; give data.curriculum_model, "
                             "the folder of a run or of an imported model")
        if self.curriculum == "length" and self.curriculum_model:
            raise ValueError(f"data.curriculum_model (={shown(self.curriculum_model)}) is for data.curriculum nll, and "
                             "documents are ordered by length; leave it out, or give nll")
        if self.pacing == "linear" and self.pacing_stairs != self.__dataclass_fields__["pacing_stairs"].default:
            raise ValueError(f"data.pacing_stairs (={self.pacing_stairs}) is for data.pacing step, and data.pacing is "
                             "linear; leave it out, or give step")

    @property
    def text(self) -> tuple:
        """What decides the text, its splits and its vocabulary; the rest decides in which order it is read."""
        return self.corpus, self.tokenizer, self.val_bytes, self.tune_bytes, self.max_bytes, self.template


@dataclass(frozen=True)
class EvaluateConfig:
    every: int = outside(0, "how many points the learning curve has")
    """Steps between evaluations on `tune` while training; 0 means twenty in a run."""
    tune_tokens: int = 32_768  # of the identity: the temperature of `nll_calibrated` is fitted on them
    """Size of the fixed part of `tune` on which learning curves are computed, in tokens."""
    split: str = "val"
    """Split that a run is scored on at its end: `val`; `tune` for a trial of tuning, which must not see `val`."""
    before_and_after: bool = outside(True, "scores next to the verdict's")
    """Whether a run that starts from weights also scores these, and both on the text that these were trained on."""
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
            self.check_model()
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

    def check_model(self) -> None:
        """An error where training does not fit the model: its sequences, its horizon, the rate of its head."""
        if self.train.seq_len > self.model.num_positions:
            raise ValueError(f"train.seq_len (={self.train.seq_len:,}) must be at most model.num_positions "
                             f"(={self.model.num_positions:,}), the longest text that the model reads")
        self.train.check_horizon(self.model.num_positions)
        if self.model.tied and self.train.head_rate_ratio != 1:
            raise ValueError(f"train.head_rate_ratio (={self.train.head_rate_ratio}) is that of output weights of "
                             "their own, and model.tied makes the token embedding the output weights; leave it out, or "
                             "give model.tied false")

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
    def num_tokens(self) -> int:
        """Targets of the whole run, where none is masked."""
        return self.train.growth.before(self.num_steps) * self.seq_len

    @property
    def tokens_per_step(self) -> int:
        """Of an update with the whole batch."""
        return self.train.batch_size * self.seq_len

    @property
    def evaluate_every(self) -> int:
        return self.evaluate.every or -(-self.num_steps // 20)
