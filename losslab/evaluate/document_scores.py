"""Plain cross-entropy of a model on whole documents, in nats per token and bits per byte."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from losslab.evaluate import windows
from losslab.evaluate.logprobs import Tokens, evaluation_mode, scored_tokens
from losslab.evaluate.profile import Axis
from losslab.evaluate.summing import Summing, Sums, fingerprint, ratio
from losslab.stats import Score, transform_score

WHOLE = ("whole_nats", "whole_tokens")  # of examples: prompts too, and end marks
PER_DOCUMENT = ("nats", "end_nats", "calibrated_nats", "num_tokens", "num_ends", "num_bytes", "context")


@dataclass(frozen=True)
class DocumentScores:
    """One row per document: nats of its text and of its end mark, and what they are divided by.

    Of an example, its text is its answers; `sums` then has `whole_nats` and `whole_tokens`, its prompt included.
    """

    nats: np.ndarray  # float64 [documents], of the text's tokens
    end_nats: np.ndarray  # float64 [documents], of the end mark; 0 where the text does not end
    calibrated_nats: np.ndarray  # float64 [documents], text and end mark at the fitted temperature
    num_tokens: np.ndarray  # int64 [documents], without end marks
    num_ends: np.ndarray  # int64 [documents], 1 or 0
    num_bytes: np.ndarray  # int64 [documents]
    num_words: np.ndarray  # int64 [documents]
    sums: Sums = field(default_factory=dict)  # all that was added up: also `context`, `seconds` and bins of axes

    @property
    def all_nats(self) -> np.ndarray:
        """`[documents]`, end mark included."""
        return self.nats + self.end_nats

    @property
    def all_tokens(self) -> np.ndarray:
        """`[documents]`, end mark included."""
        return self.num_tokens + self.num_ends

    @property
    def perplexity(self) -> np.ndarray:
        """`[documents]`, per token, end mark included."""
        with np.errstate(over="ignore"):
            return np.exp(self.all_nats / np.maximum(self.all_tokens, 1))


def nll(
    model, documents: Sequence, tokenizer, *, stride: int = 0, batch_size: int = 32, temperature: float = 1.0,
    seq_len: int = 0,
) -> dict[str, Score]:
    """The number that a verdict is on and its relatives, on a whole set of documents.

    With the model's softmax at temperature 1, logit transform included, in float32 and summed in float64:

    $$\\text{nll} = \\frac{\\sum -\\log p(\\text{token})}{\\text{tokens}}, \\qquad
      \\text{bits per byte} = \\frac{\\sum -\\log p(\\text{token})}{\\ln 2 \\cdot \\text{bytes}}.$$

    Each document is read by itself, after an end mark; every token is scored once, its end mark too. Of instruction
    data, all scores are of answers alone, read after their prompts, but for those named `_all_tokens`.

    Args:
        model: `model(tokens) -> hidden`, `model.logits(hidden)`, `model.config.num_positions`.
        documents: each with `tokens`, `num_bytes`, `num_words`, `ends`.
        tokenizer: for its end mark and its exact bytes per token.
        stride: tokens between windows; 0 means disjoint windows.
        batch_size: windows scored at once; changes speed, not results.
        temperature: divides the logits for `nll_calibrated`; fit it elsewhere, with `fit_temperature` on `tune`.
        seq_len: tokens in a window; 0 means as many as the model has positions.

    Returns:
        name -> `Score` over documents (n = documents): `nll` and `nll_calibrated` in nats/token, end marks
        included; `bits_per_byte` (end marks in neither sum); `bits_per_byte_with_eot` (the code of text and ends);
        `perplexity` (a token's, of `nll`); `word_perplexity` (of the text, words as `str.split` counts them).
        Of instruction data also `nll_all_tokens` and `perplexity_all_tokens`, prompts included. A stride is part of the
        name, as in `nll_stride_64`.

    Raises:
        ValueError: if there is no document, or scored bytes are not the bytes of the text.

    Example:
        >>> from losslab import config, corpus, model, tokenizer
        >>> vocabulary, text = tokenizer.make("bytes"), "Once upon a time"
        >>> document = corpus.Document(vocabulary.encode(text), num_bytes=16, num_words=4, ends=True)
        >>> small = config.ModelConfig(n_layer=1, n_head=1, n_embd=8)
        >>> untrained = model.initialized(small, vocabulary.vocab_size, 0)
        >>> score = nll(untrained, [document], vocabulary)["nll"]
        >>> abs(score.value - math.log(257)) < 0.1, score.n, score.unit
        (True, 1, 'nats/token')

    Reference:
        Mielke, Can you compare perplexity across different segmentations?, 2019.
    """
    rules = {"stride": stride, "batch_size": batch_size, "temperature": temperature, "seq_len": seq_len}
    return scores(per_document(model, documents, tokenizer, **rules), stride=stride)


def scores(rows: DocumentScores, *, stride: int = 0) -> dict[str, Score]:
    """The named scores of a table of documents that were read with `stride`."""
    per_token = ratio(rows.all_nats, rows.all_tokens, "nats/token")
    per_word = ratio(rows.nats, rows.num_words, "nats/word")
    whole = {}
    if WHOLE[0] in rows.sums:
        of_all = ratio(rows.sums[WHOLE[0]], rows.sums[WHOLE[1]], "nats/token")
        whole = {"nll_all_tokens": of_all, "perplexity_all_tokens": transform_score(of_all, exp, exp, unit="per token")}
    return with_stride({
        "nll": per_token,
        "bits_per_byte": ratio(rows.nats / math.log(2), rows.num_bytes, "bits/byte"),
        "bits_per_byte_with_eot": ratio(rows.all_nats / math.log(2), rows.num_bytes, "bits/byte"),
        "perplexity": transform_score(per_token, exp, exp, unit="per token"),
        "word_perplexity": transform_score(per_word, exp, exp, unit="per word"),
        "nll_calibrated": ratio(rows.calibrated_nats, rows.all_tokens, "nats/token"),
        **whole,
    }, stride)


def with_stride(named: dict[str, Score], stride: int) -> dict[str, Score]:
    """The scores, each with the stride in its name where there is one.

    Example:
        >>> with_stride({"nll": 1.2}, 64), with_stride({"nll": 1.2}, 0)
        ({'nll_stride_64': 1.2}, {'nll': 1.2})
    """
    return {f"{name}_stride_{stride}": score for name, score in named.items()} if stride else named


def exp(nats: float) -> float:
    """`math.exp`, infinite where a float64 cannot hold it."""
    return math.exp(nats) if nats < 700 else math.inf


def per_document(model, documents: Sequence, tokenizer, **rules) -> DocumentScores:
    """The table that the scores are sums of, checked: each document was scored whole and each token once.

    Args:
        rules: as those of `tally`.
    """
    sums = tally(model, documents, tokenizer, **rules)

    def of(name: str) -> np.ndarray:
        return np.array([getattr(document, name) for document in documents], dtype=np.int64)

    counted = [_counted(document) for document in documents]
    lengths, ends = (np.array(column, dtype=np.int64) for column in zip(*counted, strict=True))
    assert np.array_equal(sums["num_tokens"], lengths) and np.array_equal(sums["num_ends"], ends)
    if (wrong := np.flatnonzero(sums["num_bytes"] != of("num_bytes"))).size:
        scored, there = int(sums["num_bytes"][wrong[0]]), documents[int(wrong[0])].num_bytes
        raise ValueError(
            f"document {wrong[0]}: {scored} bytes were scored of {there}; its tokens are not its text"
        )
    return DocumentScores(sums["nats"], sums["end_nats"], sums["calibrated_nats"], lengths, ends,
                          of("num_bytes"), of("num_words"), sums)


def _counted(document) -> tuple[int, int]:
    """Tokens and end marks of a document that count."""
    if (answers := getattr(document, "answers", None)) is None:
        return len(document.tokens), int(document.ends)
    return int(answers.sum()), int(document.scored[-1]) if document.ends else 0


def tally(
    model, documents: Sequence, tokenizer, *, stride: int = 0, batch_size: int = 32, temperature: float = 1.0,
    seq_len: int = 0, summing: Summing | None = None, axes: Sequence[Axis] = (),
) -> Sums:
    """Sums of every document, and by bins of `axes`: one pass over the text.

    Args:
        model, documents, tokenizer, stride, batch_size, temperature, seq_len: as those of `nll`.
        summing: how a long pass is done; by default in this process alone, with nothing kept of half a pass.
        axes: ways to sort tokens into bins.
    """
    if not len(documents):
        raise ValueError("there is no document to score; is the validation split empty?")
    seq_len = seq_len or model.config.num_positions
    batches = windows.plan(documents, seq_len, stride, batch_size)
    sums = {name: np.zeros(len(documents)) for name in PER_DOCUMENT}
    are_examples = getattr(documents[0], "answers", None) is not None
    sums |= {name: np.zeros(len(documents)) for name in WHOLE * are_examples}
    for axis in axes:
        sums |= axis.zeros(len(documents))

    def add(number: int, sums: Sums) -> None:
        window = windows.build(batches[number], documents, tokenizer.eot)
        tokens = scored_tokens(model, window, tokenizer.vocab_size, temperature=temperature)
        if are_examples:
            np.add.at(sums[WHOLE[0]], tokens.document, tokens.nats)
            np.add.at(sums[WHOLE[1]], tokens.document, 1.0)
            tokens = tokens.counted
        _add(tokens, tokenizer.token_bytes, sums)
        for axis in axes:
            axis.add(tokens, sums)

    def key() -> str:
        rules = {"seq_len": seq_len, "stride": stride, "batch_size": batch_size, "temperature": temperature,
                 "eot": tokenizer.eot, "axes": [[axis.name, axis.bounds] for axis in axes]}
        return fingerprint(model, documents, rules)

    with evaluation_mode(model):
        sizes = [sum(place.size - (place.scored - place.begin) for place in batch) for batch in batches]
        return (summing or Summing()).add_up(add, sizes, sums, key, next(model.parameters()).device)


def _add(tokens: Tokens, token_bytes: np.ndarray, sums: Sums) -> None:
    text, end = ~tokens.is_end, tokens.is_end
    for name, where, value in (
        ("nats", text, tokens.nats), ("end_nats", end, tokens.nats),
        ("calibrated_nats", slice(None), tokens.calibrated_nats),
        ("num_tokens", text, np.ones(len(text))), ("num_ends", end, np.ones(len(end))),
        ("num_bytes", text, token_bytes[tokens.target]), ("context", slice(None), tokens.context),
    ):
        np.add.at(sums[name], tokens.document[where], value[where])
