"""The task `likelihood`: everything that one pass over a text says of a model."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from losslab.corpus import Corpus, Document, files
from losslab.evaluate.document_scores import WHOLE, DocumentScores, per_document, scores, with_stride
from losslab.evaluate.profile import CALIBRATION_BINS, calibration_error, confidence_axis, frequency_axis, position_axis
from losslab.evaluate.summing import ratio
from losslab.evaluate.task import Settings, TaskResult
from losslab.evaluate.temperature import tuned_temperature
from losslab.progress import counting
from losslab.stats import Score, bootstrap_interval, ratio_score, transform_score

NAME = "likelihood"
RULES = [
    "a document is read by itself after an end mark; its first token is scored given that mark, and every target once",
    "bits_per_byte, byte_perplexity, word_perplexity and nll_without_eot leave end marks out of both sums; "
    "bits_per_byte_with_eot, nll and perplexity count their nats, which have no bytes and one token each",
    "bytes are UTF-8 bytes of the scored text, words are counted by str.split, tokens by the model's own tokenizer",
    f"calibration is top-1, at temperature 1, in {CALIBRATION_BINS} bins of equal width in confidence",
]

EXAMPLES = "of instruction data, answers alone count, read after their prompts; _all_tokens in a name adds the prompts"


def run(model, tokenizer, settings: Settings) -> TaskResult:
    """Score `settings.text` whole, or the whole `settings.split` of `settings.data`.

    Raises:
        ValueError: without a text and without a corpus.
    """
    corpus = Corpus.open(settings.data, tokenizer=tokenizer) if settings.data else None
    if settings.text is not None:
        documents = text_documents((piece.content for piece in files.texts([settings.text])), tokenizer)
    elif corpus is not None:
        documents = corpus.documents(settings.split)
    else:
        raise ValueError("the task likelihood needs a text; give a corpus or a text file")
    return measure(model, documents, tokenizer, settings, corpus=corpus)


def text_documents(texts: Iterable[str], tokenizer, *, ends: bool = True) -> list[Document]:
    """Texts as documents, with their own bytes and words; `ends` says whether an end mark follows each.

    Example:
        >>> from losslab import tokenizer
        >>> (document,) = text_documents(["Once upon a time"], tokenizer.make("bytes"))
        >>> len(document.tokens), document.num_bytes, document.num_words, document.ends
        (16, 16, 4, True)
    """
    return [Document(tokenizer.encode(text), len(text.encode()), len(text.split()), ends) for text in texts]


def measure(
    model, documents: Sequence, tokenizer, settings: Settings, *, corpus: Corpus | None = None, name: str = NAME
) -> TaskResult:
    """Every likelihood score of `documents`, with the tables that say where the nats are.

    Args:
        documents: each with `tokens`, `num_bytes`, `num_words`, `ends`.
        settings: `limit` takes the first documents; `evaluate.stride` is part of each score's name.
        corpus: for the frequency of tokens in training, and the text that `nll_calibrated` is fitted on.

    Returns:
        scores of `nll`, with `nll_without_eot`, `byte_perplexity`, `accuracy`, `expected_calibration_error` and
        `mean_context`; tables `position`, `frequency`, `confidence`, `interval` and `tokens_needed`; the
        documents as items.

    Example:
        >>> from losslab import config, model, tokenizer
        >>> vocabulary = tokenizer.make("bytes")
        >>> untrained = model.initialized(config.ModelConfig(n_layer=1, n_head=1, n_embd=8), vocabulary.vocab_size, 0)
        >>> documents = text_documents(["Once upon a time", "The end"], vocabulary)
        >>> result = measure(untrained, documents, vocabulary, Settings())
        >>> 5.4 < result.scores["nll"].value < 5.7, result.counts["documents"]  # about log 257
        (True, 2)
    """
    rules, context_length = settings.evaluate, settings.seq_len or model.config.num_positions
    if settings.limit:
        documents = documents[: settings.limit]
    axes = [position_axis(context_length), confidence_axis()] + ([frequency_axis(corpus.unigram())] if corpus else [])
    is_fitted = corpus is not None and settings.split != "tune"  # which is the text that it would be fitted on
    rows = per_document(
        model, documents, tokenizer, stride=rules.stride, batch_size=rules.batch_size, axes=axes,
        seq_len=context_length,
        temperature=tuned_temperature(model, tokenizer, corpus, rules, seq_len=context_length) if is_fitted else 1.0,
        summing=settings.summing(counting(settings.progress, name, "tokens")),
    )
    named = scores(rows)
    named |= _more_scores(rows, named["bits_per_byte"])
    if not is_fitted:
        del named["nll_calibrated"]
    how = f"windows of {context_length} that move by {rules.stride}" if rules.stride else (
        f"disjoint windows of {context_length}")
    return TaskResult(
        name, with_stride(named, rules.stride),
        {"documents": len(documents), "tokens": int(rows.num_tokens.sum()), "end_marks": int(rows.num_ends.sum()),
         "bytes": int(rows.num_bytes.sum()), "words": int(rows.num_words.sum()), "context": context_length},
        notes=[*RULES, *([EXAMPLES] if WHOLE[0] in rows.sums else []), f"longer documents are read in {how} tokens"],
        items=_items(rows), is_evidence=not settings.limit,
        tables={axis.name: axis.table(rows.sums) for axis in axes}
        | {"interval": _intervals(rows), "tokens_needed": tokens_needed(rows, float(rows.sums["seconds"][0]))},
    )


def _more_scores(rows: DocumentScores, bits: Score) -> dict[str, Score]:
    return {
        "nll_without_eot": ratio(rows.nats, rows.num_tokens, "nats/token"),
        "byte_perplexity": transform_score(bits, _exp2, lambda x: math.log(2) * _exp2(x), unit="per byte"),
        "accuracy": ratio_score(rows.sums["confidence/hits"].sum(0), rows.all_tokens, "of tokens"),
        "expected_calibration_error": calibration_error(rows.sums),
        "mean_context": ratio_score(rows.sums["context"], rows.all_tokens, "tokens"),
    }


def _exp2(bits: float) -> float:
    return 2.0**bits if bits < 1000 else math.inf


def _items(rows: DocumentScores) -> list[dict]:
    """A row for each document; its end mark has separate columns."""
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = rows.nats / math.log(2) / rows.num_bytes
    return [
        {"document": i, "bytes": int(rows.num_bytes[i]), "words": int(rows.num_words[i]),
         "tokens": int(rows.num_tokens[i]), "nats": float(rows.nats[i]), "end_nats": float(rows.end_nats[i]),
         "bits_per_byte": float(bits[i]) if rows.num_bytes[i] else None}
        for i in range(len(rows.nats))
    ]


# --- how sure -----------------------------------------------------------------------------------

def _fractions(rows: DocumentScores) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What the two main scores divide by what, document by document."""
    return {
        "nll": (rows.all_nats, rows.all_tokens),
        "bits_per_byte": (rows.nats / math.log(2), rows.num_bytes),
    }


def _intervals(rows: DocumentScores) -> list[dict]:
    """The 95 % bootstrap interval over documents."""
    found = []
    for name, (nats, count) in _fractions(rows).items():
        here = count > 0
        if here.sum() > 1 and np.isfinite(nats).all():
            low, high = bootstrap_interval(nats[here], count[here])
            found.append({"score": name, "low": low, "high": high, "level": 0.95, "documents": int(here.sum())})
    return found


def tokens_needed(rows: DocumentScores, seconds: float, *, draws: int = 400, seed: int = 0) -> list[dict]:
    """How the error of a score falls with the tokens that are scored: how much text is enough.

    Sets of 1/64, 1/32, ... 1 and 2 times the documents are drawn from them with replacement, so that a set is what an
    evaluation on that many new documents of this kind could have been.

    Args:
        seconds: that all documents took; a set takes its share.

    Returns:
        A row for each size: `documents`, mean `tokens`, and mean and standard deviation of both scores over the draws.
    """
    fractions, total = _fractions(rows), len(rows.nats)
    columns = np.array([column for fraction in fractions.values() for column in fraction])  # [4, documents]
    if total < 2 or not np.isfinite(columns).all():
        return []
    rng, table = np.random.default_rng(seed), []
    for size in sorted({max(2, total * 2**k // 64) for k in range(8)}):
        sums = np.array([columns[:, rng.integers(total, size=size)].sum(1) for _ in range(draws)])
        share = float(sums[:, 1].mean() / columns[1].sum())
        row = {"documents": size, "tokens": share * float(columns[1].sum()), "seconds": share * seconds}
        for i, name in enumerate(fractions):
            values = sums[:, 2 * i] / np.maximum(sums[:, 2 * i + 1], 1)
            row |= {f"{name}_mean": float(values.mean()), f"{name}_sd": float(values.std(ddof=1))}
        table.append(row)
    return table
