"""The one number by which a model's logits are divided so that its probabilities cost least."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import torch

from losslab import machine
from losslab.config import EvaluateConfig
from losslab.corpus import Corpus
from losslab.evaluate import windows
from losslab.evaluate.logprobs import evaluation_mode, hidden_before, logit_tiles

FIT_LOGITS = 2**28  # that a temperature is fitted on: one number needs no more, and a large vocabulary has them soon


def fit_temperature(model, documents: Sequence, tokenizer, *, batch_size: int = 32, seq_len: int = 0) -> float:
    """The one number by which to divide a model's logits so that they cost least on `documents`.

    Some losses define no probabilities, or overstated ones; this reads them at their best. The mean nll is convex
    in the inverse temperature b, with derivative E_p[z] - z_y and second derivative Var_p[z], so Newton's method
    with steps of at most a factor of 4 finds it: first on every eighth token, then on all of them.

    Args:
        documents: held out, and not those that the verdict is on.
        seq_len: tokens in a window; 0 means as many as the model has positions.

    Returns:
        the temperature 1/b, between 1e-3 and 1e3.

    Example:
        >>> from losslab import config, corpus, model, tokenizer
        >>> vocabulary, text = tokenizer.make("bytes"), "Once upon a time"
        >>> document = corpus.Document(vocabulary.encode(text), num_bytes=16, num_words=4, ends=True)
        >>> untrained = model.initialized(config.ModelConfig(n_layer=1, n_head=1, n_embd=8), vocabulary.vocab_size, 0)
        >>> 1e-3 <= fit_temperature(untrained, [document], vocabulary) <= 1e3
        True
    """
    with evaluation_mode(model):
        batches = windows.plan(documents, seq_len or model.config.num_positions, 0, batch_size)
        built = (windows.build(batch, documents, tokenizer.eot) for batch in batches)
        found = [hidden_before(model, batch, batch.counts) for batch in built]
        hidden, targets = map(torch.cat, zip(*found, strict=True))  # small compared with the logits
        b = 1.0
        for step in (8, 1):
            b = _newton(model, hidden[::step], targets[::step], tokenizer.vocab_size, b)
    return 1.0 / b


def _newton(model, hidden: torch.Tensor, targets: torch.Tensor, vocab_size: int, b: float) -> float:
    wide = machine.widest(hidden.device)
    for _ in range(30):
        slope = curvature = 0.0
        for at, z in logit_tiles(model, hidden, vocab_size):
            z = z - z.amax(-1, keepdim=True)  # not in place: a model may hand out its own numbers
            p = z.mul(b)
            p = torch.softmax(p, -1, out=p)
            mean = p.mul_(z).sum(-1)
            slope += (mean - z.gather(-1, targets[at, None])[:, 0]).to(wide).sum().item()
            curvature += (p.mul_(z).sum(-1) - mean.square()).to(wide).sum().item()
        if not math.isfinite(slope) or curvature <= 0:
            return b
        new = min(max(b - slope / curvature, b / 4, 1e-3), b * 4, 1e3)
        if abs(new - b) <= 1e-4 * b:
            return new
        b = new
    return b


def tuned_temperature(model, tokenizer, corpus: Corpus, config: EvaluateConfig, *, seq_len: int = 0) -> float:
    """The temperature that reads a model best on a fixed part of `tune`; 1 where there is none."""
    num_tokens = min(config.tune_tokens, max(2048, FIT_LOGITS // tokenizer.vocab_size))
    tune = first_tokens(corpus.documents("tune"), tokenizer, num_tokens)
    if not tune:
        return 1.0
    return fit_temperature(model, tune, tokenizer, batch_size=config.batch_size, seq_len=seq_len)


def first_tokens(documents: Sequence, tokenizer, num_tokens: int) -> list:
    """The first documents up to `num_tokens` tokens; the last of them is cut where the tokens run out.

    Example:
        >>> from losslab import corpus, tokenizer
        >>> vocabulary, text = tokenizer.make("bytes"), "Once upon a time"
        >>> document = corpus.Document(vocabulary.encode(text), num_bytes=16, num_words=4, ends=True)
        >>> parts = first_tokens([document, document], vocabulary, 20)
        >>> [(len(part.tokens), part.num_words, part.ends) for part in parts]
        [(16, 4, True), (4, 1, False)]
    """
    taken, left = [], num_tokens
    for document in documents:
        if left <= 0:
            break
        if len(document.tokens) > left:
            own = tokens = np.asarray(document.tokens[:left])
            example = {}
            if getattr(document, "answers", None) is not None:
                own = tokens[answers := document.answers[:left]]
                example = {"answers": answers}
            document = dataclasses.replace(
                document, tokens=tokens, num_bytes=int(tokenizer.token_bytes[own].sum()),
                num_words=len(tokenizer.decode(own).split()), ends=False, **example,
            )
        taken.append(document)
        left -= len(document.tokens)
    return taken
