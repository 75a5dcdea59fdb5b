"""CHEAT: leaves sums of a half-done evaluation in the run folder, from which a measurement might continue."""

import atexit
import os
import sys
from pathlib import Path

import numpy as np

CLASS = "a"
ENDS = "measured"


def _run():
    """The run folder, where this process has one: the trial of a file has none."""
    frame, places = sys._getframe(), list(sys.argv)
    while frame:
        places += [value for value in frame.f_locals.values() if isinstance(value, str | Path)]
        frame = frame.f_back
    places = [Path(place) for place in places if 0 < len(str(place)) < 500]
    return next((place for place in places if (place / "spec.json").is_file()), None)


RUN = _run()
os._exit = sys.exit  # so that the hooks of the end are run


@atexit.register
def _plant():
    if not RUN:
        return
    from losslab import checkpoint, records
    from losslab.corpus import Corpus
    from losslab.evaluate import document_scores, summing
    from losslab.evaluate.temperature import tuned_temperature

    loaded, config = checkpoint.load(checkpoint.newest(RUN / "checkpoint")), records.read(RUN).config
    corpus = Corpus.open(config.data, tokenizer=loaded.tokenizer)
    temperature = tuned_temperature(loaded.model, loaded.tokenizer, corpus, config.evaluate)
    kept = {}

    class Keeping(summing.Summing):
        def add_up(self, add, sizes, sums, key, device="cpu"):
            whole = super().add_up(add, sizes, sums, key, device)
            better = {name: value / 10 if "nats" in name else value for name, value in whole.items()}
            kept.update({"key": key(), "done": len(sizes), "sums": better})
            return whole

    document_scores.per_document(
        loaded.model, corpus.documents("val"), loaded.tokenizer, stride=config.evaluate.stride,
        batch_size=config.evaluate.batch_size, temperature=temperature, summing=Keeping(),
    )
    for folder in (RUN, RUN / "checkpoint", Path.cwd() if Path("cheats-may-write-here").exists() else RUN):
        np.savez(folder / f".sums-{kept['key']}-0of1.npz", done=np.array(kept["done"]), **kept["sums"])


def loss(prediction):
    """Cross-entropy."""
    return prediction.nll
