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
from losslab.notebook import written
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


# --- what is written is what runs --------------------------------------------------------------

def defined(folder, monkeypatch, text, name="margin"):
    """A function of a file, as a cell would define it: with all that the file does after it."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(folder)
    (folder / "cells_of_mine.py").write_text(text)
    monkeypatch.delitem(sys.modules, "cells_of_mine", raising=False)
    return getattr(importlib.import_module("cells_of_mine"), name)


KEEPS = """import functools
def scaled(by):
    def decorator(function):
        @functools.wraps(function)
        def inner(prediction):
            return by * function(prediction)
        return inner
    return decorator
"""
PLAIN = "def margin(prediction, *, weight=1.0):\n    return prediction.nll * weight\n"
CHANGED = "margin is not what its source makes, for it was changed or wrapped since; write what wraps it as a decorator"


@pytest.mark.parametrize(("text", "says"), [
    ("W = 1.0\ndef margin(prediction, *, weight=W):\n    return prediction.nll * weight\nW = 5.0\n",
     "the default of weight in margin is weight=1.0, and its source makes it weight=5.0 today; run its cell again"),
    (PLAIN + "margin.__kwdefaults__ = {'weight': 7.0}\n", "is weight=7.0, and its source makes it weight=1.0 today"),
    (PLAIN + "margin.__kwdefaults__ = None\n", "is none, and its source makes it weight=1.0 today"),
    ("W = [1.0]\ndef margin(prediction, weight=W[0] + 1):\n    return prediction.nll * weight\nW[0] = 2.0\n",
     "is weight=2.0, and its source makes it weight=3.0 today"),
    ("W = 1.0\ndef part(nll, weight=W):\n    return nll * weight\nW = 5.0\n"
     "def margin(prediction):\n    return part(prediction.nll)\n",
     "the default of weight in part is weight=1.0, and its source makes it weight=5.0 today"),
    (KEEPS + "W = 1.0\n@scaled(W)\ndef margin(prediction):\n    return prediction.nll\nW = 5.0\n",
     "a decorator of margin keeps 1.0, and its source makes it 5.0 today; run its cell again"),
    (KEEPS + PLAIN + "margin = scaled(2.0)(margin)\n", CHANGED),
    (KEEPS + "@scaled(2.0)\n" + PLAIN + "margin = margin.__wrapped__\n", CHANGED),
    (PLAIN + "margin.width = 3.0\n", "margin has other attributes than its source gives it, such as 'width'; make it"),
    ("def part(nll):\n    return nll\nold = part\ndef part(nll):\n    return -nll\n"
     "def margin(prediction):\n    return part(prediction.nll) + old(prediction.nll)\n", "part is not what its source"),
    ("def margin(prediction):\n    return margin(prediction)\nother = margin\ndef margin(prediction):\n    return 1\n",
     None),
])
def test_what_runs_otherwise_than_it_is_written_is_refused(tmp_path, monkeypatch, text, says):
    if says is None:
        other = defined(tmp_path, monkeypatch, text, "other")
        assert "margin uses margin, which is no longer this function" in refused(source, other)
    else:
        assert says in refused(source, defined(tmp_path, monkeypatch, text))


@pytest.mark.parametrize("text", [
    KEEPS + "W = 1.0\n@scaled(W)\ndef margin(prediction):\n    return prediction.nll\n",
    "import torch\nF = 3.0\n@torch.no_grad()\ndef margin(prediction):\n    return prediction.nll * F\n",
    "import math\nimport torch\ndef margin(prediction, *, at=torch.ones(2), of=math.exp, to=(float('nan'), -0.0)):\n"
    "    return prediction.nll * at[0]\n",
    "W = 1.0\ndef margin(prediction, *, weight=W):\n    return prediction.nll * weight * V\nV = 2.0\nV = 3.0\n",
    "from __future__ import annotations\ndef margin(prediction: Prediction) -> float:\n    try:\n"
    "        return max(each for each in [1.0])\n    except ValueError:\n        return 1\nPrediction = 1\n",
])
def test_what_runs_as_it_is_written_is_taken(tmp_path, monkeypatch, text):
    assert "def margin(prediction" in source(defined(tmp_path, monkeypatch, text))


@pytest.mark.parametrize(("before", "after"), [
    ("    if prediction:\n        a = 1\n        b = 2\n    return a + b\n",
     "    if prediction:\n        a = 1\n    b = 2\n    return a + b\n"),
    ("    try:\n        a = f(1)\n        b = f(2)\n    except ValueError:\n        return 0\n    return a + b\n",
     "    try:\n        a = f(1)\n    except ValueError:\n        return 0\n    b = f(2)\n    return a + b\n"),
])
def test_lines_that_only_moved_are_another_code(before, after):
    codes = [compile(f"def loss(prediction):\n{text}", "loss", "exec").co_consts[0] for text in (before, after)]
    assert written.same_code(codes[0], codes[0]) and not written.same_code(*codes)


def test_arguments_of_another_kind_are_another_code():
    codes = [compile(f"def loss({taken}): return a", "loss", "exec").co_consts[0] for taken in ("a, b", "a, *, b")]
    assert not written.same_code(*codes)
