"""Pairs of sentences with two words exchanged, made of a text."""

import pytest
import torch
from known_models import Table

from losslab import tales
from losslab import tokenizer as tokenizers
from losslab.config import DataConfig
from losslab.evaluate import order, tasks
from losslab.evaluate.task import Settings

SMALL = DataConfig(corpus="tales", tokenizer="bytes", max_bytes=60_000, val_bytes=6_000, tune_bytes=6_000)


def test_two_neighbouring_words_are_exchanged_and_the_ends_of_a_sentence_stay():
    stories = tales.stories(20_000, 5)
    rows = order.exchanged(stories)
    assert rows == order.exchanged(stories) and len(rows) > 50
    counts = {}
    for row in rows:
        good, bad = row["sentence_good"].split(), row["sentence_bad"].split()
        moved = [place for place, (a, b) in enumerate(zip(good, bad, strict=True)) if a != b]
        assert moved[1] == moved[0] + 1 and len(moved) == 2 and good[moved[0]] == bad[moved[1]]
        assert 0 < moved[0] and moved[1] < len(good) - 1 and len(good) >= order.LEAST_WORDS
        assert row["sentence_good"] in " ".join(stories[int(row["UID"])].split())
        counts[row["UID"]] = counts.get(row["UID"], 0) + 1
    assert max(counts.values()) == order.PAIRS
    assert order.exchanged(["Too few words here.", "A a A a A a.", "No end of a long sentence"]) == []


def test_the_task_takes_its_pairs_from_the_text_and_counts_documents():
    uniform = Table(torch.zeros(257, 257), 512)
    result = tasks.run("word_order", uniform, tokenizers.make("bytes"), Settings(data=SMALL))
    assert result.scores["accuracy"].value == 0 and result.counts["tied"] == result.counts["pairs"] > 20
    assert result.counts["documents"] == result.scores["accuracy"].n > 5
    short = tasks.run("word_order", Table(torch.zeros(257, 257), 40), tokenizers.make("bytes"), Settings(data=SMALL))
    assert 0 < short.counts["pairs"] < result.counts["pairs"] and short.counts["skipped"] > 0


def test_a_text_without_sentences_is_named(tmp_path):
    (tmp_path / "text.txt").write_text("one two three four five six\n" * 3000)
    data = DataConfig(corpus=str(tmp_path / "text.txt"), tokenizer="bytes", val_bytes=6_000, tune_bytes=6_000)
    with pytest.raises(ValueError, match="the split val of text.txt has no sentence of 5 words"):
        tasks.run("word_order", Table(torch.zeros(257, 257), 64), tokenizers.make("bytes"), Settings(data=data))
    with pytest.raises(ValueError, match="word_order is made of a corpus; give one"):
        tasks.run("word_order", Table(torch.zeros(257, 257), 64), tokenizers.make("bytes"), Settings())
