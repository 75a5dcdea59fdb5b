"""What `import losslab` offers: the same things whatever was imported before, with signatures that `help` shows."""

import importlib
import math
import pkgutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from forks import forked

import losslab
from losslab import tokenizer as tokenizers
from losslab.config import ModelConfig, TrainConfig
from losslab.model import initialized

PLACES = {
    "Objective": "losslab.objective", "Prediction": "losslab.prediction", "linear_loss": "losslab.fused",
    "train": "losslab.training_loop", "evaluate": "losslab.evaluate", "Arm": "losslab.study",
    "compare": "losslab.notebook.comparing", "Comparison": "losslab.notebook.compared",
    "runs": "losslab.notebook.stored", "Runs": "losslab.notebook.stored", "load": "losslab.notebook.models",
    "Model": "losslab.notebook.models", "inspect": "losslab.notebook.inspected",
    "Anatomy": "losslab.notebook.inspected", "loss_file": "losslab.notebook.functions",
}  # fmt: skip
CHECK = """
import inspect, losslab
from losslab import Objective, Prediction, compare, evaluate, linear_loss, load, loss_file, runs, train
functions = {"train": ("model", "batches", "objective"), "compare": ("losses",), "runs": ("store",),
             "load": ("run",), "loss_file": ("function",),
             "linear_loss": ("hidden", "lm_head", "targets", "objective")}
for name, first in functions.items():
    function = getattr(losslab, name)
    assert inspect.isfunction(function) and function is globals()[name], name
    assert tuple(inspect.signature(function).parameters)[: len(first)] == first, name
assert inspect.ismodule(evaluate) and evaluate is losslab.evaluate and inspect.isfunction(losslab.evaluate.nll)
assert list(inspect.signature(losslab.evaluate.nll).parameters)[:3] == ["model", "documents", "tokenizer"]
assert inspect.isclass(Objective) and inspect.isclass(Prediction) and type(losslab) is type(inspect)
"""


def test_each_name_is_the_same_in_a_fresh_process():
    run = subprocess.run([sys.executable, "-c", f"import losslab\n{CHECK}\nimport losslab.experiment\n{CHECK}"],
                         capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def checked():
    for place in (*PLACES.values(), "losslab.experiment", "losslab.cli"):
        importlib.import_module(place)
    exec(CHECK, {"__name__": "check"})


def test_each_name_is_the_same_after_all_modules_were_imported():
    forked(checked)


def test_no_module_has_the_name_of_a_function():
    """Importing it would put the module in the place of the function."""
    modules = {module.name for module in pkgutil.iter_modules(losslab.__path__)}
    assert modules & set(losslab.__all__) == {"evaluate"} and set(losslab.__all__) == PLACES.keys() <= set(dir(losslab))


def test_a_model_that_train_trains_is_better_by_nll():
    text = "the cat sat on the mat, and the mat sat still. "
    tokenizer, data = tokenizers.make("bytes"), np.frombuffer((2 * text).encode(), np.uint8).astype(np.int64)
    document = SimpleNamespace(tokens=data, num_bytes=len(data), num_words=len((2 * text).split()), ends=True)
    model = initialized(ModelConfig(n_layer=1, n_head=1, n_embd=16), tokenizer.vocab_size, 0)
    before = losslab.evaluate.nll(model, [document], tokenizer)["nll"]
    assert before.unit == "nats/token" and before.value == pytest.approx(math.log(tokenizer.vocab_size), rel=0.02)
    settings = TrainConfig(num_steps=10, learning_rate=0.01, warmup_steps=0)
    batch = data[None, :-1], data[None, 1:]
    losslab.train(model, lambda step: batch, losslab.Objective.parse("cross_entropy"), settings)
    assert losslab.evaluate.nll(model, [document], tokenizer)["nll"].value < before.value - 1


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'losslab' has no attribute 'trian'"):
        losslab.trian  # noqa: B018
