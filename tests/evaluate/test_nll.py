"""Scores against closed forms: models whose every probability is known beforehand."""

import inspect
import math

import numpy as np
import pytest
import torch
from known_models import Bytes, Table, Text, texts

import losslab
from losslab import formula
from losslab.config import ModelConfig
from losslab.evaluate import windows
from losslab.evaluate.document_scores import nll, per_document
from losslab.evaluate.temperature import first_tokens, fit_temperature
from losslab.model import initialized

DOCUMENTS = texts("Once upon a time", "the cat sat on the mat, and the mat sat still", "naïve 🙂 café", "a", "")
BYTES = sum(len(s.encode()) for s in ("Once upon a time", "the cat sat on the mat, and the mat sat still",
                                       "naïve 🙂 café", "a", ""))


def random_table(seed=0):
    return 2 * torch.randn(257, 257, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seq_len", [4, 7, 128])
def test_uniform_over_bytes_and_nothing_for_the_end_is_exactly_8_bits_a_byte(seq_len):
    logits = torch.zeros(257, 257)
    logits[:, 256] = -math.inf
    scores = nll(Table(logits, seq_len), DOCUMENTS, Bytes())
    assert scores["bits_per_byte"].value == pytest.approx(8, abs=1e-6)
    assert scores["bits_per_byte_with_eot"].value == math.inf
    assert scores["bits_per_byte"].n == len(DOCUMENTS)


def test_uniform_over_everything_costs_log_vocab_and_as_much_for_each_end():
    scores = nll(Table(torch.zeros(257, 257), 16), DOCUMENTS, Bytes())
    assert scores["nll"].value == pytest.approx(math.log(257), rel=1e-6)
    assert scores["perplexity"].value == pytest.approx(257, rel=1e-5)
    with_ends = math.log2(257) * (BYTES + len(DOCUMENTS)) / BYTES
    assert scores["bits_per_byte_with_eot"].value == pytest.approx(with_ends, rel=1e-6)
    words = sum(document.num_words for document in DOCUMENTS)
    assert scores["word_perplexity"].value == pytest.approx(257 ** (BYTES / words), rel=1e-4)


@pytest.mark.parametrize(("seq_len", "stride"), [(5, 0), (8, 3), (8, 8), (64, 1), (64, 0)])
def test_a_bigram_model_scores_its_closed_form_in_any_windows(seq_len, stride):
    table = random_table()
    log_p = table.double().log_softmax(-1)
    text = end = 0.0
    for document in DOCUMENTS:
        stream = [256, *document.tokens.tolist(), 256]
        steps = [-log_p[a, b].item() for a, b in zip(stream[:-1], stream[1:], strict=True)]
        text, end = text + sum(steps[:-1]), end + steps[-1]
    scores = nll(Table(table, seq_len), DOCUMENTS, Bytes(), stride=stride)
    suffix = f"_stride_{stride}" if stride else ""
    assert scores["bits_per_byte" + suffix].value == pytest.approx(text / math.log(2) / BYTES, rel=1e-6)
    assert scores["nll" + suffix].value == pytest.approx((text + end) / (BYTES + len(DOCUMENTS)), rel=1e-6)


@pytest.mark.parametrize(("seq_len", "stride"), [(1, 1), (4, 4), (4, 1), (8, 5), (100, 7)])
def test_every_target_counts_in_exactly_one_window(seq_len, stride):
    # no token occurs twice, so each window says where it lies
    documents = [Text(np.arange(10 * i, 10 * i + size), size, 1) for i, size in enumerate([9, 1, 4, 8, 0, 3])]
    for index in range(len(documents)):
        stream = [256, *documents[index].tokens.tolist(), 256]
        scored = []
        for batch in windows.plan(documents, seq_len, stride, batch_size=3):
            window = windows.build(batch, documents, 256)
            assert window.tokens.shape[1] <= seq_len
            for row in (row for row, i in enumerate(window.documents) if i == index):
                for column in window.scored[row].nonzero().flatten().tolist():
                    place = stream.index(int(window.tokens[row, column]))
                    assert stream[place + 1] == int(window.targets[row, column])
                    assert bool(window.is_end[row, column]) == (place + 1 == len(stream) - 1)
                    scored.append(place)
        assert sorted(scored) == list(range(len(stream) - 1))


def test_a_text_cut_by_position_has_no_end_to_score():
    scores = nll(Table(torch.zeros(257, 257), 16), texts("no end here", ends=False), Bytes())
    assert scores["bits_per_byte"].value == scores["bits_per_byte_with_eot"].value
    assert scores["nll"].stderr is None and scores["nll"].n == 1


def test_batch_size_changes_nothing():
    one = per_document(Table(random_table(), 8), DOCUMENTS, Bytes(), batch_size=1)
    many = per_document(Table(random_table(), 8), DOCUMENTS, Bytes(), batch_size=64)
    np.testing.assert_allclose(one.nats, many.nats, rtol=1e-12)


def test_standard_error_is_that_of_documents():
    rows = per_document(Table(random_table(), 64), DOCUMENTS, Bytes())
    nats, tokens = rows.nats + rows.end_nats, rows.num_tokens + rows.num_ends
    ratio = nats.sum() / tokens.sum()
    residual = nats - ratio * tokens  # linearised ratio estimator, Cochran, Sampling Techniques, 1977, 6.4
    n = len(nats)
    expected = math.sqrt((residual**2).sum() / (n - 1) * n) / tokens.sum()
    assert nll(Table(random_table(), 64), DOCUMENTS, Bytes())["nll"].stderr == pytest.approx(expected, rel=1e-9)


def drawn(table, documents=40, length=400):
    """Texts written by the table itself, so that temperature 1 is right for it."""
    rng, p = torch.Generator().manual_seed(1), table.softmax(-1)
    p[:, 256] = 0
    written = []
    for _ in range(documents):
        ids = [256]
        while len(ids) <= length:
            ids.append(int(torch.multinomial(p[ids[-1]], 1, generator=rng)))
        written.append(Text(np.array(ids[1:]), length, 1, ends=False))
    return written


@pytest.fixture(scope="module")
def documents():
    return drawn(random_table())


@pytest.mark.parametrize("factor", [0.2, 1.0, 7.0])
def test_the_fitted_temperature_undoes_a_scale(factor, documents):
    table = random_table()
    fitted = fit_temperature(Table(table * factor, 64), documents, Bytes())
    assert fitted == pytest.approx(factor, rel=0.03)
    scores = nll(Table(table * factor, 64), documents, Bytes(), temperature=fitted)
    plain = nll(Table(table, 64), documents, Bytes())
    assert scores["nll_calibrated"].value == pytest.approx(plain["nll"].value, abs=2e-3)
    assert scores["nll"].value >= scores["nll_calibrated"].value - 1e-9


def test_the_fitted_temperature_is_a_minimum(documents):
    model, documents = Table(3 * random_table(), 16), documents[:10]
    best = fit_temperature(model, documents, Bytes())
    at = [nll(model, documents, Bytes(), temperature=best * f)["nll_calibrated"].value for f in (0.98, 1, 1.02)]
    assert at[1] < at[0] and at[1] < at[2]


def test_windows_of_fewer_tokens_than_positions_score_as_a_model_with_so_many_positions():
    documents = texts(*(f"{letter * 11}{other * 6}" for letter, other in ("ab", "cd", "xy", "bz")))
    wide, narrow = (initialized(ModelConfig(n_layer=1, n_head=1, n_embd=8, num_positions=n), 257, 0) for n in (16, 5))
    with torch.no_grad():
        wide.wte.weight.mul_(30)  # the likeliest token is the one before
        wide.wpe.weight.mul_(20)  # and how likely depends on the place
    narrow.load_state_dict(wide.state_dict() | {"wpe.weight": wide.wpe.weight[:5]})
    best, other = fit_temperature(narrow, documents, Bytes()), fit_temperature(wide, documents, Bytes())
    assert fit_temperature(wide, documents, Bytes(), seq_len=5) == best
    assert 0.01 < best < 100 and best != other
    wanted, scores = (nll(model, documents, Bytes(), temperature=best, seq_len=seq_len)
                      for model, seq_len in ((narrow, 0), (wide, 5)))
    assert {name: score.value for name, score in scores.items()} == {n: score.value for n, score in wanted.items()}
    assert nll(wide, documents, Bytes())["nll"].value != wanted["nll"].value


def test_the_models_own_logit_transform_is_part_of_what_is_measured():
    config = ModelConfig(n_layer=1, n_head=1, n_embd=8, num_positions=16)
    plain, capped = (initialized(config, 257, 0, formula.transforms(t)) for t in ("", "softcap(0.05)"))
    with torch.no_grad():
        for model in (plain, capped):
            model.wte.weight.mul_(20)
    hidden = plain(torch.tensor([[256, 79]]))
    assert not torch.allclose(plain.logits(hidden), capped.logits(hidden))
    assert nll(capped, DOCUMENTS, Bytes())["nll"].value == pytest.approx(math.log(257), abs=0.05)
    assert nll(plain, DOCUMENTS, Bytes())["nll"].value > math.log(257) + 0.1


def test_the_model_is_left_in_the_mode_it_was_in():
    model = initialized(ModelConfig(n_layer=1, n_head=1, n_embd=8, num_positions=16, dropout=0.5), 257, 0).train()
    first, second = (nll(model, DOCUMENTS, Bytes())["nll"].value for _ in range(2))
    assert first == second and model.training


def test_tokens_that_are_not_the_text_are_noticed():
    with pytest.raises(ValueError, match="3 bytes were scored of 4"):
        nll(Table(torch.zeros(257, 257), 16), [Text(np.array([1, 2, 3]), 4, 1)], Bytes())


def test_a_target_that_was_never_scored_is_noticed_though_it_has_no_bytes(monkeypatch):
    plan = windows.plan

    def without_the_last_end(*arguments):
        batches = plan(*arguments)
        return [[place for place in batch if place.scored < 49] for batch in batches]

    monkeypatch.setattr(windows, "plan", without_the_last_end)
    document = texts("x" * 49)[0]  # seven windows, and one for the end mark alone
    with pytest.raises(AssertionError):
        nll(Table(torch.zeros(257, 257), 7), [document], Bytes())


def test_the_package_offers_nll_with_its_signature():
    assert losslab.evaluate.nll is nll
    assert list(inspect.signature(losslab.evaluate.nll).parameters)[:3] == ["model", "documents", "tokenizer"]


def test_no_document_is_an_error():
    with pytest.raises(ValueError, match="no document"):
        nll(Table(torch.zeros(257, 257), 16), [], Bytes())


def test_a_fixed_part_is_cut_at_its_last_token():
    part = first_tokens(DOCUMENTS, Bytes(), 20)
    assert [len(d.tokens) for d in part] == [16, 4]
    assert part[1].num_bytes == 4 and not part[1].ends and part[0].ends
