"""What a training is held against: the size of its logits, what the frequencies of tokens alone would score, and the
seconds of cross-entropy."""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from losslab import machine, memory, parallel
from losslab.experiment.plan import Experiment
from losslab.fused.timing import Batch, in_turn
from losslab.model import LanguageModel
from losslab.objective import Objective

REPEATS = 9  # timings of the loss alone, at the end of a run
MOST_TOKENS = 256  # of which logits are held at once; their mean is steady, and it is a fraction of a look at `tune`


@torch.no_grad()
def logit_scale(model: LanguageModel, documents: Sequence, seq_len: int) -> tuple[float, float]:
    """Of the logits before a transform, over the first tokens of documents: the standard deviation over the vocabulary
    (mean over tokens), and the largest distance from 0.

    Args:
        model: left in the mode that it is in.
        documents: with `tokens`, ids; at least one token in all.
        seq_len: tokens that are read at once.
    """
    ids = _tokens(documents[:MOST_TOKENS])[:MOST_TOKENS]
    length = min(seq_len, len(ids))
    rows = len(ids) // length
    tokens = torch.from_numpy(ids[: rows * length]).to(model.lm_head.device).view(rows, length)
    was_training = model.training
    model.eval()
    try:
        logits = F.linear(model(tokens), model.lm_head).float()
    finally:
        model.train(was_training)
    return logits.std(-1, unbiased=False).mean().item(), logits.abs().max().item()


def frequency_nll(documents: Sequence, vocab_size: int) -> float:
    """nats/token of a text under the frequencies of its tokens alone: those of one half, with one added to each count,
    score the other half. A text that is short for its vocabulary scores too high, never too low.

    Example:
        >>> from types import SimpleNamespace
        >>> round(frequency_nll([SimpleNamespace(tokens=np.array([0, 1] * 500))], 2), 4)  # ln 2
        0.6931
    """
    ids = _tokens(documents, scored=True)
    is_fitted = np.arange(len(ids)) // 2 % 2 == 0  # pairs by turns: the subject of a text may change on its way
    fitted, scored = ids[is_fitted], ids[~is_fitted]
    counts = np.bincount(fitted, minlength=vocab_size)[:vocab_size] + 1.0
    return float(-np.log(counts / counts.sum())[scored].mean()) if len(scored) else float(np.log(vocab_size))


def loss_cost(experiment: Experiment, model, device: str, repeats: int = REPEATS) -> dict:
    """Seconds that the objective takes from hidden states to their gradients, and those of cross-entropy.

    On as many sequences as one rank computes at a time, since more need not fit. The best of several: what other
    processes take from this one only ever adds.
    """
    config = experiment.config
    batch = experiment.batches(seed=0, batch_size=memory.own_rows(config.train, parallel.world_size()))(0)
    tokens, targets = (torch.as_tensor(part).to(device) for part in batch[:2])
    with torch.no_grad(), machine.autocast(device, config.train.dtype):
        hidden = model(tokens)
    given = Batch(hidden, model.lm_head, targets, experiment.vocabulary.to(device), config.train.dtype)
    reference = Objective.parse("cross_entropy")
    own, plain = map(min, in_turn((experiment.objective, reference), given, repeats))
    if experiment.objective.explicit == reference.explicit:  # two timings of one thing
        own = plain = min(own, plain)
    return {"loss_seconds": own, "cross_entropy_seconds": plain, "loss_cost_ratio": own / plain}


def _tokens(documents: Sequence, *, scored: bool = False) -> np.ndarray:
    """The ids of documents; `scored`: of examples, those of their answers alone."""
    def of(document) -> np.ndarray:
        answers = getattr(document, "answers", None)
        return document.tokens[answers] if scored and answers is not None else document.tokens

    return np.concatenate([np.asarray(of(document), dtype=np.int64) for document in documents])
