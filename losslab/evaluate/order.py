"""Word order: is a sentence likelier than the same one with two neighbouring words exchanged?

A benchmark of minimal pairs that needs no file: the pairs are made of the text on which a model is scored, and are the
same everywhere.
"""

import dataclasses
import random
import re
from collections.abc import Iterable

from losslab.corpus import Corpus
from losslab.evaluate import pairs
from losslab.evaluate.task import Settings, TaskResult

NAME = "word_order"
SENTENCE = re.compile(r"[^.!?\n\"]+[.!?]")
LEAST_WORDS = 5
PAIRS = 4  # of one document, at most
MOST_PAIRS = 2_000
RULE = (f"pairs are sentences of {LEAST_WORDS} words or more of the scored text, at most {PAIRS} of a document and "
        f"{MOST_PAIRS:,} in all; two neighbouring words of letters, neither the first nor the last, are exchanged")


def run(model, tokenizer, settings: Settings) -> TaskResult:
    """Sentences of `settings.split` of `settings.data`, each against itself with two words exchanged.

    Raises:
        ValueError: without a corpus, or with one that has no such sentence.
    """
    if settings.data is None:
        raise ValueError(f"the task {NAME} is made of a corpus; give one")
    corpus = Corpus.open(settings.data, tokenizer=tokenizer)
    texts = (tokenizer.decode(document.tokens) for document in corpus.documents(settings.split))
    rows = exchanged(texts)
    if not rows:
        raise ValueError(f"the split {settings.split} of {corpus.name} has no sentence of {LEAST_WORDS} words of which "
                         "two could be exchanged")
    result = pairs.score(model, tokenizer, rows, settings)
    accuracy = dataclasses.replace(result.scores["accuracy"], unit="of pairs (n = documents)")
    counts = {"documents" if name == "paradigms" else name: count for name, count in result.counts.items()}
    notes = [RULE, "a tie is wrong and counted; chance is 0.5; the standard error is over documents",
             *result.notes[len(pairs.RULES):]]
    items = [{"document": item["paradigm"]} | {key: item[key] for key in ("good_nats", "bad_nats", "right", "tied")}
             for item in result.items]
    return TaskResult(NAME, {"accuracy": accuracy}, counts, notes, items=items, is_evidence=result.is_evidence)


def exchanged(texts: Iterable[str]) -> list[dict]:
    """Pairs as `pairs.score` takes them; the same for the same texts, in their order.

    Example:
        >>> [row] = exchanged(["The cat sat there. Then the old dog ran home."])
        >>> row["sentence_good"], row["sentence_bad"]
        ('Then the old dog ran home.', 'Then the old ran dog home.')
    """
    rows: list[dict] = []
    for number, text in enumerate(texts):
        rng, found = random.Random(f"{NAME} {number}"), 0
        for sentence in SENTENCE.findall(text):
            words = sentence.split()
            places = [place for place in range(1, len(words) - 2) if words[place].isalpha()
                      and words[place + 1].isalpha() and words[place].lower() != words[place + 1].lower()]
            if len(words) < LEAST_WORDS or not places or found == PAIRS:
                continue
            place, found = rng.choice(places), found + 1
            turned = [*words[:place], words[place + 1], words[place], *words[place + 2:]]
            rows.append({"sentence_good": " ".join(words), "sentence_bad": " ".join(turned), "UID": str(number),
                         "linguistics_term": NAME})
            if len(rows) == MOST_PAIRS:
                return rows
    return rows
