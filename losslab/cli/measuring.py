"""evaluate, generate: what a trained model can do."""

import dataclasses
from pathlib import Path

from losslab import config as configuration
from losslab.cli.application import app
from losslab.cli.flags import Corpus, Data, Json, given, known
from losslab.cli.speech import score_text, show, tell


@app.command(sort_key=3)
def evaluate(run: Path, *, corpus: Corpus = None, stride: int = 0, device: str = "cpu", json: Json = False,
             data: Data = None):
    """Measure a trained model: nats per token, bits per byte, perplexities.

    Parameters
    ----------
    run
        A run folder.
    stride
        Tokens between windows; 0 for disjoint windows of the context length.
    """
    from losslab import checkpoint, records
    from losslab.evaluate.ruler import measure

    record = records.read(run)
    config = configuration.override(record.config, {"data": given(data) | known(corpus=corpus)}, source="the flags")
    newest = checkpoint.newest(run / "checkpoint", warn=tell)
    rules = dataclasses.replace(config.evaluate, stride=stride)
    measured = measure(newest, config.data, rules, device=device)
    lines = [f"{run} on {measured['corpus']['name']} ({measured['counts']['documents']} documents, "
             f"{measured['counts']['bytes']:,} bytes)"]
    lines += [f"  {name:24} {score_text(score)}" for name, score in measured["scores"].items()]
    if measured["floor_bits_per_byte"] is not None:
        lines.append(f"  floor of this text       {measured['floor_bits_per_byte']:.4f} bits/byte, ends included")
    show({"run": str(run), **measured}, "\n".join(lines), json)


@app.command(sort_key=4)
def generate(run: Path, prompt: str = "", *, num_tokens: int = 300, temperature: float = 0.8, top_k: int = 0,
             seed: int = 0, num_samples: int = 1, device: str = "cpu", json: Json = False):
    """Let a trained model write.

    Parameters
    ----------
    run
        A run folder.
    prompt
        Text to go on from; none starts a new document.
    temperature
        0 takes the most likely token each time.
    top_k
        Sample among the k most likely tokens; 0 for all.
    """
    from losslab import checkpoint
    from losslab.generate import generate as sample

    loaded = checkpoint.load(checkpoint.newest(run / "checkpoint", warn=tell), device=device)
    texts = [sample(loaded.model, loaded.tokenizer, prompt.rstrip(" "), num_tokens=num_tokens,
                    temperature=temperature, top_k=top_k, seed=seed + index) for index in range(num_samples)]
    show({"run": str(run), "prompt": prompt, "texts": texts}, "\n\n".join(texts), json)
