"""Conversions: inverses of each other, and equal to published pairs of numbers."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from losslab import units

scores = st.floats(1e-6, 50)
lengths = st.floats(1e-3, 1e3)


@given(scores)
def test_bits_and_nats_are_inverse(x):
    assert units.bits_to_nats(units.nats_to_bits(x)) == pytest.approx(x)
    assert units.nll_from_perplexity(units.perplexity(x)) == pytest.approx(x, rel=1e-6)


@given(scores, lengths)
def test_per_token_and_per_byte_are_inverse(nll, bytes_per_token):
    bpb = units.bits_per_byte_from_nll(nll, bytes_per_token)
    assert units.nll_from_bits_per_byte(bpb, bytes_per_token) == pytest.approx(nll)


@given(scores, st.integers(1, 10**6), lengths)
def test_both_ways_to_bits_per_byte_agree(nll, num_tokens, bytes_per_token):
    by_sums = units.bits_per_byte(nll * num_tokens, bytes_per_token * num_tokens)
    assert by_sums == pytest.approx(units.bits_per_byte_from_nll(nll, bytes_per_token))


def test_uniform_over_bytes_is_8_bits():
    assert units.bits_per_byte(1000 * math.log(256), 1000) == pytest.approx(8, abs=1e-12)
    assert units.byte_perplexity(8) == 256 and units.compression_ratio(8) == 1


def test_published_rows_of_lm_evaluation_harness():
    # Llama-2-7b on wikitext: EleutherAI/lm-evaluation-harness issue 806
    word, byte, bpb = 8.792073612124492, 1.5015845643537054, 0.5864857250704371
    assert units.byte_perplexity(bpb) == pytest.approx(byte, rel=1e-12)
    # its bytes per word must turn GPT-2 124M's 0.9769 on the same text into the published 37.37
    bytes_per_word = units.nll_from_perplexity(word) / units.bits_to_nats(bpb)
    gpt2 = units.word_perplexity(units.bits_to_nats(0.9769) * bytes_per_word, 1)
    assert gpt2 == pytest.approx(37.37, rel=5e-4)  # 0.9769 has four digits


def test_an_nll_beyond_floats_is_an_infinite_perplexity():
    assert units.perplexity(1000) == units.byte_perplexity(1442.7) == math.inf


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: units.bits_per_byte(1.0, 0), "num_bytes"), (lambda: units.word_perplexity(1.0, math.inf), "num_words"),
        (lambda: units.word_perplexity(1.0, 0), "num_words"),
        (lambda: units.bits_per_byte_from_nll(1.0, -4), "bytes_per_token"),
        (lambda: units.compression_ratio(0), "bits_per_byte"),
        (lambda: units.nll_from_perplexity(0.5), "perplexity"),
    ],
)
def test_counts_that_are_none_are_refused(call, name):
    with pytest.raises(ValueError, match=rf"{name} must be .*got"):
        call()
