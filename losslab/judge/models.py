"""Models to be judged, or to judge: run folders, imported models, and folders of transformers."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from losslab import checkpoint, hub, processes, records
from losslab.config import DataConfig
from losslab.evaluate import stored


@dataclass(frozen=True)
class Loaded:
    """A model with its tokenizer.

    Args:
        name: what it is called in results: its path, as it was given.
        path: its folder.
        weights: their sha256.
        data: the text that it was trained on; None where that is not known.
    """

    name: str
    path: Path
    model: object
    tokenizer: object
    weights: str
    data: DataConfig | None
    loss: str = ""


def load(path: Path, *, device: str = "cpu", tell: Callable[[str], None] = lambda text: None) -> Loaded:
    """The newest whole checkpoint of a run or imported model, or a GPT-2 as transformers writes it.

    Raises:
        ValueError: for a folder that is neither.
    """
    path = Path(path)
    if not records.is_run(path) and os.path.lexists(path / "config.json"):
        with processes.workplace() as folder:  # as `losslab import` reads it, and nothing of it is kept
            hub.import_model(str(path), folder / "model", tell=tell)
            found = load(folder / "model", device=device, tell=tell)
        return Loaded(str(path), path, found.model, found.tokenizer, found.weights, None)
    record = records.read(path)
    place, weights = stored.find(record, tell)
    found = checkpoint.load(place, device=device, weights_sha256=weights)
    data = None if "origin" in record.spec else record.config.data
    return Loaded(str(path), path, found.model.eval(), found.tokenizer, weights, data, record.loss)
