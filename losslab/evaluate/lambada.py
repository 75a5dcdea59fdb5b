"""LAMBADA: the last word of a passage that cannot be guessed from its last sentence."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from losslab.evaluate import benchmark_rows
from losslab.evaluate.requests import answers, prefix_note, prefixed, request
from losslab.evaluate.task import Settings, TaskResult
from losslab.progress import counting
from losslab.stats import mean_score, transform_score

FILES = ("eval_data/language_understanding/lambada_openai.jsonl", "core_eval/eval_data/language_understanding/"
         "lambada_openai.jsonl", "lambada_openai.jsonl", "lambada/lambada_openai.jsonl", "lambada_test.jsonl")
HUB = ("EleutherAI/lambada_openai", "default", "test", ("text",))
RULES = [
    "the word is the text after the last space, with that space; a passage that does not fit is cut from the left",
    "perplexity is per word: exp of the mean nats of the whole word; accuracy counts a word whose every token is "
    "the likeliest one",
]


def run(model, tokenizer, settings: Settings) -> TaskResult:
    """The passages of `lambada_openai.jsonl` in the folder of benchmarks, or of the hub.

    Reference:
        Paperno et al., The LAMBADA dataset, ACL 2016; the texts as OpenAI released them.
    """
    path = benchmark_rows.find(settings.benchmarks, FILES)
    rows = list(benchmark_rows.rows(path, ())) if path else benchmark_rows.hub_rows(*HUB)
    return score(model, tokenizer, passages(rows), settings)


def passages(rows: Iterable[dict]) -> list[str]:
    """Whole texts, from rows with `text`, or with `context` and `continuation`.

    Raises:
        ValueError: naming the row that has neither.

    Example:
        >>> passages([{"text": "the cat sat"}, {"context": "a dog", "continuation": "ran"}])
        ['the cat sat', 'a dog ran']
    """
    found = []
    for number, row in enumerate(rows, 1):
        parts = [row["text"]] if "text" in row else [row.get("context"), row.get("continuation")]
        if not all(isinstance(part, str) for part in parts) or " " not in " ".join(parts).strip():
            raise ValueError(f"row {number} of LAMBADA is no passage: it takes text, or context and continuation")
        found.append(" ".join(parts).rstrip())
    return found


def score(model, tokenizer, texts: Sequence[str], settings: Settings) -> TaskResult:
    """How well a model predicts the last word of each text.

    Args:
        texts: of at least two words each.
        settings: `limit` takes the first texts; `prefix` is what stands before each.

    Returns:
        `perplexity` per word and `accuracy` of whole words, with n = passages.

    Raises:
        ValueError: if no last word fits the model's context.

    Example:
        >>> from losslab import config, model, tokenizer
        >>> vocabulary = tokenizer.make("bytes")
        >>> untrained = model.initialized(config.ModelConfig(n_layer=1, n_head=1, n_embd=8), vocabulary.vocab_size, 0)
        >>> result = score(untrained, vocabulary, ["the cat sat", "a dog ran"], Settings())
        >>> result.counts["passages"], result.counts["tokens"]  # a space and three letters each
        (2, 8)
    """
    texts = texts[: settings.limit or None]
    requests = []
    for text in texts:
        context, _, word = text.rpartition(" ")
        requests.append(request(tokenizer, context, f" {word}", settings.prefix))
    context_length = model.config.num_positions
    kept = [i for i, request in enumerate(requests) if len(request.continuation) <= context_length]
    if not kept:
        raise ValueError(f"no word of LAMBADA fits the model's context of {context_length} tokens")
    found = answers(model, [requests[i] for i in kept], progress=counting(settings.progress, "lambada", "passages"))
    nats = np.array([answer.nats.sum() for answer in found])
    right = np.array([answer.is_greedy.all() for answer in found])
    cut = sum(answer.num_cut > 0 for answer in found)
    per_word = mean_score(nats, "nats/word")
    items = [
        {"passage": i, "word": texts[i].rpartition(" ")[2], "tokens": len(requests[i].continuation),
         "nats": float(n), "right": bool(r), "cut": answer.num_cut}
        for i, n, r, answer in zip(kept, nats, right, found, strict=True)
    ]
    return TaskResult(
        "lambada",
        prefixed({"perplexity": transform_score(per_word, _exp, _exp, unit="per word"),
                  "accuracy": mean_score(right, "of words")}, settings.prefix),
        {"passages": len(kept), "tokens": sum(item["tokens"] for item in items), "cut": int(cut),
         "skipped": len(texts) - len(kept)},
        notes=[*RULES, prefix_note("lambada", settings.prefix)], items=items, is_evidence=not settings.limit,
    )


def _exp(nats: float) -> float:
    return math.exp(nats) if nats < 700 else math.inf
