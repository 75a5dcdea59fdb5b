"""Weights that a training starts from: those of another run, or of an imported model."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from losslab import checkpoint, formula, records
from losslab.config import ExperimentConfig, ModelConfig
from losslab.model import GPT2
from losslab.objective import Objective
from losslab.tokenizer import Tokenizer, load


@dataclass(frozen=True)
class Start:
    """A checkpoint, as far as it is known without reading its weights."""

    path: Path
    weights: str  # their sha256
    model: ModelConfig
    transform: str
    tokenizer: Tokenizer

    def settle(self, config: ExperimentConfig) -> ExperimentConfig:
        """`config` with the model and the tokenizer of these weights; training can choose the dropout alone."""
        model = replace(self.model, dropout=config.model.dropout)
        return replace(config, model=model, data=replace(config.data, tokenizer=self.tokenizer.name))

    def objective(self, loss: str, files: dict[str, str] | None = None) -> Objective:
        """The objective of `loss`, with the logit transform of the model.

        Raises:
            ValueError: if the formula has another transform: these weights were trained without it.
        """
        given = Objective.parse(loss, files)
        if given.transform_text and _explicit(given.transform_text) != _explicit(self.transform):
            raise ValueError(f"{loss!r} has the logit transform {given.transform_text}, and the model it starts from "
                             f"has {self.transform or 'none'}; leave it out, and the model's own is taken")
        if given.transform_text or not self.transform:
            return given
        return Objective.parse(f"{self.transform} | {formula.parse(loss)}", files)

    def load_into(self, model: GPT2) -> None:
        model.load_state_dict(checkpoint.load(self.path).model.state_dict())


def read(folder: str) -> Start:
    """The newest whole checkpoint of the run or imported model in `folder`."""
    records.read(folder)  # says so where there is none
    path = checkpoint.newest(Path(folder) / "checkpoint")
    weights = json.loads((path / "manifest.json").read_text(encoding="utf-8"))["model.safetensors"]
    about, model = checkpoint.about(path)
    return Start(path, weights, model, about["transform"], load(path))


def _explicit(transforms: str) -> str:
    return Objective.parse(f"{transforms} | cross_entropy" if transforms else "cross_entropy").explicit
