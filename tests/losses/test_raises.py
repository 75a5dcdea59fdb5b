"""The docstring of a loss says what it refuses, where it refuses something, and nowhere else."""

import importlib
import inspect
import pkgutil

import losslab.losses

# itself, or by what it asks of a prediction
REFUSES = ("raise ValueError", ".vocabulary(", ".dot(", "prediction.logits")


def test_a_loss_says_what_it_refuses():
    for module in pkgutil.iter_modules(losslab.losses.__path__):
        loss = getattr(importlib.import_module(f"losslab.losses.{module.name}"), module.name)
        body = inspect.getsource(loss).replace(loss.__doc__, "")
        refuses = any(sign in body for sign in REFUSES)
        assert ("\nRaises:\n    ValueError: " in inspect.getdoc(loss)) == refuses, module.name
