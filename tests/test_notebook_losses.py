"""A Python function as a loss file: whole, the same loss, and refused with the reason where no file can hold it."""

import functools
import importlib
import math
import sys
from math import log as natural

import pytest
import torch
import torch.nn.functional as F
from record_runs import refused
from torch.nn.functional import softplus

from losslab import Objective, Prediction, loss_file
from losslab.notebook.functions import source

WEIGHT, SCALES = 0.25, (1.0, -2.0)
TABLE = torch.ones(3)


def lead(prediction):
    return prediction.target_logit - prediction.sum_logits / prediction.vocab_size


renamed = lead


def wide(prediction, *, width=WEIGHT, scale: float = SCALES[0]):
    """Uses modules, constants and functions."""
    inner = [math.exp(0.0) * each for each in SCALES]
    return prediction.nll + scale * softplus(width - lead(prediction)) + F.relu(renamed(prediction)) * sum(inner)


def classic(logits, targets):
    return F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1)) * natural(3)


def uses_a_tensor(prediction):
    return prediction.nll * TABLE[0]


def uses_nothing_that_is(prediction):
    return prediction.nll * not_there  # noqa: F821


def makes(width):
    def inner(prediction):
        return prediction.nll * width

    return inner


def test_the_file_is_the_same_loss(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path, logits, targets = loss_file(wide), torch.randn(2, 3, 5), torch.randint(5, (2, 3))
    text = (tmp_path / path).read_text()
    assert text == source(wide) and loss_file(wide) == path
    assert "import math\nimport torch.nn.functional as F\n" in text and "SCALES = (1.0, -2.0)" in text
    assert text.index("def lead") < text.index("def wide") and "renamed = lead" in text and "TABLE" not in text
    torch.testing.assert_close(Objective.parse(path)(logits, targets), wide(Prediction.dense(logits, targets)))
    other = Objective.parse(f'file("{path}", width=0.5)')
    torch.testing.assert_close(other(logits, targets), wide(Prediction.dense(logits, targets), width=0.5))


def test_the_classic_form_is_one_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    logits, targets = torch.randn(2, 3, 5), torch.randint(5, (2, 3))
    objective = Objective.parse(loss_file(classic))
    assert objective.takes_logits and "from math import log as natural" in source(classic)
    torch.testing.assert_close(objective(logits, targets)[0, 0], classic(logits, targets))


@pytest.mark.parametrize(("function", "says"), [
    (lambda prediction: prediction.nll, "a lambda has no name and no source of its own that could be recorded; write "
                                        "the loss as def my_loss(prediction): ..."),
    (makes(2.0), "inner uses width of the function around it, which no file can hold; make width a parameter"),
    (uses_a_tensor, "uses_a_tensor uses TABLE, an object of type Tensor, which its source does not hold"),
    (uses_nothing_that_is, "uses_nothing_that_is uses not_there, which is not defined"),
    (functools.partial(wide, width=2), "a loss is a formula or a function made by def, got an object of type partial"),
    (Prediction, "a loss is a formula or a function made by def"), (len, "of type builtin_function_or_method"),
])
def test_what_no_file_can_hold_is_refused_with_the_reason(function, says):
    assert says in refused(source, function)


def test_a_function_without_a_source_is_refused():
    scope = {}
    exec("def typed(prediction):\n    return prediction.nll", scope)
    assert refused(source, scope["typed"]) == (
        "the source of typed cannot be read, so it could not be recorded; define it by def in a notebook cell or a "
        "file")


def test_a_source_that_was_changed_since_is_refused(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    file = tmp_path / "losses_of_mine.py"
    file.write_text("import math\n\ndef mine(prediction):\n    return prediction.nll + math.pi\n")
    mine = importlib.import_module("losses_of_mine").mine
    assert "import math" in source(mine)
    file.write_text("import math\n\ndef mine(prediction):\n    return prediction.nll - math.pi\n")
    assert refused(source, mine) == (
        "the source of mine is not what was defined, for it was changed since; run its cell again")


def test_a_module_that_workers_do_not_see_is_refused(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "helpers_of_mine.py").write_text("HALF = 0.5\n")
    (tmp_path / "loss_of_mine.py").write_text(
        "import helpers_of_mine\n\ndef half(prediction):\n    return prediction.nll * helpers_of_mine.HALF\n")
    half = importlib.import_module("loss_of_mine").half
    assert "half uses the module helpers_of_mine, which the processes that train do not see" in refused(source, half)
