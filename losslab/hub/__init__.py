"""Exchange with Hugging Face: a run is exported as a GPT-2 that `transformers` loads, and such a model is imported."""

from losslab.hub.export import export_run
from losslab.hub.imports import import_model

__all__ = ["export_run", "import_model"]
