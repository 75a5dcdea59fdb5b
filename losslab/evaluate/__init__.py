"""The evaluators. They know the model and the text, and nothing of the loss that trained it."""

from losslab.evaluate.document_scores import nll

__all__ = ["nll"]
