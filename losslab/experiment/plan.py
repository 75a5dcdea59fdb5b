"""One configuration and one seed, checked before anything is spent on it."""

import re
import textwrap
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import losslab
from losslab import config as configuration
from losslab import formula, lossfile, machine, parallel, records, start
from losslab.config import ExperimentConfig
from losslab.corpus import Corpus, instructions
from losslab.evaluate import tasks
from losslab.experiment import fitting
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
        outside: makes what is trained with, of the formula and its files, where their loss is computed in another
            process: this one may then train and measure.
    """

    def __init__(
        self, config: ExperimentConfig, *, files: dict[str, str] | None = None, corpus: Corpus | None = None,
        trusted: Collection[str] | None = None, trains: bool = False, tell: Tell = lambda text: None,
        progress: Progress | None = None, outside: Callable[[formula.Formula, list], Outline] | None = None,
    ):
        device = machine.resolve_device(config.train.device)
        dtype = machine.resolve_dtype(config.train.dtype, device)
        numerics = replace(config.train, device=device, dtype=dtype,
                           numerics=machine.resolve_numerics(config.train.numerics, device, dtype))
        self.start = start.read(config.start) if config.start else None
        config = self.start.settle(config) if self.start else config
        parsed = self.start.formula(config.loss) if self.start else formula.parse(config.loss)
        sources = lossfile.sources(parsed, files)
        self.trains = trains or outside is not None or parallel.world_size() > 1
        self.objective: Objective | Outline | None = None
        if outside is not None:
            self.objective = outside(parsed, sources)
        elif trusted is None:
            lossfile.allow((source.sha256, source.path) for source in sources)
        else:
            lossfile.check(sources, trusted, what=f"the loss {config.loss}")
        if outside is None and (self.trains or not sources):
            self.objective = Objective(parsed, {source.path: source.text for source in sources})
        for name in config.evaluate.task_names:
            tasks.check(name)
        tokenizer = self.start.tokenizer if self.start else None
        if "cpu" in device or "cuda" in device:  # before anything of that size is built
            fitting.check_early(config, device)
        progress = progress or Lines(tell)
        self.corpus = corpus or Corpus.open(config.data, tokenizer=tokenizer, progress=progress)
        if self.corpus.packing(config.data) == "stream":
            self.corpus.check(config.seq_len)
        self._look_at_data(config, tell if corpus is None and not trains else lambda text: None)
        self.vocabulary = self.corpus.vocabulary()
        if self.objective is None:
            place = self.corpus.name, str(self.corpus.folder), self.corpus.digest
            self.objective = Outline(parsed, sources, lossfile.tried(str(parsed), tuple(sources), place, progress))
        elif outside is None:
            self.objective.check(self.corpus.tokenizer.vocab_size, self.vocabulary)
        if config.model.padding == "counted":  # padded ids take part in training
            self.vocabulary = self.vocabulary.padded(config.model.rows(self.corpus.tokenizer.vocab_size))
        if config.seq_len == config.model.num_positions:  # one spelling of a length, as of a formula
            numerics = replace(numerics, seq_len=0)
        data = config.data
        if self.corpus.packing(data) == self.corpus.packing(replace(data, packing="auto")):  # one spelling here, too
            data = replace(data, packing="auto")
        self.config = replace(config, loss=str(self.objective), train=numerics, data=data)
        fitting.check(self.config, self.corpus.tokenizer.vocab_size, takes_logits=self.objective.takes_logits)
        self.num_steps = config.num_steps
        self.reference = reference(self.config, self.corpus)
        self.curriculum = curriculum(self.config, self.corpus, self.reference, progress or Lines(tell))

    @property
    def runs_files(self) -> bool:
        """Whether training executes a loss file."""
        return bool(self.objective.sources)

    @property
    def ranks(self) -> str:
        """How the ranks share the model: `alone`, `replicated` or `sharded`."""
        return fitting.way(self.config, self.corpus.tokenizer.vocab_size, takes_logits=self.objective.takes_logits)

    @cached_property
    def num_tokens(self) -> int:
        """Targets of the whole run that count."""
        if self.curriculum is not None:
            return self.config.num_tokens
        return self.batches().num_targets(self.num_steps)

    def batches(self, *, seed: int | None = None, batch_size: int = 0, rank: int = 0, world: int = 1):
        """The batches of training, as `Corpus.batches` has them.

        Args:
            seed: of their order; that of the run unless given.
            batch_size: in place of the run's own, without its growth and its curriculum.
        """
        config = self.config
        own = {} if batch_size else {"growth": config.train.growth, "curriculum": self.curriculum}
        return self.corpus.batches(
            "train", seed=config.data_seed if seed is None else seed, batch_size=batch_size or config.train.batch_size,
            seq_len=config.seq_len, rank=rank, world=world, data=config.data, **own,
        )

    def _look_at_data(self, config: ExperimentConfig, tell: Tell) -> None:
        """What was counted in instruction data, and how its examples stand in batches; an error for a curriculum."""
        packing = self.corpus.packing(config.data)
        if not (self.corpus.is_instructions or config.data.mask_prompts):
            raise ValueError(f"data.mask_prompts false is for instruction data, and {self.corpus.name} is plain text, "
                             "of which every token is learned; leave it out")
        if packing == "stream" and config.data.too_long != "truncate":
            raise ValueError(f"data.too_long {config.data.too_long} is for the packings packed and padded, and "
                             f"{self.corpus.name} is in a stream, in which nothing is too long; leave it out")
        if config.data.curriculum and (self.corpus.is_instructions or packing != "stream"):
            raise ValueError(f"data.curriculum {config.data.curriculum} is for plain text in the packing stream, and "
                             f"{self.corpus.name} is in {packing}; leave it out")
        self.layout = None
        if packing != "stream":
            self.layout = self.corpus.layout("train", config.data, config.seq_len).about()
        if self.corpus.is_instructions:
            tell(f"{self.corpus.name}: {instructions.told(self.corpus.meta['instructions'])}")
            tell(textwrap.indent(self.corpus.meta["instructions"]["template_text"], "  | ", lambda line: True))
        if self.layout and (told := packing_text(self.layout, packing, config)):
            tell(told)

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
            "corpus": {name: value for name, value in about.items() if name not in ("sample", "folder", "variety")},
            **({"packing": self.layout} if self.layout else {}),
            **({"start": self.start.weights} if self.start else {}),
            **({"reference": self.reference.weights} if self.reference else {}),
        }

    def folder(self, store: str | Path) -> Path:
        """Where this run lies in a store; one that an earlier losslab wrote keeps its folder."""
        slug = re.sub(r"[^A-Za-z0-9.]+", "-", str(self.objective)).strip("-")[:40]
        return records.place(store, slug, self.condition, self.config.seed)


def packing_text(layout: dict, packing: str, config: ExperimentConfig) -> str:
    """How documents stand in the rows of a batch, and what became of those that are too long."""
    how = "several in a row, none attending to another" if packing == "packed" else "one in a row"
    text = (f"packing {packing}: {layout['documents']:,} documents in {layout['rows']:,} rows of {config.seq_len} "
            f"tokens ({how}), {layout['filled']:.0%} of them filled")
    if layout["truncated"]:
        text += f"; {layout['truncated']:,} longer ones lose their end (data.too_long truncate)"
    if layout["left_out"]:
        why = "longer ones" if config.data.too_long == "leave_out" else "whose prompt alone fills the row"
        text += f"; {layout['left_out']:,} {why} are left out"
    return text
