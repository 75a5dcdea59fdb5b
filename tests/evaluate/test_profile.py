"""Calibration, position and frequency against texts whose every count is set by hand."""

import math

import numpy as np
import pytest
import torch
from known_models import Bytes, Table, Text, texts

from losslab.evaluate.document_scores import tally
from losslab.evaluate.profile import calibration_error, confidence_axis, frequency_axis, position_axis

A, B, C = b"abc"


def rows_of(*rows):
    """A bigram table: {last byte: {next byte: probability}}, what is left spread over all other tokens."""
    table = torch.full((257, 257), 1e-12, dtype=torch.float64)
    for last, p in rows:
        table[last] = (1 - sum(p.values())) / (257 - len(p))
        for token, value in p.items():
            table[last, token] = value
    return table.log().float()


def always(p):
    return rows_of(*((last, p) for last in range(257)))


def profiled(table, documents, axes, seq_len=64, **rules):
    return tally(Table(table, seq_len), documents, Bytes(), axes=axes, **rules)


@pytest.mark.parametrize(("share", "confidence"), [(0.7, 0.7), (0.4, 0.7), (0.9, 0.65)])
def test_calibration_error_is_the_gap_of_a_model_that_is_always_equally_sure(share, confidence):
    text = "a" * round(share * 100) + "b" * round((1 - share) * 100)
    documents = texts(*[text] * 5, ends=False)
    sums = profiled(always({A: confidence, B: 0.2}), documents, [confidence_axis()])
    score = calibration_error(sums)
    assert score.value == pytest.approx(abs(share - confidence), abs=1e-6)
    assert score.stderr == pytest.approx(0, abs=1e-9) and score.n == 5  # equal documents
    (row,) = confidence_axis().table(sums)
    assert row["accuracy"] == pytest.approx(share) and row["confidence"] == pytest.approx(confidence, abs=1e-6)
    assert row["from"] <= confidence < row["to"] and row["tokens"] == 500


def test_the_error_of_a_calibration_error_is_over_documents():
    # one bin, so that it is a ratio of sums: (hits - 0.7 tokens) / tokens, whose error Cochran 1977, 6.4 gives
    shares = np.random.default_rng(0).integers(2, 15, 60)  # of a in 20: always above or below 0.7 in the mean
    documents = texts(*("a" * int(k) + "b" * int(20 - k) for k in shares), ends=False)
    score = calibration_error(profiled(always({A: 0.7, B: 0.2}), documents, [confidence_axis()]), resamples=4000)
    assert score.value == pytest.approx(0.7 - shares.mean() / 20, abs=1e-6)
    assert score.stderr == pytest.approx(shares.std(ddof=1) / 20 / math.sqrt(60), rel=0.05) and score.n == 60


def test_gaps_of_two_bins_do_not_cancel():
    # after a: b for sure 0.9, comes half of the time; after b: c with 0.3, comes always; after c: a with 0.5, always
    model = rows_of((A, {B: 0.9}), (B, {C: 0.3}), (C, {A: 0.5}), (256, {A: 0.99}))
    text = "abca" + "abca" * 24  # pairs: ab 25, bc 25, ca 25, aa 24, and the first a
    sums = profiled(model, texts(text, ends=False), [confidence_axis()], seq_len=256)
    expected = abs(25 - 49 * 0.9) + 25 * 0.7 + 25 * 0.5 + 0.01
    assert calibration_error(sums).value == pytest.approx(expected / 100, abs=1e-6)
    assert calibration_error(sums).stderr is None  # one document


def test_a_text_that_the_model_wrote_is_calibrated_and_a_sharpened_model_is_not():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(257, 257, generator=generator)
    logits[:, 256] = -30
    p, documents = logits.softmax(-1), []
    for _ in range(30):
        ids = [256]
        for _ in range(200):
            ids.append(int(torch.multinomial(p[ids[-1]], 1, generator=generator)))
        documents.append(Text(np.array(ids[1:]), 200, 1, ends=False))
    honest = calibration_error(profiled(logits, documents, [confidence_axis()]))
    sure = calibration_error(profiled(3 * logits, documents, [confidence_axis()]))
    last = np.concatenate([[256, *d.tokens[:-1]] for d in documents])
    sharp = (3 * logits).softmax(-1)
    gap = np.zeros(15)  # what is expected: the truth's probability of the sharpened model's favorite
    for context in last:
        top, value = int(sharp[context].argmax()), float(sharp[context].max())
        gap[min(int(value * 15), 14)] += float(p[context, top]) - value
    assert honest.value < 0.02 and honest.stderr < 0.01
    assert sure.value == pytest.approx(np.abs(gap).sum() / len(last), abs=0.02) and sure.value > 0.3


def test_ties_take_the_first_option():
    sums = profiled(torch.zeros(257, 257), [Text(np.array([0, 0, 1, 5]), 4, 1, ends=False)], [confidence_axis()])
    (row,) = confidence_axis().table(sums)
    assert row["accuracy"] == 0.5  # all 257 tie; the first is token 0, which came twice in four


@pytest.mark.parametrize(("stride", "contexts"), [
    (0, [1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3]), (2, [1, 2, 3, 4, 3, 4, 3, 4, 3, 4, 4]), (1, [1, 2, 3] + [4] * 8),
])
def test_position_is_the_number_of_tokens_read_before(stride, contexts):
    axis = position_axis(4)
    assert axis.bounds == [(1, 1), (2, 3), (4, 4)]
    sums = profiled(always({A: 0.5}), texts("a" * 10, "a" * 10), [axis], seq_len=4, stride=stride)
    expected = [2 * sum(low <= c <= high for c in contexts) for low, high in axis.bounds]
    table = axis.table(sums)
    assert [row["tokens"] for row in table] == expected and [row["documents"] for row in table] == [2, 2, 2]
    assert sums["context"].tolist() == [sum(contexts)] * 2
    assert table[0]["nll"] == pytest.approx(math.log(2), rel=1e-6) and table[0]["accuracy"] == 1


def test_a_bin_has_its_own_nll_and_error():
    axis = frequency_axis(np.array([0.5] * 97 + [0.05, 0.0005, 1e-9] + [0.5] * 157))  # of a, b and c
    assert axis.bounds[0] == (0.1, 1.0) and axis.bounds[-1] == (0.0, 1e-6)
    model = always({A: 0.25, B: 0.5, C: 0.125})
    table = axis.table(profiled(model, texts("aab", "abcc", ends=False), [axis]))
    assert [(row["from"], row["tokens"]) for row in table] == [(0.01, 3), (1e-4, 2), (0.0, 2)]
    assert [row["nll"] / math.log(2) for row in table] == pytest.approx([2, 1, 3], rel=1e-6)
    assert [row["documents"] for row in table] == [2, 2, 1] and table[2]["stderr"] is None
    first_then_last = axis.table(profiled(rows_of((256, {A: 0.5}), (A, {A: 0.25}), (B, {A: 0.5})),
                                          texts("aa", "aba", ends=False), [axis]))[0]
    nats, count = np.array([3, 2]) * math.log(2), np.array([2, 2])  # ratio estimator: Cochran 1977, 6.4
    residual = nats - nats.sum() / count.sum() * count
    assert first_then_last["stderr"] == pytest.approx(math.sqrt(2 * (residual**2).sum()) / 4, rel=1e-6)


def test_what_was_impossible_is_infinite_and_breaks_nothing():
    logits = torch.zeros(257, 257)
    logits[:, 256] = -math.inf
    axis = position_axis(8)
    table = axis.table(profiled(logits, texts("abc", "abcd"), [axis], seq_len=8))
    assert table[0]["nll"] == pytest.approx(math.log(256), rel=1e-6) and table[-1]["nll"] == math.inf
