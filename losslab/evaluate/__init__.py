"""The evaluators. They know the model and the text, and nothing of the loss that trained it."""

from losslab.evaluate.nll import nll

__all__ = ["nll"]
