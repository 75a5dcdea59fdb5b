"""Weights that a training starts from: those of another run, or of an imported model."""

from dataclasses import dataclass, replace
from pathlib import Path

from losslab import checkpoint, formula, records
from losslab.config import ExperimentConfig, ModelConfig
from losslab.model import LanguageModel
from losslab.tokenizer import Tokenizer, load


@dataclass(frozen=True)
class Start:
    """A checkpoint, as far as it is known without reading its weights."""

    path: Path
    weights: str  # their sha256
    model: ModelConfig
    transforms: tuple[formula.Transform, ...]
    tokenizer: Tokenizer

    def settle(self, config: ExperimentConfig) -> ExperimentConfig:
        """`config` with the model and the tokenizer of these weights; training can choose the dropout alone.

        Raises:
            ValueError: if `config` asks for a switch that these weights were not made with.
        """
        for name, value in config.model.switches.items():
            if (own := getattr(self.model, name)) != value:
                raise ValueError(f"model.{name} {value} is asked for, and {config.start}, from which training starts, "
                                 f"has {own}; leave it out, or start without those weights")
        model = replace(self.model, dropout=config.model.dropout, init_seed=None, zero_init=False)
        settled = replace(config, model=model, data=replace(config.data, tokenizer=self.tokenizer.name))
        settled.check_model()
        return settled

    def formula(self, loss: str) -> formula.Formula:
        """The formula of `loss` with the logit transform of the model, which is put in front of it as a value.

        Raises:
            ValueError: if the formula has another transform: these weights were trained without it.
        """
        given = formula.parse(loss)
        if given.transforms and formula.bound(given.transforms) != self.transforms:
            theirs, own = map(formula.print_transforms, (given.transforms, self.transforms))
            raise ValueError(f"{loss!r} has the logit transform {theirs}, and the model it starts from has "
                             f"{own or 'none'}; leave it out, and the model's own is taken")
        return given if given.transforms else replace(given, transforms=tuple(each.call for each in self.transforms))

    def load_into(self, model: LanguageModel) -> None:
        model.load_state_dict(checkpoint.load(self.path, weights_sha256=self.weights).model.state_dict())


def read(folder: str) -> Start:
    """The newest whole checkpoint of the run or imported model in `folder`."""
    records.read(folder)  # says so where there is none
    path = checkpoint.newest(Path(folder) / "checkpoint")
    weights = checkpoint.manifest(path)["model.safetensors"]
    about, model = checkpoint.about(path)
    return Start(path, weights, model, about["transforms"], load(path))
