"""A saved model and a text in, every likelihood score out: all that a verdict rests on."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from losslab import checkpoint
from losslab.config import DataConfig, EvaluateConfig
from losslab.corpus import Corpus
from losslab.evaluate.nll import per_document, scores
from losslab.evaluate.sweep import Sweep
from losslab.evaluate.temperature import fit_temperature

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
FIT_LOGITS = 2**28  # that a temperature is fitted on: one number needs no more, and a large vocabulary has them soon


def measure(
    path: str | Path, data: DataConfig, config: EvaluateConfig | None = None, *, device: str = "cpu",
    partial: Path | None = None,
) -> dict:
    """Score the checkpoint at `path` on the whole `val` split of a corpus.

    The temperature of `nll_calibrated` is fitted on a fixed part of `tune`, which shares no document with `val`.
    In the folder `partial` a long evaluation keeps what it has, and goes on from there when it is called again.

    Returns:
        a JSON-able dictionary: `scores` (name -> value, stderr, n, unit), `temperature`, `counts`,
        `document_perplexity` (quantile -> perplexity of that share of documents), `corpus`, `floor_bits_per_byte`.
    """
    config = config or EvaluateConfig()
    loaded = checkpoint.load(path, device=device)
    model, tokenizer = loaded.model, loaded.tokenizer
    corpus = Corpus.open(data, tokenizer=tokenizer)
    temperature = tuned_temperature(model, tokenizer, corpus, config)
    rows = per_document(
        model, corpus.documents("val"), tokenizer, stride=config.stride, batch_size=config.batch_size,
        temperature=temperature, sweep=Sweep(partial=partial),
    )
    named = scores(rows, suffix=f"_stride_{config.stride}" if config.stride else "")
    return {
        "scores": {name: score.to_dict() for name, score in named.items()},
        "temperature": temperature,
        "counts": {
            "documents": len(rows.nats),
            "tokens": int((rows.num_tokens + rows.num_ends).sum()),
            "bytes": int(rows.num_bytes.sum()),
            "words": int(rows.num_words.sum()),
        },
        "document_perplexity": {str(q): float(np.quantile(rows.perplexity, q)) for q in QUANTILES},
        "corpus": {"name": corpus.name, "digest": corpus.digest},
        "floor_bits_per_byte": corpus.floor_bits_per_byte,
    }


def tuned_temperature(model, tokenizer, corpus: Corpus, config: EvaluateConfig) -> float:
    """The temperature that reads a model best on a fixed part of `tune`; 1 where there is none."""
    num_tokens = min(config.tune_tokens, max(2048, FIT_LOGITS // tokenizer.vocab_size))
    tune = first_tokens(corpus.documents("tune"), tokenizer, num_tokens)
    return fit_temperature(model, tune, tokenizer, batch_size=config.batch_size) if tune else 1.0


def first_tokens(documents: Sequence, tokenizer, num_tokens: int) -> list:
    """The first documents up to `num_tokens` tokens; the last of them is cut where the tokens run out."""
    taken, left = [], num_tokens
    for document in documents:
        if left <= 0:
            break
        if len(document.tokens) > left:
            tokens = np.asarray(document.tokens[:left])
            document = dataclasses.replace(
                document, tokens=tokens, num_bytes=int(tokenizer.token_bytes[tokens].sum()),
                num_words=len(tokenizer.decode(tokens).split()), ends=False,
            )
        taken.append(document)
        left -= len(document.tokens)
    return taken
