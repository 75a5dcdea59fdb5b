"""One configuration and one seed, checked before anything is spent on it."""

import re
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import losslab
from losslab import config as configuration
from losslab import formula, lossfile, machine, parallel, records, start
from losslab.config import ExperimentConfig
from losslab.corpus import Corpus
from losslab.evaluate import tasks
from losslab.experiment.curriculum import curriculum, reference
from losslab.objective import Objective, Outline
from losslab.progress import Lines, Progress

Tell = Callable[[str], None]


class Experiment:
    """One configuration and one seed: what is trained on what, and the names it goes by.

    A process that has executed a loss file must neither measure nor write a result. So `objective` is an `Outline`
    where the formula has loss files, which are tried in a separate process, unless this process is one that trains.

    Args:
        config: what is asked; a formula in any spelling.
        files: the source text of loss files by their path; others are read from disk.
        corpus: the corpus, where it is open already.
        trusted: hashes of loss files that may run besides those in the user's list; None if it was the user who
            named the files of this formula, which puts them on that list.
        trains: whether this process will train, and may execute loss files; always under `torchrun`.
        tell: takes sentences for people.
    """

    def __init__(
        self, config: ExperimentConfig, *, files: dict[str, str] | None = None, corpus: Corpus | None = None,
        trusted: Collection[str] | None = None, trains: bool = False, tell: Tell = lambda text: None,
        progress: Progress | None = None,
    ):
        device = machine.resolve_device(config.train.device)
        dtype = machine.resolve_dtype(config.train.dtype, device)
        numerics = replace(config.train, device=device, dtype=dtype,
                           numerics=machine.resolve_numerics(config.train.numerics, device, dtype))
        self.start = start.read(config.start) if config.start else None
        config = self.start.settle(config) if self.start else config
        parsed = self.start.formula(config.loss) if self.start else formula.parse(config.loss)
        sources = lossfile.sources(parsed, files)
        if trusted is None:
            lossfile.allow((source.sha256, source.path) for source in sources)
        else:
            lossfile.check(sources, trusted, what=f"the loss {config.loss}")
        self.trains = trains or parallel.world_size() > 1
        self.objective: Objective | Outline | None = None
        if self.trains or not sources:
            self.objective = Objective(parsed, {source.path: source.text for source in sources})
        for name in config.evaluate.task_names:
            tasks.check(name)
        tokenizer = self.start.tokenizer if self.start else None
        if "cpu" in device or "cuda" in device:  # before anything of that size is built
            machine.check_fits(config.model.num_params(257), device)
        progress = progress or Lines(tell)
        self.corpus = corpus or Corpus.open(config.data, tokenizer=tokenizer, progress=progress)
        self.corpus.check(config.seq_len)
        self.vocabulary = self.corpus.vocabulary()
        if self.objective is None:
            place = self.corpus.name, str(self.corpus.folder), self.corpus.digest
            self.objective = Outline(parsed, sources, lossfile.tried(str(parsed), tuple(sources), place, progress))
        else:
            self.objective.check(self.corpus.tokenizer.vocab_size, self.vocabulary)
        if config.model.padding == "counted":  # padded ids take part in training
            self.vocabulary = self.vocabulary.padded(config.model.rows(self.corpus.tokenizer.vocab_size))
        if config.seq_len == config.model.num_positions:  # one spelling of a length, as of a formula
            numerics = replace(numerics, seq_len=0)
        self.config = replace(config, loss=str(self.objective), train=numerics)
        self.num_steps = config.num_steps
        self.reference = reference(self.config, self.corpus)
        self.curriculum = curriculum(self.config, self.corpus, self.reference, progress or Lines(tell))

    @property
    def runs_files(self) -> bool:
        """Whether training executes a loss file."""
        return bool(self.objective.sources)

    @property
    def num_tokens(self) -> int:
        """Targets of the whole run; no target of a corpus is masked."""
        return self.config.num_tokens

    @property
    def condition(self) -> str:
        """Names everything but the seed: what replicates share, and what is never mixed."""
        return configuration.digest(configuration.identity(
            self.config, objective=self.objective.explicit, corpus=self.corpus.digest,
            weights=self.start.weights if self.start else "",
            reference=self.reference.weights if self.reference else "",
        ))

    @property
    def spec(self) -> dict:
        about = self.corpus.describe()
        return {
            "version": losslab.__version__,
            "identity": configuration.VERSION,
            "condition": self.condition,
            "config": configuration.to_dict(self.config),
            "objective": self.objective.explicit,
            "losses": [{"path": s.path, "sha256": s.sha256, "source": s.text} for s in self.objective.sources],
            "corpus": {name: value for name, value in about.items() if name not in ("sample", "folder")},
            **({"start": self.start.weights} if self.start else {}),
            **({"reference": self.reference.weights} if self.reference else {}),
        }

    def folder(self, store: str | Path) -> Path:
        """Where this run lies in a store; one that an earlier losslab wrote keeps its folder."""
        slug = re.sub(r"[^A-Za-z0-9.]+", "-", str(self.objective)).strip("-")[:40]
        return records.place(store, slug, self.condition, self.config.seed)
