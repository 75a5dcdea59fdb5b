"""Batches of tokens, and the vectors over a vocabulary: pure functions of text, seed and step."""

import math

import numpy as np
import pytest
from corpus_texts import cache as cache
from corpus_texts import many as many

from losslab.config import DataConfig, Growth
from losslab.corpus import Batches, Corpus


def batches_of(corpus, seq_len=16, batch_size=4, **more):
    return corpus.batches("train", **{"seed": 3, "batch_size": batch_size, "seq_len": seq_len, **more})


def test_targets_are_the_tokens_shifted_by_one(many):
    batch = batches_of(Corpus.open(DataConfig(corpus=many)))(5)
    assert batch.tokens.shape == batch.targets.shape == (4, 16)
    assert batch.tokens.dtype == batch.targets.dtype == np.int64
    assert np.array_equal(batch.targets[:, :-1], batch.tokens[:, 1:])


def test_the_last_target_is_the_token_that_comes_next(many):
    corpus = Corpus.open(DataConfig(corpus=many))
    stream = corpus.stream("train").astype(np.int64)
    for tokens, targets in zip(*batches_of(corpus)(0), strict=True):
        starts = np.flatnonzero(np.all(np.lib.stride_tricks.sliding_window_view(stream, 16)[:-1] == tokens, axis=1))
        assert any(np.array_equal(stream[s + 1 : s + 17], targets) for s in starts)


def test_a_batch_is_a_pure_function_of_digest_seed_and_step(many):
    corpus = Corpus.open(DataConfig(corpus=many))
    one, other = batches_of(corpus), batches_of(Corpus.open(DataConfig(corpus=many)))
    steps = [7, 0, 100_000, 3, 7]
    for a, b in zip([one(step) for step in steps], [other(step) for step in reversed(steps)][::-1], strict=True):
        assert np.array_equal(a.tokens, b.tokens)
    assert not np.array_equal(one(0).tokens, batches_of(corpus, seed=4)(0).tokens)
    assert not np.array_equal(one(0).tokens, one(1).tokens)


def test_a_batch_is_the_same_in_every_version():
    """A golden value: a run that is resumed under another numpy must see the same text."""
    batches = Batches(np.arange(1000), "digest/train/0", Growth(3), seq_len=10)
    starts = [batches(step).tokens[:, 0].tolist() for step in (0, 1, 1000)]
    assert starts == [[266, 976, 476], [156, 856, 36], [135, 155, 365]]


def test_an_epoch_visits_every_window_once():
    stream = np.arange(1234)
    batches = Batches(stream, "key", Growth(5), seq_len=10)
    assert batches.num_windows == (1234 - 10) // 10
    offsets = set()
    for epoch in range(4):
        items = range(epoch * batches.num_windows, (epoch + 1) * batches.num_windows)
        starts = [batches(i // 5).tokens[i % 5, 0] for i in items]
        assert sorted(starts) == list(range(min(starts), min(starts) + 10 * len(starts), 10))
        assert starts != sorted(starts) and max(starts) + 10 < len(stream)
        offsets.add(min(starts))
    assert len(offsets) > 1 and max(offsets) < 10  # what one epoch leaves over, another one sees


def test_a_batch_may_cross_epochs():
    batches = Batches(np.arange(71), "key", Growth(8), seq_len=10)
    assert batches.num_windows == 6
    rows = np.concatenate([batches(step).tokens[:, 0] for step in range(3)])
    for epoch in range(4):
        assert len(set(rows[epoch * 6 : epoch * 6 + 6])) == 6


def test_the_smallest_stream_has_one_window():
    batches = Batches(np.arange(11), "key", Growth(2), seq_len=10)
    assert batches(9).targets.tolist() == [list(range(1, 11))] * 2


@pytest.mark.parametrize("world", [2, 3, 4])
def test_ranks_share_a_batch_without_overlap(many, world):
    corpus = Corpus.open(DataConfig(corpus=many))
    whole = batches_of(corpus)(11).tokens
    for rank in range(world):
        assert np.array_equal(batches_of(corpus, rank=rank, world=world)(11).tokens, whole[rank::world])


def test_unigram_counts_the_targets_of_train(many):
    corpus = Corpus.open(DataConfig(corpus=many))
    unigram = corpus.unigram()
    assert unigram.shape == (257,) and unigram.dtype == np.float64
    assert math.isclose(unigram.sum(), 1) and (unigram > 0).all()
    targets = corpus.num_tokens["train"]
    assert math.isclose(unigram[corpus.tokenizer.eot], (len(corpus.documents("train")) + 1) / (targets + 257))


@pytest.mark.parametrize("tokenizer", ["bytes", "char", "bpe:300", "gpt2"])
def test_the_prefix_of_a_token_is_the_longest_other_token_that_it_begins_with(many, tokenizer):
    corpus = Corpus.open(DataConfig(corpus=many, tokenizer=tokenizer))
    prefix_of, tokens = corpus.prefix_of(), corpus.tokenizer.tokens
    assert prefix_of.shape == (len(tokens),) and prefix_of.dtype == np.int64
    known = set(tokens)
    for i in range(0, len(tokens), max(1, len(tokens) // 3000)):
        begins = [tokens[i][:length] for length in range(1, len(tokens[i])) if tokens[i][:length] in known]
        assert (tokens[prefix_of[i]] == max(begins, key=len)) if begins else (prefix_of[i] == -1)
    if tokenizer in ("bytes", "char"):
        assert (prefix_of == -1).all()  # UTF-8 is a code without prefixes
    if tokenizer == "gpt2":
        named = {" story": " sto", "a": None, "ab": "a", " the": " th"}
        ids = {token: i for i, token in enumerate(tokens)}
        for token, prefix in named.items():
            found = prefix_of[ids[token.encode()]]
            assert (tokens[found].decode() if found >= 0 else None) == prefix


def test_vocabulary_vectors_are_built_by_name(many):
    corpus = Corpus.open(DataConfig(corpus=many))
    vectors = corpus.vocabulary()
    assert set(vectors) == {"unigram", "prefix_of"}
    assert np.array_equal(vectors["unigram"].numpy(), corpus.unigram().astype(np.float32))
    assert np.array_equal(vectors["prefix_of"].numpy(), corpus.prefix_of())
