"""The evaluators. They are given the model and the text, not the loss that trained it."""

from losslab.evaluate.document_scores import nll

__all__ = ["nll"]
