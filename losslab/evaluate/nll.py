"""Plain cross-entropy of a model on whole documents, in nats a token and bits a byte."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from losslab.stats import Score, ratio_score, transform_score

LOGITS_BYTES = 64 * 2**20  # of logits held at once


@dataclass(frozen=True)
class DocumentScores:
    """One row a document: nats of its text and of its end mark, and what they are divided by."""

    nats: np.ndarray  # float64 [documents], of the text's tokens
    end_nats: np.ndarray  # float64 [documents], of the end mark; 0 where the text does not end
    calibrated_nats: np.ndarray  # float64 [documents], text and end mark at the fitted temperature
    num_tokens: np.ndarray  # int64 [documents], without end marks
    num_ends: np.ndarray  # int64 [documents], 1 or 0
    num_bytes: np.ndarray  # int64 [documents]
    num_words: np.ndarray  # int64 [documents]

    @property
    def perplexity(self) -> np.ndarray:
        """`[documents]`, per token, end mark included."""
        with np.errstate(over="ignore"):
            return np.exp((self.nats + self.end_nats) / np.maximum(self.num_tokens + self.num_ends, 1))


def nll(model, documents: Sequence, tokenizer, *, stride: int = 0, batch_size: int = 32, temperature: float = 1.0):
    """The verdict's number and its relatives, on a whole set of documents.

    With the model's softmax at temperature 1, logit transform included, in float32 and summed in float64:

    $$\\text{nll} = \\frac{\\sum -\\log p(\\text{token})}{\\text{tokens}}, \\qquad
      \\text{bits per byte} = \\frac{\\sum -\\log p(\\text{token})}{\\ln 2 \\cdot \\text{bytes}}.$$

    Each document is read by itself, after an end mark; every token is scored once, its end mark too.

    Args:
        model: `model(tokens) -> hidden`, `model.logits(hidden)`, `model.config.max_seq_len`.
        documents: each with `tokens`, `num_bytes`, `num_words`, `ends`.
        tokenizer: for its end mark and its exact bytes per token.
        stride: tokens between windows; 0 means disjoint windows of the context length.
        batch_size: windows scored at once; changes speed, not results.
        temperature: divides the logits for `nll_calibrated`; fit it elsewhere, with `fit_temperature` on `tune`.

    Returns:
        name -> `Score` over documents (n = documents): `nll` and `nll_calibrated` in nats/token, end marks
        included; `bits_per_byte` (end marks in neither sum); `bits_per_byte_with_eot` (the code of text and ends);
        `perplexity` (a token's, of `nll`); `word_perplexity` (of the text, words as `str.split` counts them).
        A stride is part of the name, as in `nll_stride_64`.

    Raises:
        ValueError: if there is no document, or scored bytes are not the bytes of the text.

    Reference:
        Mielke, Can you compare perplexity across different segmentations?, 2019.
    """
    rows = per_document(
        model, documents, tokenizer, stride=stride, batch_size=batch_size, temperature=temperature
    )
    return scores(rows, suffix=f"_stride_{stride}" if stride else "")


def scores(rows: DocumentScores, *, suffix: str = "") -> dict[str, Score]:
    """The named scores of a table of documents."""
    tokens = rows.num_tokens + rows.num_ends
    nats = rows.nats + rows.end_nats
    per_token = _ratio(nats, tokens, "nats/token")
    per_word = _ratio(rows.nats, rows.num_words, "nats/word")
    named = {
        "nll": per_token,
        "bits_per_byte": _ratio(rows.nats / math.log(2), rows.num_bytes, "bits/byte"),
        "bits_per_byte_with_eot": _ratio(nats / math.log(2), rows.num_bytes, "bits/byte"),
        "perplexity": transform_score(per_token, _exp, _exp, unit="per token"),
        "word_perplexity": transform_score(per_word, _exp, _exp, unit="per word"),
        "nll_calibrated": _ratio(rows.calibrated_nats, tokens, "nats/token"),
    }
    return {name + suffix: score for name, score in named.items()}


def _ratio(nats: np.ndarray, count: np.ndarray, unit: str) -> Score:
    if not np.isfinite(nats).all():  # something that came was called impossible: no error to speak of
        return Score(math.inf, None, len(nats), unit)
    return ratio_score(nats, count, unit)


def _exp(nats: float) -> float:
    return math.exp(nats) if nats < 700 else math.inf


@torch.no_grad()
def per_document(
    model, documents: Sequence, tokenizer, *, stride: int = 0, batch_size: int = 32, temperature: float = 1.0
) -> DocumentScores:
    """The table that the scores are sums of. Arguments as `nll`."""
    if not len(documents):
        raise ValueError("there is no document to score; is the validation split empty?")
    nats, end_nats, calibrated = np.zeros((3, len(documents)))
    scored = np.zeros(len(documents), dtype=np.int64)
    for window, z in _logits(model, documents, tokenizer, stride, batch_size):
        # both temperatures from one set of logits; float64 from here on
        at_one = _nats(z, window.targets)
        at_fit = at_one if temperature == 1.0 else _nats(z / temperature, window.targets)
        for row, document in enumerate(window.documents):
            here = window.scored[row].numpy()
            is_end = window.is_end[row].numpy() & here
            text = here & ~is_end
            nats[document] += at_one[row, text].sum()
            end_nats[document] += at_one[row, is_end].sum()
            calibrated[document] += at_fit[row, here].sum()
            scored[document] += tokenizer.token_bytes[window.targets[row].numpy()[text]].sum()
    num_bytes = np.array([document.num_bytes for document in documents], dtype=np.int64)
    if not np.array_equal(scored, num_bytes):
        wrong = int(np.flatnonzero(scored != num_bytes)[0])
        raise ValueError(
            f"document {wrong}: {scored[wrong]} bytes were scored of {num_bytes[wrong]}; its tokens are not its text"
        )
    return DocumentScores(
        nats, end_nats, calibrated,
        np.array([len(document.tokens) for document in documents], dtype=np.int64),
        np.array([int(document.ends) for document in documents], dtype=np.int64),
        num_bytes,
        np.array([document.num_words for document in documents], dtype=np.int64),
    )


@torch.no_grad()
def fit_temperature(model, documents: Sequence, tokenizer, *, batch_size: int = 32) -> float:
    """The one number by which to divide a model's logits so that they cost least on `documents`.

    Some losses define no probabilities, or overstated ones; this reads them at their best. The mean nll is convex
    in the inverse temperature b, with derivative E_p[z] - z_y and second derivative Var_p[z], so Newton's method
    with steps of at most a factor of 4 finds it.

    Args:
        documents: held out, and not those that the verdict is on.

    Returns:
        the temperature 1/b, between 1e-3 and 1e3.
    """
    b = 1.0
    for _ in range(30):
        slope = curvature = 0.0
        for window, z in _logits(model, documents, tokenizer, 0, batch_size):
            z, y = z[window.scored], window.targets[window.scored]
            z = z - z.amax(-1, keepdim=True)
            p = (b * z).softmax(-1)
            mean = (p * z).sum(-1)
            slope += (mean - z.gather(-1, y[:, None])[:, 0]).double().sum().item()
            curvature += ((p * z.square()).sum(-1) - mean.square()).double().sum().item()
        if not math.isfinite(slope) or curvature <= 0:
            return 1.0 / b
        new = min(max(b - slope / curvature, b / 4, 1e-3), b * 4, 1e3)
        if abs(new - b) <= 1e-4 * b:
            return 1.0 / new
        b = new
    return 1.0 / b


# --- windows -----------------------------------------------------------------------------------

@dataclass(frozen=True)
class _Windows:
    """A batch of windows: what is read, what is to be predicted, and which of that counts."""

    tokens: torch.Tensor  # int64 [windows, seq]
    targets: torch.Tensor  # int64 [windows, seq]
    scored: torch.Tensor  # bool [windows, seq]; each target of a document counts in exactly one window
    is_end: torch.Tensor  # bool [windows, seq]
    documents: list[int]


def _logits(model, documents, tokenizer, stride: int, batch_size: int) -> Iterator[tuple[_Windows, torch.Tensor]]:
    """Each batch of windows with its float32 logits `[windows, seq, vocab]`, on the CPU."""
    was_training, limit = model.training, model.config.max_seq_len
    if not 0 <= stride <= limit:
        raise ValueError(f"evaluate.stride must be between 0 and the context length {limit}, got {stride}")
    model.eval()
    device = next(model.parameters()).device
    fitting = max(1, LOGITS_BYTES // (4 * tokenizer.vocab_size * limit))
    try:
        for window in _windows(documents, tokenizer.eot, limit, stride or limit, min(batch_size, fitting)):
            yield window, model.logits(model(window.tokens.to(device))).float().cpu()
    finally:
        model.train(was_training)


def _windows(documents, eot: int, limit: int, stride: int, batch_size: int) -> Iterator[_Windows]:
    places = []  # (length, document, first position read, first position scored)
    for index, document in enumerate(documents):
        length, done = len(document.tokens) + int(document.ends), 0  # number of targets
        while done < length:
            end = min(length, limit if done == 0 else done + stride)
            begin = max(0, end - limit) if stride < limit else done
            places.append((end - begin, index, begin, done))
            done = end
    places.sort(reverse=True)  # equal lengths together, so that little is padding; the order changes no sum
    for first in range(0, len(places), batch_size):
        batch = places[first : first + batch_size]
        shape = len(batch), batch[0][0]
        tokens, targets = torch.full(shape, eot), torch.full(shape, eot)
        scored, is_end = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.bool)
        for row, (size, index, begin, done) in enumerate(batch):
            document = documents[index]
            last = begin + size
            stream = np.concatenate([[eot], document.tokens[max(0, begin - 1) : last], [eot]]).astype(np.int64)
            stream = torch.from_numpy(stream[0 if begin == 0 else 1 :][: size + 1])
            tokens[row, :size], targets[row, :size] = stream[:-1], stream[1:]
            scored[row, done - begin : size] = True
            is_end[row, size - 1] = document.ends and last == len(document.tokens) + 1
        yield _Windows(tokens, targets, scored, is_end, [index for _, index, _, _ in batch])


def _nats(logits: torch.Tensor, targets: torch.Tensor) -> np.ndarray:
    """`[windows, seq]` float64, minus the log-probability of each target."""
    # the log-sum-exp in float32 over the vocabulary, the small difference in float64
    picked = logits.log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return -picked.double().numpy()
