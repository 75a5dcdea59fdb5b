"""The door to the Hugging Face world: a run becomes a GPT-2 that `transformers` loads, and theirs one of ours."""

from losslab.hub.export import export_run
from losslab.hub.imports import import_model

__all__ = ["export_run", "import_model"]
