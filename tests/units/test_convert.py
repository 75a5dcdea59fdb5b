"""One score in eight units: against counts of a text, and there and back."""

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from losslab.units.convert import UNITS, convert, unit

TEXT = dict(tokens_per_word=1.3, bytes_per_token=4.39, characters_per_byte=0.98)


def values(value, source, **ratios):
    return {line.unit.key: line.value for line in convert(value, unit(source), **ratios) if not line.missing}


def test_each_unit_from_the_counts_of_one_text():
    """1,000 words, 1,300 tokens, 5,707 bytes, 5,592.86 characters; 4,000 nats in all."""
    words, tokens, num_bytes, characters, nats = 1000, 1300, 5707, 5592.86, 4000
    assert values(nats / tokens, "nats", **TEXT) == pytest.approx({
        "nats_per_token": nats / tokens, "bits_per_token": nats / tokens / math.log(2),
        "perplexity": math.exp(nats / tokens), "bits_per_byte": nats / math.log(2) / num_bytes,
        "bits_per_character": nats / math.log(2) / characters, "byte_perplexity": math.exp(nats / num_bytes),
        "word_perplexity": math.exp(nats / words), "compression_ratio": 8 * num_bytes / (nats / math.log(2)),
    })  # fmt: skip


@given(st.sampled_from(sorted(UNITS)), st.floats(0.01, 6))
def test_there_and_back(key, nats):
    there = values(nats, "nats", **TEXT)[key]
    assert values(there, key, **TEXT)["nats_per_token"] == pytest.approx(nats, rel=1e-9, abs=1e-9)


@given(st.sampled_from(sorted(UNITS)), st.floats(0.1, 3))
def test_the_arithmetic_is_what_was_computed(key, nats):
    value = values(nats, "nats", **TEXT)[key]
    names = {"exp": math.exp, "ln": math.log, "log2": math.log2}
    for line in convert(value, UNITS[key], **TEXT):
        text = re.sub(r"\b(ln|log2) ([\d.e+]+)", r"\1(\2)", line.arithmetic.replace("^", "**"))
        assert eval(text, {"__builtins__": {}}, names) == pytest.approx(line.value, rel=1e-3)  # it prints six digits


def test_published_numbers():
    # GPT-2 117M on WikiText-2, perplexity 29.41, at the 4.545 bytes per token of its test file
    assert values(29.41, "ppl", bytes_per_token=4.545)["bits_per_byte"] == pytest.approx(1.0733, abs=1e-4)
    assert values(1.0, "bpb", bytes_per_token=4.39)["perplexity"] == pytest.approx(20.97, abs=0.005)
    assert values(256, "byte perplexity")["bits_per_byte"] == 8
    assert values(8, "bpb")["compression_ratio"] == 1
    assert values(math.log(50257), "nats")["perplexity"] == pytest.approx(50257)


def test_what_is_missing_is_named_and_no_more():
    missing = {line.unit.key: line.missing for line in convert(1.83, unit("nats")) if line.missing}
    assert missing == {
        "bits_per_byte": ("bytes_per_token",), "byte_perplexity": ("bytes_per_token",),
        "bits_per_character": ("bytes_per_token", "characters_per_byte"),
        "word_perplexity": ("tokens_per_word",), "compression_ratio": ("bytes_per_token",),
    }  # fmt: skip
    assert {line.unit.key for line in convert(1.0, unit("bpc"), characters_per_byte=1) if not line.missing} == {
        "bits_per_character", "bits_per_byte", "byte_perplexity", "compression_ratio",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("spelled", "key"),
    [
        (spelled, key)
        for key, spellings in {
            "nats_per_token": ["nats", "nats/token", "Nats per token", "nat/tok", "loss", "nats_per_token"],
            "bits_per_token": ["bits/token", "bits-per-token", "bits", "bits per tok"],
            "perplexity": ["PPL", "perplexity", "perplexity per token"],
            "bits_per_byte": ["bpb", "bits/byte", "bits_per_byte", "bit per byte", " BPB ", "bits per bytes"],
            "bits_per_character": ["BPC", "bits/char", "bits per character"],
            "byte_perplexity": ["byte ppl", "byte-perplexity", "perplexity per byte"],
            "word_perplexity": ["word perplexity", "word ppl"],
            "compression_ratio": ["ratio", "compression ratio", "compression"],
        }.items()
        for spelled in spellings
    ],
)
def test_units_are_spelled_in_many_ways(spelled, key):
    assert unit(spelled).key == key


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: unit("furlongs"), "unknown unit 'furlongs'; the units are nats/token"),
        (lambda: convert(0.5, unit("ppl")), "perplexity must be at least 1, which is certainty"),
        (lambda: convert(-1, unit("nats")), "nats/token must be at least 0"),
        (lambda: convert(0, unit("ratio")), "compression ratio must be above 0"),
        (lambda: convert(math.nan, unit("nats")), "nats/token must be"),
        (lambda: convert(math.inf, unit("nats")), "nats/token must be"),
        (lambda: convert(1, unit("nats"), bytes_per_token=0), "bytes_per_token must be above 0 and finite, got 0"),
        (lambda: convert(1, unit("nats"), tokens_per_word=math.nan), "tokens_per_word must be above 0"),
        (lambda: convert(1, unit("nats"), bytes_per_token=math.inf), "bytes_per_token must be above 0 and finite, got"),
        (lambda: convert(3, unit("bpc"), characters_per_byte=1.5), "characters_per_byte must be from 0.25 to 1, got "
                                                                  "1.5; a character has 1 to 4 bytes in UTF-8"),
        (lambda: convert(3, unit("bpc"), characters_per_byte=0.2), "characters_per_byte must be from 0.25 to 1"),
    ],
)
def test_what_cannot_be_is_refused(call, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        call()


def test_the_ends_of_what_utf8_allows():
    """A text of four-byte characters alone, and one of ASCII alone."""
    assert values(8, "bpc", characters_per_byte=len("\U0001f600") / len("\U0001f600".encode()))["bits_per_byte"] == 2
    assert values(2, "bpc", characters_per_byte=1)["bits_per_byte"] == 2


def test_certainty_and_more_than_a_float_holds():
    assert values(0, "nats", bytes_per_token=4)["compression_ratio"] == math.inf
    assert values(1000, "nats")["perplexity"] == math.inf
    assert UNITS.keys() == values(1, "nats", **TEXT).keys()
