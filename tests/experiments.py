"""A small configuration, a folder with a small text in it, estimates that time nothing, and the weights of a run."""

import dataclasses

import pytest

from losslab.config import DataConfig, EvaluateConfig, ExperimentConfig, ModelConfig, TrainConfig
from losslab.experiment import timing

SMALL = ExperimentConfig(
    data=DataConfig(corpus="text.txt", val_bytes=2_000, tune_bytes=2_000),
    model=ModelConfig(n_layer=1, n_head=2, n_embd=16, num_positions=16, dropout=0.1),
    train=TrainConfig(num_steps=30, batch_size=4, learning_rate=1e-2, device="cpu"),
    evaluate=EvaluateConfig(tune_tokens=256, every=10, num_samples=1, sample_tokens=10),
)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder to work in, with a small text of many documents."""
    monkeypatch.chdir(tmp_path)
    return small_text(tmp_path)


@pytest.fixture
def untimed(monkeypatch):
    """An estimate starts no processes to time updates: whatever a run is made of takes half a second."""
    half = dict.fromkeys(timing.FOUND, 0.5) | {"num_params": 1000}
    monkeypatch.setattr(timing, "measure", lambda experiments, *, threads, place=None: [half] * len(experiments))


def small_text(folder):
    """A text of many documents in `folder`."""
    documents = [f"The {a} cat number {n} sat on the {b} mat.\n" * 4
                 for n, (a, b) in enumerate([("big", "red"), ("old", "wet"), ("sad", "new"), ("odd", "tan")] * 30)]
    (folder / "text.txt").write_text("\n<|endoftext|>\n".join(documents))
    return folder


def change(config=SMALL, **sections):
    values = {name: dataclasses.replace(getattr(config, name), **value) if isinstance(value, dict) else value
              for name, value in sections.items()}
    return dataclasses.replace(config, **values)


def weights(folder):
    (newest,) = sorted(folder.glob("checkpoint/step-00000030"))
    return (newest / "model.safetensors").read_bytes()


# a run with dropout, to be filled with its steps and how often it looks at `tune`
SPEC = """
[data]
corpus = "text.txt"
val_bytes = 2000
tune_bytes = 2000
[model]
n_layer = 1
n_head = 2
n_embd = 16
num_positions = 16
dropout = 0.1
[train]
num_steps = {steps}
batch_size = 4
learning_rate = 1e-2
device = "cpu"
log_every = 1
checkpoint_every = {every}
[evaluate]
tune_tokens = 256
num_samples = 0
"""
