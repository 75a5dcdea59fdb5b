"""BLiMP: of two sentences that differ in one point of grammar, is the good one likelier?"""

from collections.abc import Sequence

import numpy as np

from losslab.evaluate import benchmark_rows
from losslab.evaluate.requests import Request, answers
from losslab.evaluate.task import Settings, TaskResult
from losslab.progress import counting
from losslab.stats import Score, mean_score, ratio_score

FILES = ("blimp/blimp.jsonl", "blimp.jsonl")
HUB = "nyu-mll/blimp"
COLUMNS = ("sentence_good", "sentence_bad", "linguistics_term", "UID")
RULES = [
    "a pair is right where the log-probability of the whole good sentence, read after an end mark, is strictly larger; "
    "a tie is wrong and counted; chance is 0.5",
    "the standard error of a phenomenon is over its pairs; that of the whole is over paradigms, since pairs of one "
    "paradigm resemble each other",
]


def run(model, tokenizer, settings: Settings) -> TaskResult:
    """The 67 paradigms, from `blimp.jsonl` in the folder of benchmarks or from the hub.

    Reference:
        Warstadt et al., BLiMP: The Benchmark of Linguistic Minimal Pairs for English, TACL 8, 2020.
    """
    path = benchmark_rows.find(settings.benchmarks, FILES)
    rows = benchmark_rows.rows(path, COLUMNS) if path else benchmark_rows.hub_rows(HUB, None, "train", COLUMNS)
    return score(model, tokenizer, list(rows), settings)


def score(model, tokenizer, rows: Sequence[dict], settings: Settings) -> TaskResult:
    """Accuracy on minimal pairs, of each phenomenon and over all.

    Args:
        rows: each with `sentence_good`, `sentence_bad`, `linguistics_term` (the phenomenon) and `UID` (the paradigm).
        settings: `limit` takes the first pairs of each paradigm.

    Returns:
        `accuracy` with n = paradigms; a part for each phenomenon with n = pairs, and in it one for each paradigm.

    Raises:
        ValueError: if no pair fits the model's context.

    Example:
        >>> from losslab import config, model, tokenizer
        >>> vocabulary = tokenizer.make("bytes")
        >>> untrained = model.initialized(config.ModelConfig(n_layer=1, n_head=1, n_embd=8), vocabulary.vocab_size, 0)
        >>> pair = {"sentence_good": "Cats sleep.", "sentence_bad": "Cats sleeps. Again and again.",
        ...         "linguistics_term": "agreement", "UID": "subject_verb"}
        >>> score(untrained, vocabulary, [pair], Settings()).scores["accuracy"].value  # uniform: the shorter
        1.0
    """
    chosen = [row for group in _grouped(rows, "UID").values() for row in group[: settings.limit or None]]
    sentences = [tokenizer.encode(row[side]).tolist() for row in chosen for side in COLUMNS[:2]]
    context_length = model.config.num_positions
    fits = [0 < len(good) <= context_length and 0 < len(bad) <= context_length
            for good, bad in zip(sentences[::2], sentences[1::2], strict=True)]
    if not any(fits):
        raise ValueError(f"no pair of sentences fits the model's context of {context_length} tokens")
    kept = [i for i, fit in enumerate(fits) if fit]
    requests = [Request([tokenizer.eot], sentences[2 * i + side]) for i in kept for side in (0, 1)]
    found = answers(model, requests, progress=counting(settings.progress, "blimp", "sentences"))
    nats = np.array([answer.nats.sum() for answer in found]).reshape(-1, 2)
    items = [
        {"phenomenon": chosen[i]["linguistics_term"], "paradigm": chosen[i]["UID"], "good_nats": float(good),
         "bad_nats": float(bad), "right": bool(good < bad), "tied": bool(good == bad)}
        for i, (good, bad) in zip(kept, nats, strict=True)
    ]
    return _result(items, len(chosen) - len(kept), is_evidence=not settings.limit)


def _result(items: list[dict], skipped: int, *, is_evidence: bool) -> TaskResult:
    by_paradigm = _grouped(items, "paradigm")
    right = [sum(item["right"] for item in group) for group in by_paradigm.values()]
    total = ratio_score(right, [len(group) for group in by_paradigm.values()], "of pairs (n = paradigms)")
    parts = [
        _part(phenomenon, group, is_evidence, [
            _part(paradigm, pairs, is_evidence) for paradigm, pairs in _grouped(group, "paradigm").items()
        ])
        for phenomenon, group in sorted(_grouped(items, "phenomenon").items())
    ]
    counts = _counts(items) | {"paradigms": len(by_paradigm), "skipped": skipped}
    notes = RULES + ([f"{skipped} pairs do not fit the model's context and are left out"] if skipped else [])
    return TaskResult("blimp", {"accuracy": total}, counts, notes, parts, items, is_evidence)


def _part(name: str, items: list[dict], is_evidence: bool, parts: Sequence[TaskResult] = ()) -> TaskResult:
    accuracy: Score = mean_score([item["right"] for item in items], "of pairs")
    return TaskResult(name, {"accuracy": accuracy}, _counts(items), parts=list(parts), is_evidence=is_evidence)


def _counts(items: list[dict]) -> dict[str, int]:
    return {"pairs": len(items), "tied": sum(item["tied"] for item in items)}


def _grouped(items: Sequence[dict], key: str) -> dict[str, list[dict]]:
    groups: dict[str, list[dict]] = {}
    for item in items:
        groups.setdefault(item[key], []).append(item)
    return groups
