"""Small run folders, and the sentence with which a call is refused."""

import pytest

from losslab import config, records

SPLITS = {name: {"documents": 8, "tokens": 2000, "bytes": 1992} for name in ("train", "tune", "val")}
CORPUS = {"name": "tales", "digest": "c0ffee", "tokenizer": "bytes", "vocab_size": 257, "splits": SPLITS}
ENVIRONMENT = {"torch": "2.13.0", "device": "cpu", "dtype": "float32", "threads": 1}
RESULT = {
    "status": "finished", "step": 50, "num_steps": 50, "tokens": 5120,
    "scores": {"nll": {"value": 1.5, "stderr": 0.01, "n": 8, "unit": "nats/token"},
               "perplexity": {"value": 4.48, "stderr": 0.04, "n": 8, "unit": "per token"}},
    "temperature": 1.02, "counts": {"documents": 8}, "document_perplexity": {"0.5": 4.4}, "floor_bits_per_byte": None,
    "cost": {"train_seconds": 5.5, "loss_cost_ratio": 1.0}, "model": {"num_params": 1000},
    "samples": [{"prompt": "", "text": "Once"}], "checkpoint": "step-00000050", "weights": "ab" * 32,
}


def spec(loss="cross_entropy", seed=0, condition=None, **train):
    settings = config.to_dict(config.preset("tiny")) | {"loss": loss, "seed": seed}
    settings["train"] = settings["train"] | train
    return {"version": "0.1.0", "condition": condition or config.digest([loss, train]), "config": settings,
            "corpus": CORPUS, "objective": loss, "losses": []}


def write_run(folder, loss="cross_entropy", seed=0, result=RESULT, lines=3, **options):
    records.create(folder, spec(loss, seed, **options), ENVIRONMENT)
    log = records.Log(folder)
    for step in range(1, lines + 1):
        log.write(step=step, tokens=100 * step, seconds=0.5 * step, **{"tune/nll": 3.0 / step})
    if result:
        records.write_result(folder, result)
    return records.read(folder)


def refused(call, *arguments, **named):
    with pytest.raises(ValueError) as refusal:
        call(*arguments, **named)
    text = str(refusal.value)
    assert text.isprintable() and len(text) < 600, text
    return text
