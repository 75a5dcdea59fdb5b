"""A small trained model, its checkpoint, and checkpoints that a forger would leave."""

import hashlib
import json

import pytest
import torch

from losslab import checkpoint, formula, optim
from losslab import tokenizer as tokenizers
from losslab.config import ModelConfig, TrainConfig
from losslab.model import initialized
from losslab.objective import Objective
from losslab.training_loop import train

CONFIG = ModelConfig(n_layer=1, n_head=2, n_embd=8, num_positions=8)


@pytest.fixture
def trained():
    def batches(step):
        x = torch.randint(257, (2, 9), generator=torch.Generator().manual_seed(step))
        return x[:, :-1], x[:, 1:]

    model = initialized(CONFIG, 257, 0, formula.transforms("softcap(15)"))
    config = TrainConfig(num_steps=3, batch_size=2)
    optimizer = optim.build(model, config)
    train(model, batches, Objective.parse("cross_entropy"), config, optimizer=optimizer)
    return model, optimizer


def save(folder, trained, step=3, **options):
    model, optimizer = trained
    return checkpoint.save(folder, model, tokenizers.make("bytes"), step=step, tokens=48, seconds=1.5,
                           optimizer=optimizer, **options)


def signed(path):
    """The checkpoint at `path` with a manifest that fits what lies there, as a forger would leave it."""
    files = {file.name: file for file in path.iterdir() if file.name != "manifest.json"}
    sums = {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items()}
    (path / "manifest.json").write_text(json.dumps(sums))
    return path


def with_about(path, **values):
    about = json.loads((path / "model.json").read_text()) | values
    (path / "model.json").write_text(json.dumps({key: value for key, value in about.items() if value is not ...}))
    return signed(path)


def sized(**values):
    return vars(CONFIG) | values
